// SPDX-License-Identifier: Apache-2.0
// sdbus-c++, and everything in which 1.2 (Debian 12) and 2.x (Debian 13) differ for us. Main thread.
#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace rheo::bus {

/// What to poll for, and until when: microseconds of CLOCK_MONOTONIC, UINT64_MAX for ever.
struct Poll {
  int fd = -1;
  short events = 0;
  std::uint64_t until_us = UINT64_MAX;
};

#if RHEO_SDBUS_MAJOR >= 2

using ServiceName = sdbus::ServiceName;
using InterfaceName = sdbus::InterfaceName;
using MemberName = sdbus::PropertyName;
using ErrorName = sdbus::Error::Name;
using ReplyError = std::optional<sdbus::Error>;

inline std::string sender(const sdbus::IObject& object) {
  return object.getCurrentlyProcessedMessage().getSender();
}
inline Poll poll_of(const sdbus::IConnection& connection) {
  const auto data = connection.getEventLoopPollData();
  const bool forever = data.timeout == std::chrono::microseconds::max();
  return {data.fd, data.events, forever ? UINT64_MAX : static_cast<std::uint64_t>(data.timeout.count())};
}
inline bool process_one(sdbus::IConnection& connection) { return connection.processPendingEvent(); }
inline void finish_signals(sdbus::IProxy& /*proxy*/) {}

#else

using ServiceName = std::string;
using InterfaceName = std::string;
using MemberName = std::string;
using ErrorName = std::string;
using ReplyError = const sdbus::Error*;

inline std::string sender(const sdbus::IObject& object) {
  return object.getCurrentlyProcessedMessage()->getSender();
}
inline Poll poll_of(const sdbus::IConnection& connection) {
  const auto data = connection.getEventLoopPollData();
  return {data.fd, data.events, data.timeout_usec};
}
inline bool process_one(sdbus::IConnection& connection) { return connection.processPendingRequest(); }
inline void finish_signals(sdbus::IProxy& proxy) { proxy.finishRegistration(); }

#endif

inline std::vector<MemberName> member_names(const std::vector<std::string>& names) {
  std::vector<MemberName> members;
  for (const std::string& name : names) members.emplace_back(name);
  return members;
}

}  // namespace rheo::bus
