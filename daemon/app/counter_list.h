// SPDX-License-Identifier: Apache-2.0
// CounterList: every number of DaemonCounters with its name, as rheod(8) documents them. Any thread.
#pragma once

#include <vector>

#include "daemon/model/counters.h"
#include "daemon/model/daemon_status.h"

namespace rheo {

std::vector<NamedCounter> list_counters(const DaemonCounters& counters);

/// Writes each to the log: "counter datapath.seen_packets 5".
void log_counters(const DaemonCounters& counters);

}  // namespace rheo
