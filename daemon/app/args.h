// SPDX-License-Identifier: Apache-2.0
// The command line of rheod. Main thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/base/result.h"

namespace rheo {

struct Args {
  std::optional<std::string> config_path;  // none: the default path, which need not exist
  std::optional<std::string> replay_path;
  std::optional<std::string> ipfix_endpoint;  // of a replay: instead of the configured exporters
  std::vector<std::string> interfaces;        // instead of [interfaces]; empty: as configured
  bool check_only = false;
  bool detach = false;
  bool help = false;
  bool version = false;
};

/// What the words mean, or what is wrong with them.
Result<Args> parse_args(int argc, char* argv[]);

/// The text of --help.
const char* usage();

}  // namespace rheo
