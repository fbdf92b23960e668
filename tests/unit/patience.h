// SPDX-License-Identifier: Apache-2.0
// How long tests with real clocks wait: on a busy machine a thread may not run for seconds. Any thread.
#pragma once

#include <chrono>
#include <cstdint>

#include "daemon/base/clock.h"

namespace rheo::test {

/// What ends at all has ended by then, and what waits for the wrong thing has not: tests make that longer.
inline constexpr std::chrono::seconds kPatience{20};
inline constexpr std::chrono::seconds kTooLong{120};

/// Whether one of a few tries takes less than `most`: each does, unless something else has the processors.
template <class Try>
bool once_within(std::chrono::milliseconds most, Try attempt) {
  for (int tries = 0; tries < 5; ++tries) {
    const std::uint64_t begin_ns = monotonic_ns();
    attempt();
    if (std::chrono::nanoseconds(monotonic_ns() - begin_ns) < most) return true;
  }
  return false;
}

}  // namespace rheo::test
