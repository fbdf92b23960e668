// SPDX-License-Identifier: Apache-2.0
// The settings of this process, from its files and its command line: at the start and at every reload. Main
// thread.
#pragma once

#include <string>
#include <vector>

#include "daemon/app/args.h"
#include "daemon/config/config.h"

namespace rheo {

struct ReadSettings {
  Config config;
  std::vector<std::string> complaints;  // every mistake, with file and line; empty: the config may be used
  std::vector<std::string> notes;       // likewise, what is passed over
};

ReadSettings read_settings(const Args& args);

/// The keys in which `wanted` differs from what runs and that a running rheod cannot change:
/// "flow.max_flows", …, as rheo.toml(5) names them.
std::vector<std::string> keys_for_restart(const Config& running, const Config& wanted);

}  // namespace rheo
