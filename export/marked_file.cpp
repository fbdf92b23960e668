// SPDX-License-Identifier: Apache-2.0
#include "export/marked_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace rheo {
namespace {

FileMark mark_of(const struct stat& status) {
  return {
      .device = status.st_dev, .inode = status.st_ino, .offset = static_cast<std::uint64_t>(status.st_size)};
}

}  // namespace

MarkedFile::MarkedFile(std::string path) : path_(std::move(path)) {}

Status MarkedFile::resume(const FileMark& mark) {
  // O_NONBLOCK: should the name be a FIFO's by now, nobody waits for its reader.
  const UniqueFd file(::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file && (errno == ENOENT || errno == ENXIO)) return Done{};
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return errno_error("open " + path_);
  const FileMark end = mark_of(status);
  const bool same_file = S_ISREG(status.st_mode) && end.device == mark.device && end.inode == mark.inode;
  if (!same_file || end.offset <= mark.offset) return Done{};
  if (::ftruncate(file.get(), static_cast<off_t>(mark.offset)) != 0) return errno_error("cut back " + path_);
  return Done{};
}

Status MarkedFile::open(bool again) {
  if (again) {
    file_.reset();
    torn_ = false;  // the old file keeps its torn end; the batch goes to the new one whole
  }
  if (file_) return look_at_end();

  UniqueFd file(
      ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return errno_error("open " + path_);
  if (!S_ISREG(status.st_mode)) return failure("open " + path_ + ": not a regular file");
  file_ = std::move(file);
  mark_ = mark_of(status);
  batch_offset_ = mark_.offset;
  return Done{};
}

/// Somebody may have cut the file (logrotate's copytruncate), or we may owe it a cut ourselves.
Status MarkedFile::look_at_end() {
  if (torn_ && ::ftruncate(file_.get(), static_cast<off_t>(batch_offset_)) != 0)
    return errno_error("cut back " + path_);
  torn_ = false;
  struct stat status{};
  if (::fstat(file_.get(), &status) != 0) return errno_error("look at " + path_);
  mark_ = mark_of(status);
  batch_offset_ = mark_.offset;
  return Done{};
}

void MarkedFile::take_back() {
  torn_ = ::ftruncate(file_.get(), static_cast<off_t>(batch_offset_)) != 0;
  mark_.offset = batch_offset_;
}

Status MarkedFile::append(std::span<const std::byte> bytes) {
  std::span<const std::byte> rest = bytes;
  while (!rest.empty()) {
    const ssize_t count = ::write(file_.get(), rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int number = errno;
      take_back();
      return errno_error("write " + path_, number);
    }
    rest = rest.subspan(static_cast<std::size_t>(count));
  }
  mark_.offset += bytes.size();
  return Done{};
}

}  // namespace rheo
