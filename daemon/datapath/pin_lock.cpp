// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/pin_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace rheo {
namespace {

bool is_bpffs(const std::string& path) {
  struct statfs fs{};
  return ::statfs(path.c_str(), &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

/// Of the process that has locked the file, by proc_locks(5): "1: FLOCK ADVISORY WRITE 1234 00:2a:56 0 EOF".
std::string owner_of_lock(const struct stat& file) {
  const std::string place =
      fmt::format("{:02x}:{:02x}:{}", major(file.st_dev), minor(file.st_dev), file.st_ino);
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number;
    std::string type;
    std::string mode;
    std::string access;
    std::string process;
    std::string where;
    words >> number >> type >> mode >> access >> process >> where;
    if (type == "FLOCK" && where == place) return process;
  }
  return "unknown";
}

}  // namespace

Result<PinLock> PinLock::take(const std::string& pin_directory) {
  PinLock lock;
  lock.path_ = pin_directory;
  while (lock.path_.size() > 1 && lock.path_.back() == '/') lock.path_.pop_back();
  if (lock.path_.empty()) return lock;
  for (;;) {
    if (is_bpffs(std::filesystem::path(lock.path_).parent_path()) && ::mkdir(lock.path_.c_str(), 0700) == 0)
      lock.made_ = true;
    if (!is_bpffs(lock.path_)) return lock;
    lock.lock_ = UniqueFd(::open(lock.path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat locked{};
    if (!lock.lock_ || ::fstat(lock.lock_.get(), &locked) != 0) return lock;
    if (::flock(lock.lock_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return errno_error("lock pin directory " + lock.path_);
      return failure(fmt::format("pin directory {}: another rheod has it (process {})", lock.path_,
                                 owner_of_lock(locked)),
                     std::errc::device_or_resource_busy);
    }
    // Its owner removes it at the end, perhaps between our open and our lock.
    struct stat named{};
    if (::lstat(lock.path_.c_str(), &named) == 0 && named.st_ino == locked.st_ino) return lock;
  }
}

void PinLock::clear() {
  if (made_) ::rmdir(path_.c_str());
}

}  // namespace rheo
