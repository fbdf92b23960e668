// SPDX-License-Identifier: Apache-2.0
// TOML text to settings, with every complaint. Pure: opens nothing, looks nothing up; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"

namespace rheo {

/// Text beyond this is refused unread.
inline constexpr std::size_t kMaxConfigBytes = 1U << 20U;

/// One thing wrong with the settings, in words an administrator can act on.
struct Complaint {
  std::string file;
  int line = 0;  // from 1; 0: the file as a whole
  std::string text;
};

/// "FILE:LINE: TEXT", without the line where there is none.
std::string complaint_text(const Complaint& complaint);

struct ParsedConfig {
  Config config;
  std::vector<Complaint> complaints;  // empty: the config may be used
  std::vector<Complaint> notes;       // what is passed over, and is no mistake
};

/// The text of one file and the name it has in complaints.
struct ConfigText {
  std::string file;
  std::string text;
  // Switches exporters that other files set up: of one that none of them has any more it is passed over.
  bool switches_only = false;
};

/// Settings from files in order: each key of a later one overrides an earlier one's (tables merge, arrays
/// replace). Reports every mistake of every file; of TOML that cannot be read, the first mistake.
ParsedConfig parse_config(std::span<const ConfigText> files);

/// As above for one file.
ParsedConfig parse_config(std::string_view toml, std::string_view file = "rheo.toml");

}  // namespace rheo
