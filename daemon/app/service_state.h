// SPDX-License-Identifier: Apache-2.0
// ServiceState: what systemd is told: the one-line status, and that we are alive, as long as both the main
// loop and the collector are. Main thread. Says nothing where no service manager listens.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/model/daemon_status.h"

namespace rheo {

/// "metering 3 interfaces, 12,403 flows, 2 exporters"
std::string service_status(const DaemonStatus& status);

class ServiceState {
 public:
  /// `drain_interval_ns`: how often the collector shows a sign of life at least.
  explicit ServiceState(std::uint64_t drain_interval_ns);

  /// Around a reload, also one that changes nothing.
  void say_reloading();
  void say_reloaded(std::uint64_t drain_interval_ns);

  /// Once a second. `drained_at_ns` is CLOCK_MONOTONIC of the collector's last drain.
  void tick(const DaemonStatus& status, std::uint64_t drained_at_ns);

 private:
  std::uint64_t drain_interval_ns_;
  std::uint64_t watchdog_ns_ = 0;  // 0: nobody watches
  std::string told_;
};

}  // namespace rheo
