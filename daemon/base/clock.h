// SPDX-License-Identifier: Apache-2.0
// Clocks, in nanoseconds. Any thread.
#pragma once

#include <cstdint>
#include <ctime>

namespace rheo {

inline constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;

inline std::uint64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kNanosecondsPerSecond +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// The clock of packets in the kernel (bpf_ktime_get_ns): stops while the host is suspended.
inline std::uint64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }

/// Nanoseconds since 1970.
inline std::uint64_t realtime_ns() { return clock_ns(CLOCK_REALTIME); }

}  // namespace rheo
