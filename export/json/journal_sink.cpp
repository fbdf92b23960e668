// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/base/unique_fd.h"
#include "export/json/line_sink.h"

namespace rheo {
namespace {

/// Speaks the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL) itself: sd_journal_sendv(3)
/// waits for ever for a journal that does not read, and says nothing when there is none.
class JournalSink final : public LineSink {
 public:
  JournalSink(std::string socket_path, std::chrono::milliseconds timeout)
      : socket_path_(std::move(socket_path)), timeout_(timeout) {}

  Status open(bool again) override;
  Status write(const Lines& lines) override;

 private:
  Status too_slow() const;

  const std::string socket_path_;
  const std::chrono::milliseconds timeout_;
  UniqueFd socket_;
  std::string entry_;               // keeps its memory
  std::uint64_t sent_through_ = 0;  // records before this position are in the journal
};

Status JournalSink::open(bool again) {
  if (again) socket_.reset();
  if (socket_) return Done{};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path_.size() >= sizeof address.sun_path)
    return failure("open " + socket_path_ + ": the name is too long");
  std::memcpy(address.sun_path, socket_path_.data(), socket_path_.size());

  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const timeval wait{.tv_sec = timeout_.count() / 1'000, .tv_usec = timeout_.count() % 1'000 * 1'000};
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0 ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno_error("reach the journal at " + socket_path_);
  socket_ = std::move(socket);
  return Done{};
}

Status JournalSink::too_slow() const {
  return failure(
      "write to the journal: it did not take everything within " + std::to_string(timeout_.count()) + " ms",
      std::errc::timed_out);
}

Status JournalSink::write(const Lines& lines) {
  const std::uint64_t deadline =
      monotonic_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(timeout_).count());
  for (std::size_t line = lines.line_from(sent_through_); line < lines.ends.size(); ++line) {
    if (monotonic_ns() > deadline) return too_slow();
    const std::size_t begin = lines.begin(line);
    entry_ = "SYSLOG_IDENTIFIER=rheo-flow\nPRIORITY=6\nMESSAGE=";
    entry_ += lines.text.substr(begin, lines.ends[line] - begin);  // newline included
    ssize_t count = 0;
    do {
      count = ::send(socket_.get(), entry_.data(), entry_.size(), MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    if (count < 0 && errno != EAGAIN) {
      const int number = errno;
      socket_.reset();
      return errno_error("write to the journal", number);
    }
    if (count < 0) return too_slow();
    sent_through_ = lines.first_position + line + 1;
  }
  return Done{};
}

}  // namespace

std::unique_ptr<LineSink> make_journal_sink(std::string socket_path, std::chrono::milliseconds timeout) {
  return std::make_unique<JournalSink>(std::move(socket_path), timeout);
}

}  // namespace rheo
