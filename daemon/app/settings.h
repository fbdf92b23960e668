// SPDX-License-Identifier: Apache-2.0
// From the configuration to each module's own options. Pure, any thread.
#pragma once

#include "daemon/config/config.h"
#include "daemon/datapath/options.h"
#include "daemon/flow/flow_table.h"
#include "daemon/replay/replay.h"

namespace rheo {

DatapathOptions datapath_options(const Config& config);

/// The table in `run_directory`, or in memory only where that is empty.
FlowTableOptions table_options(const Config& config, const std::string& run_directory);

ReplayOptions replay_options(const Config& config);

}  // namespace rheo
