// SPDX-License-Identifier: Apache-2.0
#include "dbus/event_source.h"

#include <systemd/sd-event.h>

namespace rheo {
namespace {

// Messages handled before the loop looks at its other sources, so that no client starves them.
constexpr int kMessagesAtOnce = 32;

}  // namespace

Result<std::unique_ptr<EventSource>> EventSource::attach(sd_event* loop, sdbus::IConnection& connection) {
  auto source = std::make_unique<EventSource>(connection);
  const bus::Poll poll = bus::poll_of(connection);
  int result = ::sd_event_add_io(loop, &source->io_, poll.fd, static_cast<std::uint32_t>(poll.events), on_io,
                                 source.get());
  if (result >= 0) result = ::sd_event_source_set_prepare(source->io_, on_prepare);
  if (result >= 0)
    result = ::sd_event_add_time(loop, &source->time_, CLOCK_MONOTONIC, 0, 1, on_time, source.get());
  if (result < 0) return errno_error("main loop", -result);
  return source;
}

EventSource::~EventSource() {
  ::sd_event_source_disable_unref(io_);
  ::sd_event_source_disable_unref(time_);
}

int EventSource::on_prepare(sd_event_source* /*source*/, void* self) {
  static_cast<EventSource*>(self)->prepare();
  return 0;
}

int EventSource::on_io(sd_event_source* /*source*/, int /*fd*/, std::uint32_t /*events*/, void* self) {
  static_cast<EventSource*>(self)->process();
  return 0;
}

int EventSource::on_time(sd_event_source* /*source*/, std::uint64_t /*usec*/, void* self) {
  static_cast<EventSource*>(self)->process();
  return 0;
}

void EventSource::prepare() {
  if (!failure_.empty()) return;
  try {
    const bus::Poll poll = bus::poll_of(connection_);
    ::sd_event_source_set_io_events(io_, static_cast<std::uint32_t>(poll.events));
    ::sd_event_source_set_time(time_, poll.until_us);
    ::sd_event_source_set_enabled(time_, poll.until_us == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
  } catch (const sdbus::Error& error) {
    fail(error.getMessage());
  }
}

void EventSource::process() {
  if (!failure_.empty()) return;
  try {
    for (int i = 0; i < kMessagesAtOnce && bus::process_one(connection_); ++i) {
    }
  } catch (const sdbus::Error& error) {
    fail(error.getMessage());
  }
}

void EventSource::fail(const std::string& why) {
  failure_ = why.empty() ? "connection lost" : why;
  ::sd_event_source_set_enabled(io_, SD_EVENT_OFF);
  ::sd_event_source_set_enabled(time_, SD_EVENT_OFF);
}

}  // namespace rheo
