// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace rheo {
namespace {

std::string read_owner(int fd) {
  char text[32] = "";
  const ssize_t size = ::pread(fd, text, sizeof text - 1, 0);
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : "unknown";
}

}  // namespace

Result<RunDirectory> RunDirectory::claim(const std::string& path) {
  RunDirectory directory;
  directory.path_ = path;
  directory.made_ = ::mkdir(path.c_str(), 0700) == 0;
  if (!directory.made_ && errno != EEXIST) return errno_error("run directory " + path);

  const std::string lock = path + "/lock";
  directory.lock_ = UniqueFd(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!directory.lock_) return errno_error("run directory: open " + lock);
  if (::flock(directory.lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_error("run directory: lock " + lock);
    return failure("run directory " + path + ": another rheod has it (process " +
                   read_owner(directory.lock_.get()) + ")");
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(directory.lock_.get(), 0) != 0 ||
      ::pwrite(directory.lock_.get(), pid.data(), pid.size(), 0) < 0)
    return errno_error("run directory: write " + lock);
  return directory;
}

void RunDirectory::clear() {
  ::unlink((path_ + "/lock").c_str());
  if (made_) ::rmdir(path_.c_str());
}

}  // namespace rheo
