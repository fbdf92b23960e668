// SPDX-License-Identifier: Apache-2.0
#include "netlink/netns_names.h"

#include <sys/inotify.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace rheo {
namespace {

constexpr std::uint32_t kNamesChange = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB;

}  // namespace

Result<NetnsNames> NetnsNames::watch(std::string directory) {
  UniqueFd events(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!events) return errno_error("watch " + directory);
  NetnsNames names(std::move(events), std::move(directory));
  names.follow();
  return names;
}

/// Watches the directory, or, where there is none, for its coming.
void NetnsNames::follow() {
  if (watch_ >= 0) return;
  watch_ = ::inotify_add_watch(events_.get(), directory_.c_str(), kNamesChange | IN_ONLYDIR);
  if (watch_ < 0 && parent_ < 0) {
    const std::string above = std::filesystem::path(directory_).parent_path();
    parent_ = ::inotify_add_watch(events_.get(), above.c_str(), IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
    // It may have come in between.
    watch_ = ::inotify_add_watch(events_.get(), directory_.c_str(), kNamesChange | IN_ONLYDIR);
  }
  if (watch_ >= 0 && parent_ >= 0) {
    ::inotify_rm_watch(events_.get(), parent_);
    parent_ = -1;
  }
}

bool NetnsNames::read() {
  bool changed = false;
  alignas(inotify_event) std::array<char, 16U << 10U> buffer;
  for (;;) {
    const ssize_t size = ::read(events_.get(), buffer.data(), buffer.size());
    if (size <= 0) break;
    changed = true;
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(size);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof event);
      if ((event.mask & IN_IGNORED) != 0 && event.wd == watch_) watch_ = -1;
      at += sizeof event + event.len;
    }
  }
  follow();
  return changed;
}

NetnsNames::Names NetnsNames::look() const {
  Names names;
  std::error_code error;
  std::filesystem::directory_iterator entry(directory_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    auto opened = Netns::open(entry->path());
    names[entry->path().filename()] =
        opened ? std::make_shared<const Netns>(*std::move(opened)) : std::shared_ptr<const Netns>();
  }
  return names;
}

}  // namespace rheo
