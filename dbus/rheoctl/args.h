// SPDX-License-Identifier: Apache-2.0
// The command line of rheoctl. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/result.h"

namespace rheo::ctl {

struct Args {
  std::vector<std::string> words;  // the command and what belongs to it
  std::optional<std::uint32_t> limit;
  std::string sort;  // "": as the command has it
  std::string by;    // what flows are summed up by; "": they are not
  bool json = false;
  bool persist = false;
  bool legend = true;
  bool pager = true;
  bool help = false;
  bool version = false;
};

/// What the words mean, or what is wrong with them. Options may stand anywhere before "--".
Result<Args> parse_args(int argc, char* argv[]);

/// The text of --help.
const char* usage();

}  // namespace rheo::ctl
