// SPDX-License-Identifier: Apache-2.0
#include "daemon/base/netns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <exception>
#include <system_error>
#include <thread>

namespace rheo {

Result<Netns> Netns::open(const std::string& path) {
  Netns netns;
  // Whatever it is: a FIFO would have us wait for its writer.
  netns.file_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!netns.file_) return errno_error(path);
  struct stat file{};
  if (::ioctl(netns.file_.get(), NS_GET_NSTYPE) != CLONE_NEWNET || ::fstat(netns.file_.get(), &file) != 0)
    return failure(path + " is no network namespace");
  netns.inode_ = file.st_ino;
  return netns;
}

Status Netns::run(const std::function<void()>& work) const {
  int refused = 0;
  std::exception_ptr thrown;
  try {
    std::jthread inside([&] {
      if (::setns(file_.get(), CLONE_NEWNET) != 0) {
        refused = errno;
        return;
      }
      try {
        work();
      } catch (...) {
        thrown = std::current_exception();
      }
    });
  } catch (const std::system_error& error) {
    return errno_error("start a thread", error.code().value());
  }
  if (thrown) std::rethrow_exception(thrown);
  if (refused != 0) return errno_error("enter the network namespace", refused);
  return Done{};
}

}  // namespace rheo
