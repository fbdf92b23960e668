// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/service_state.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <algorithm>

#include "daemon/base/clock.h"

namespace rheo {
namespace {

/// "12,403"
std::string grouped(std::uint64_t number) {
  std::string text;
  for (; number >= 1'000; number /= 1'000) text.insert(0, fmt::format(",{:03}", number % 1'000));
  return std::to_string(number) + text;
}

std::string counted(std::uint64_t number, const char* what) {
  return grouped(number) + " " + what + (number == 1 ? "" : "s");
}

}  // namespace

std::string service_status(const DaemonStatus& status) {
  const auto metered = std::ranges::count_if(status.interfaces, &InterfaceStatus::metered);
  const auto disabled = std::ranges::count(status.exporters, ExporterState::disabled, &ExporterStatus::state);
  return fmt::format("metering {}, {}, {}", counted(static_cast<std::uint64_t>(metered), "interface"),
                     counted(status.active_flows, "flow"),
                     counted(status.exporters.size() - static_cast<std::uint64_t>(disabled), "exporter"));
}

ServiceState::ServiceState(std::uint64_t drain_interval_ns) : drain_interval_ns_(drain_interval_ns) {
  std::uint64_t usec = 0;
  if (::sd_watchdog_enabled(0, &usec) > 0) watchdog_ns_ = usec * 1'000;
}

void ServiceState::say_reloading() {
  ::sd_notify(0, fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns() / 1'000).c_str());
}

void ServiceState::say_reloaded(std::uint64_t drain_interval_ns) {
  drain_interval_ns_ = drain_interval_ns;
  ::sd_notify(0, "READY=1");
}

void ServiceState::tick(const DaemonStatus& status, std::uint64_t drained_at_ns) {
  if (const std::string text = service_status(status); text != told_) {
    ::sd_notify(0, ("STATUS=" + text).c_str());
    told_ = text;
  }
  const bool collector_lives = monotonic_ns() - drained_at_ns < drain_interval_ns_ + watchdog_ns_ / 2;
  if (watchdog_ns_ != 0 && collector_lives) ::sd_notify(0, "WATCHDOG=1");
}

}  // namespace rheo
