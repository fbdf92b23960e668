// SPDX-License-Identifier: Apache-2.0
// LossWatch: when losing begins and when it ends, for each named loss. One log line for each where the kernel
// side loses packets; a lane says itself what it loses. Main thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "daemon/model/counters.h"
#include "daemon/model/daemon_status.h"

namespace rheo {

class LossWatch {
 public:
  /// Counters of an earlier process's losses are not news.
  explicit LossWatch(const DaemonCounters& counters);

  /// What began or ended since the last look.
  std::vector<LossEvent> look(const DaemonCounters& counters, std::uint64_t now_ns);

  /// Every named loss as of the last look.
  std::vector<LossStatus> losses() const;

 private:
  struct Spell {
    LossCount noticed;            // at the last look
    std::uint64_t before = 0;     // packets when it began
    std::uint64_t latest_ns = 0;  // of the last increase; 0: none is on
  };

  std::map<std::string, Spell> spells_;
};

}  // namespace rheo
