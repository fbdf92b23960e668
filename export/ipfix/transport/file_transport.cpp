// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "daemon/base/clock.h"
#include "export/ipfix/transport/transports.h"
#include "export/marked_file.h"

namespace rheo {
namespace {

constexpr std::size_t kFileMessageSize = 65'535;  // bytes

/// RFC 5655: an IPFIX file is messages one after the other. Each opening begins a session, so that a file can
/// be read without the ones before it.
class FileTransport final : public IpfixTransport {
 public:
  explicit FileTransport(const IpfixTransportOptions& options)
      : options_(options), file_(options.endpoint.path) {}

  Result<bool> prepare() override;
  Status send(std::span<const std::byte> message) override;
  void close() override { over_ = again_ = true; }
  std::size_t max_message_size() const override;
  bool takes_back_batch() const override { return true; }
  void abandon_batch() override;
  FileMark mark() const override { return file_.mark(); }
  Status resume(const FileMark& mark) override { return file_.resume(mark); }

 private:
  bool is_due() const;
  void note_age();
  Status put_aside() const;

  const IpfixTransportOptions options_;
  MarkedFile file_;
  std::uint64_t born_ns_ = 0;  // nanoseconds since 1970
  bool over_ = true;           // the next message is a session's first
  bool again_ = true;          // the path may mean another file now
};

/// A rotation follows what is acknowledged: what was put aside is never cut back again.
Result<bool> FileTransport::prepare() {
  const bool opened = std::exchange(again_, false);
  if (Status open = file_.open(opened); !open) {
    again_ |= opened;
    return forward(std::move(open));
  }
  if (opened) note_age();
  if (is_due()) {
    if (Status moved = put_aside(); !moved) return forward(std::move(moved));
    again_ = true;
    return prepare();
  }
  return std::exchange(over_, false) || opened;
}

/// A file that was here before us is as old as the file system says, where it does.
void FileTransport::note_age() {
  born_ns_ = realtime_ns();
  struct statx status{};
  if (::statx(AT_FDCWD, file_.path().c_str(), 0, STATX_BTIME, &status) != 0) return;
  if ((status.stx_mask & STATX_BTIME) == 0) return;
  born_ns_ =
      static_cast<std::uint64_t>(status.stx_btime.tv_sec) * kNanosecondsPerSecond + status.stx_btime.tv_nsec;
}

bool FileTransport::is_due() const {
  const IpfixRotation& rotation = options_.rotation;
  if (file_.mark().offset == 0) return false;
  if (rotation.size != 0 && file_.mark().offset >= rotation.size) return true;
  const std::uint64_t now = realtime_ns();
  return rotation.interval.count() > 0 && now > born_ns_ &&
         now - born_ns_ >= static_cast<std::uint64_t>(rotation.interval.count());
}

Status FileTransport::put_aside() const {
  const auto rotated = [this](unsigned number) {
    std::string name = file_.path();
    if (number > 0) name.append(".").append(std::to_string(number));
    return name;
  };
  for (unsigned number = std::max(options_.rotation.keep, 1U); number > 0; --number) {
    const std::string from = rotated(number - 1);
    const std::string to = rotated(number);
    if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT)
      return errno_error(fmt::format("rename {} to {}", from, to));
  }
  return Done{};
}

Status FileTransport::send(std::span<const std::byte> message) {
  if (over_ || again_ || !file_.is_open()) return failure("write " + file_.path() + ": not prepared");
  Status written = file_.append(message);
  over_ = !written;
  return written;
}

void FileTransport::abandon_batch() {
  if (file_.is_open()) file_.take_back();
  over_ = true;
}

std::size_t FileTransport::max_message_size() const {
  return options_.max_message_size != 0 ? options_.max_message_size : kFileMessageSize;
}

}  // namespace

IpfixTransportPtr make_file_transport(const IpfixTransportOptions& options) {
  return std::make_unique<FileTransport>(options);
}

}  // namespace rheo
