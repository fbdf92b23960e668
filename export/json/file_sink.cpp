// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "daemon/base/unique_fd.h"
#include "export/json/line_sink.h"

namespace rheo {
namespace {

class FileSink final : public LineSink {
 public:
  explicit FileSink(std::string path) : path_(std::move(path)) {}

  Status resume(const FileMark& mark) override;
  Status open(bool again) override;
  Status write(const Lines& lines) override;
  FileMark mark() const override { return mark_; }

 private:
  Status check_open_file();

  const std::string path_;
  UniqueFd file_;
  FileMark mark_;      // offset: the end of the last whole batch
  bool torn_ = false;  // a part of a batch could not be cut off
};

FileMark mark_of(const struct stat& status) {
  return {
      .device = status.st_dev, .inode = status.st_ino, .offset = static_cast<std::uint64_t>(status.st_size)};
}

Status FileSink::resume(const FileMark& mark) {
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

Status FileSink::open(bool again) {
  if (again) {
    file_.reset();
    torn_ = false;  // the old file keeps its torn end; the batch goes to the new one whole
  }
  if (file_) return check_open_file();

  UniqueFd file(
      ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) return errno_error("open " + path_);
  if (!S_ISREG(status.st_mode)) return failure("open " + path_ + ": not a regular file any more");
  file_ = std::move(file);
  mark_ = mark_of(status);
  return Done{};
}

/// Somebody may have cut the file (logrotate's copytruncate), or we may owe it a cut ourselves.
Status FileSink::check_open_file() {
  if (torn_ && ::ftruncate(file_.get(), static_cast<off_t>(mark_.offset)) != 0)
    return errno_error("cut back " + path_);
  torn_ = false;
  struct stat status{};
  if (::fstat(file_.get(), &status) != 0) return errno_error("look at " + path_);
  mark_ = mark_of(status);
  return Done{};
}

Status FileSink::write(const Lines& lines) {
  std::string_view rest = lines.text;
  while (!rest.empty()) {
    const ssize_t count = ::write(file_.get(), rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int number = errno;
      torn_ = ::ftruncate(file_.get(), static_cast<off_t>(mark_.offset)) != 0;
      return errno_error("write " + path_, number);
    }
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  mark_.offset += lines.text.size();
  return Done{};
}

}  // namespace

std::unique_ptr<LineSink> make_file_sink(std::string path) {
  return std::make_unique<FileSink>(std::move(path));
}

}  // namespace rheo
