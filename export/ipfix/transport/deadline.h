// SPDX-License-Identifier: Apache-2.0
// Deadline: a moment by which something has to be done. A plain value, any thread.
#pragma once

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/result.h"

namespace rheo {

class Deadline {
 public:
  explicit Deadline(std::chrono::nanoseconds timeout)
      : timeout_(timeout), end_ns_(monotonic_ns() + static_cast<std::uint64_t>(timeout.count())) {}

  bool passed() const { return monotonic_ns() >= end_ns_; }

  std::chrono::nanoseconds left() const {
    const std::uint64_t now = monotonic_ns();
    return std::chrono::nanoseconds(now >= end_ns_ ? 0 : end_ns_ - now);
  }

  /// An earlier one: a share of what is left.
  Deadline share(std::size_t parts) const {
    if (parts <= 1) return *this;
    return Deadline(left() / static_cast<std::int64_t>(parts));
  }

  /// "5000 ms", the time there was.
  std::string text() const {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(timeout_).count()) + " ms";
  }

 private:
  std::chrono::nanoseconds timeout_;
  std::uint64_t end_ns_;  // CLOCK_MONOTONIC
};

/// Waits for poll(2) events on the descriptor. False: the deadline, or `at_most`, passed first.
inline bool wait_for(int fd, short events, const Deadline& deadline,
                     std::chrono::nanoseconds at_most = std::chrono::hours(1)) {
  const Deadline end(std::min(deadline.left(), at_most));
  for (;;) {
    pollfd wanted{.fd = fd, .events = events, .revents = 0};
    const auto left_ms = std::chrono::ceil<std::chrono::milliseconds>(end.left()).count();
    const int ready = ::poll(&wanted, 1, static_cast<int>(left_ms));
    if (ready > 0) return true;  // an error too: the next call on the socket says which
    if (end.passed() || (ready < 0 && errno != EINTR)) return false;
  }
}

}  // namespace rheo
