// SPDX-License-Identifier: Apache-2.0
// Mailbox: work that other threads hand to the main loop. Made and destroyed by the main thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"

struct sd_event;
struct sd_event_source;

namespace rheo {

class Mailbox {
 public:
  using Work = std::function<void()>;

  /// The loop outlives the mailbox.
  static Result<std::shared_ptr<Mailbox>> open(sd_event* loop);

  explicit Mailbox(UniqueFd wake) : wake_(std::move(wake)) {}
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// The main loop will do it. Any thread.
  void post(Work work);

  /// No work is done any more; what waits is forgotten. Main thread.
  void close();

 private:
  static int on_readable(sd_event_source* source, int fd, std::uint32_t events, void* self);
  void run();

  UniqueFd wake_;
  sd_event_source* source_ = nullptr;
  std::mutex mutex_;
  std::vector<Work> work_;
  bool closed_ = false;
};

}  // namespace rheo
