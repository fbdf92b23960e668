// SPDX-License-Identifier: Apache-2.0
// The log: one line per event, to the journal with fields when systemd is listening, else to standard error.
// Any thread. Used by daemon/app and the lane loop only; everything below returns its errors.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/events.h"
#include "daemon/base/result.h"

namespace rheo::log {

/// syslog(3) priorities.
enum class Priority : int { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

/// A journal field beside the message, e.g. {"RHEO_INTERFACE", "eth0"}.
struct Field {
  std::string_view name;
  std::string value;
};

/// True where this descriptor is the stream to the journal that systemd made for us (systemd.exec(5)).
bool is_journal(int fd);

/// Lines less important than this are not written. Atomic.
void set_threshold(Priority priority);
Priority threshold();

/// A name may stand several times, such as that of each interface.
using Fields = std::vector<Field>;

/// The same field for each value; for the first 256, since the journal takes a thousand fields a line.
Fields repeated(std::string_view name, std::span<const std::string> values);

/// Writes one line. `fields` reach the journal only: the text must be understood without them.
void write(Priority priority, const std::string& text, const Fields& fields = {});

/// Likewise, with the event's MESSAGE_ID.
void write(Priority priority, const Event& event, const std::string& text, Fields fields = {});

/// ERRNO= of an error that has one.
Field errno_field(const Error& error);

template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Priority::error, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Priority::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void notice(fmt::format_string<Args...> format, Args&&... args) {
  write(Priority::notice, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Priority::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Priority::debug, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace rheo::log
