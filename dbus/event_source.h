// SPDX-License-Identifier: Apache-2.0
// EventSource: lets the main loop run a bus connection; sdbus-c++ 1.2 has nothing for that. Main thread.
#pragma once

#include <memory>

#include "daemon/base/result.h"
#include "dbus/sdbus.h"

struct sd_event;
struct sd_event_source;

namespace rheo {

class EventSource {
 public:
  /// Loop and connection outlive the source. Null where the loop refuses.
  static Result<std::unique_ptr<EventSource>> attach(sd_event* loop, sdbus::IConnection& connection);

  explicit EventSource(sdbus::IConnection& connection) : connection_(connection) {}
  ~EventSource();
  EventSource(const EventSource&) = delete;
  EventSource& operator=(const EventSource&) = delete;

  /// The connection has failed, for this reason, and is not looked at any more. Empty: it works.
  const std::string& failure() const { return failure_; }

 private:
  static int on_prepare(sd_event_source* source, void* self);
  static int on_io(sd_event_source* source, int fd, std::uint32_t events, void* self);
  static int on_time(sd_event_source* source, std::uint64_t usec, void* self);
  void prepare();
  void process();
  void fail(const std::string& why);

  sdbus::IConnection& connection_;
  sd_event_source* io_ = nullptr;
  sd_event_source* time_ = nullptr;
  std::string failure_;
};

}  // namespace rheo
