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

/// Whether the file is still the one of that name: its owner removes it at the end, perhaps between our open
/// and our lock.
bool is_current(int fd, const std::string& path) {
  struct stat ours{};
  struct stat named{};
  return ::fstat(fd, &ours) == 0 && ::lstat(path.c_str(), &named) == 0 && ours.st_dev == named.st_dev &&
         ours.st_ino == named.st_ino;
}

/// The lock file, locked.
Result<UniqueFd> take_lock(const std::string& path) {
  for (;;) {
    UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!lock) return errno_error("open " + path);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return errno_error("lock " + path);
      return failure("another rheod has it (process " + read_owner(lock.get()) + ")");
    }
    if (is_current(lock.get(), path)) return lock;  // else one more rheod has come and gone
  }
}

}  // namespace

Result<RunDirectory> RunDirectory::claim(const std::string& path) {
  RunDirectory directory;
  directory.path_ = path;
  directory.made_ = ::mkdir(path.c_str(), 0700) == 0;
  if (!directory.made_ && errno != EEXIST) return errno_error("run directory " + path);

  const std::string name = path + "/lock";
  auto lock = take_lock(name);
  if (!lock) return forward(std::move(lock), "run directory " + path);
  directory.lock_ = *std::move(lock);
  directory.give_to_owner(directory.lock_.get());
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(directory.lock_.get(), 0) != 0 ||
      ::pwrite(directory.lock_.get(), pid.data(), pid.size(), 0) < 0)
    return errno_error("run directory " + path + ": write " + name);
  return directory;
}

void RunDirectory::give_to_owner(int fd) const {
  struct stat folder{};
  if (::geteuid() != 0 || ::stat(path_.c_str(), &folder) != 0) return;
  // Where that fails, the next start says what it cannot open.
  [[maybe_unused]] const int given = ::fchown(fd, folder.st_uid, folder.st_gid);
}

void RunDirectory::clear() {
  ::unlink((path_ + "/lock").c_str());
  if (made_) ::rmdir(path_.c_str());
}

}  // namespace rheo
