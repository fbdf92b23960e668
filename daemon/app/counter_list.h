// SPDX-License-Identifier: Apache-2.0
// CounterList: every number of DaemonCounters with its name, as rheod(8) documents them. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/model/counters.h"

namespace rheo {

struct NamedCounter {
  std::string name;  // "datapath.not_ip.packets"
  std::uint64_t value = 0;
};

std::vector<NamedCounter> list_counters(const DaemonCounters& counters);

/// Writes each to the log: "counter datapath.seen_packets 5".
void log_counters(const DaemonCounters& counters);

}  // namespace rheo
