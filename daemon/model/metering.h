// SPDX-License-Identifier: Apache-2.0
// MeteringCounters: what happened to packets before they became records, and to records on their way, for
// exporters that tell of it. Any thread.
#pragma once

#include <vector>

#include "daemon/model/counters.h"

namespace rheo {

/// A reason for which a packet is in no record.
struct NamedLoss {
  const char* name;
  LossCount DatapathCounters::* count;
  bool is_ip;  // false: no flow was to be had of it
};

/// Every such reason.
inline constexpr NamedLoss kNamedLosses[] = {{"not_ip", &DatapathCounters::not_ip, false},
                                             {"truncated", &DatapathCounters::truncated, true},
                                             {"malformed", &DatapathCounters::malformed, true},
                                             {"too_deep", &DatapathCounters::too_deep, true},
                                             {"evicted_full", &DatapathCounters::evicted_full, true}};

struct MeteringCounters {
  DatapathCounters datapath;
  TableCounters table;
  std::vector<LaneCounters> lanes = {};
};

}  // namespace rheo
