// SPDX-License-Identifier: Apache-2.0
// LossWatch: one log line when the kernel side begins to lose packets for a reason, one when it stops. Main
// thread.
#pragma once

#include <array>
#include <cstdint>

#include "daemon/model/counters.h"

namespace rheo {

class LossWatch {
 public:
  /// Counters of an earlier process's losses are not news.
  explicit LossWatch(const DatapathCounters& counters);

  void look(const DatapathCounters& counters, std::uint64_t now_ns);

 private:
  static constexpr std::size_t kReasons = 4;

  struct Spell {
    std::uint64_t noticed = 0;    // packets at the last look
    std::uint64_t before = 0;     // packets when it began
    std::uint64_t latest_ns = 0;  // of the last increase; 0: none is on
  };

  std::array<Spell, kReasons> spells_;
};

}  // namespace rheo
