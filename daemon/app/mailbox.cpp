// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/mailbox.h"

#include <sys/eventfd.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace rheo {

Result<std::shared_ptr<Mailbox>> Mailbox::open(sd_event* loop) {
  UniqueFd wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake) return errno_error("main loop");
  auto mailbox = std::make_shared<Mailbox>(std::move(wake));
  const int result =
      ::sd_event_add_io(loop, &mailbox->source_, mailbox->wake_.get(), EPOLLIN, on_readable, mailbox.get());
  if (result < 0) return errno_error("main loop", -result);
  return mailbox;
}

Mailbox::~Mailbox() { close(); }

void Mailbox::post(Work work) {
  const std::scoped_lock lock(mutex_);
  if (closed_) return;
  work_.push_back(std::move(work));
  const std::uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
}

void Mailbox::close() {
  source_ = ::sd_event_source_disable_unref(source_);
  std::vector<Work> forgotten;
  const std::scoped_lock lock(mutex_);
  closed_ = true;
  work_.swap(forgotten);
}

int Mailbox::on_readable(sd_event_source* /*source*/, int fd, std::uint32_t /*events*/, void* self) {
  std::uint64_t count = 0;
  static_cast<void>(!::read(fd, &count, sizeof count));
  static_cast<Mailbox*>(self)->run();
  return 0;
}

void Mailbox::run() {
  std::vector<Work> work;
  {
    const std::scoped_lock lock(mutex_);
    work.swap(work_);
  }
  for (const Work& each : work) each();
}

}  // namespace rheo
