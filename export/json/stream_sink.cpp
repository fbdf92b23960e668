// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/base/unique_fd.h"
#include "export/json/line_sink.h"

namespace rheo {
namespace {

/// A stream cannot be cut back. So it remembers which records it has sent and what is missing of a line
/// that a reader has the beginning of; the next write goes on from there.
class StreamSink final : public LineSink {
 public:
  StreamSink(std::string path, std::chrono::milliseconds timeout)
      : path_(std::move(path)), timeout_(timeout) {}

  Status open(bool again) override;
  Status write(const Lines& lines) override;

 private:
  bool is_standard_output() const { return path_ == "-"; }
  std::string name() const { return is_standard_output() ? "standard output" : path_; }
  UniqueFd open_standard_output(const struct stat& status);
  Status send(std::string_view& rest, std::uint64_t deadline_ns);
  Status wait_for_room(std::uint64_t deadline_ns);
  Status send_tail(std::uint64_t deadline_ns);
  void remember(const Lines& lines, std::size_t sent);
  void forget_reader(const Error& error);

  const std::string path_;
  const std::chrono::milliseconds timeout_;
  UniqueFd fd_;
  bool never_blocks_ = false;  // a write that has no room returns
  bool socket_ = false;
  bool again_ = false;              // to be opened again at the end of a line
  std::uint64_t sent_through_ = 0;  // records before this position are sent, the last one but for tail_
  std::string tail_;
};

Status StreamSink::open(bool again) {
  again_ |= again;
  // In the middle of a line the reader is owed its rest first.
  if (again_ && tail_.empty() && !is_standard_output()) fd_.reset();
  if (fd_) return Done{};
  again_ = false;

  struct stat status{};
  if (is_standard_output()) {
    if (::fstat(STDOUT_FILENO, &status) != 0) return errno_error("look at standard output");
    fd_ = open_standard_output(status);
    if (!fd_) return errno_error("open standard output");
  } else {
    UniqueFd file(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file && errno == ENXIO)
      return failure("open " + path_ + ": nobody reads it", std::errc::broken_pipe);
    if (!file || ::fstat(file.get(), &status) != 0) return errno_error("open " + path_);
    fd_ = std::move(file);
  }
  socket_ = S_ISSOCK(status.st_mode);
  const int flags = ::fcntl(fd_.get(), F_GETFL);
  never_blocks_ = socket_ || S_ISREG(status.st_mode) || (flags >= 0 && (flags & O_NONBLOCK) != 0);
  return Done{};
}

/// O_NONBLOCK belongs to the open file, which standard output shares with our parent and its other
/// children: so a pipe or terminal is opened once more, for ourselves. A regular file is not, since its
/// offset is shared too; nor what we may not open, where writes are kept so small that they do not block.
UniqueFd StreamSink::open_standard_output(const struct stat& status) {
  if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
    UniqueFd own(::open("/proc/self/fd/1", O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (own) return own;
  }
  return UniqueFd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
}

Status StreamSink::write(const Lines& lines) {
  const std::uint64_t deadline =
      monotonic_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(timeout_).count());
  if (Status done = send_tail(deadline); !done) return done;
  const std::size_t first = lines.begin(lines.line_from(sent_through_));
  std::string_view rest = lines.text.substr(first);
  const Status done = send(rest, deadline);
  remember(lines, lines.text.size() - rest.size());
  if (!done) forget_reader(done.error());
  return done;
}

Status StreamSink::send_tail(std::uint64_t deadline_ns) {
  std::string_view rest = tail_;
  const Status done = send(rest, deadline_ns);
  tail_.erase(0, tail_.size() - rest.size());
  if (!done) forget_reader(done.error());
  return done;
}

/// Sends from the front of `rest` and leaves there what was not sent.
Status StreamSink::send(std::string_view& rest, std::uint64_t deadline_ns) {
  bool room =
      never_blocks_;  // try first; where a write could block, only after poll(2) said that there is room
  while (!rest.empty()) {
    if (!room) {
      if (Status ready = wait_for_room(deadline_ns); !ready) return ready;
    }
    const std::size_t size = never_blocks_ ? rest.size() : std::min<std::size_t>(rest.size(), PIPE_BUF);
    const ssize_t count = socket_ ? ::send(fd_.get(), rest.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                  : ::write(fd_.get(), rest.data(), size);
    if (count < 0 && errno != EINTR && errno != EAGAIN) return errno_error("write " + name());
    if (count > 0) rest.remove_prefix(static_cast<std::size_t>(count));
    room = never_blocks_ && count > 0;
  }
  return Done{};
}

Status StreamSink::wait_for_room(std::uint64_t deadline_ns) {
  const std::uint64_t now = monotonic_ns();
  const std::uint64_t left_ms = now >= deadline_ns ? 0 : (deadline_ns - now + 999'999) / 1'000'000;
  pollfd room{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
  const int ready = ::poll(&room, 1, static_cast<int>(std::min<std::uint64_t>(left_ms, INT_MAX)));
  if (ready < 0 && errno != EINTR) return errno_error("wait for " + name());
  if (ready != 0) return Done{};
  return failure("write " + name() + ": its reader did not take everything within " +
                     std::to_string(timeout_.count()) + " ms",
                 std::errc::timed_out);
}

/// The first `sent` bytes of the lines are out.
void StreamSink::remember(const Lines& lines, std::size_t sent) {
  const auto whole =
      static_cast<std::size_t>(std::ranges::upper_bound(lines.ends, sent) - lines.ends.begin());
  const std::size_t begin = lines.begin(whole);
  sent_through_ = std::max(sent_through_, lines.first_position + whole);
  if (whole == lines.ends.size() || sent == begin) return;
  tail_ = lines.text.substr(sent, lines.ends[whole] - sent);
  sent_through_ = lines.first_position + whole + 1;
}

/// Whoever opens a FIFO next did not see the beginning of a torn line: it is sent again whole.
void StreamSink::forget_reader(const Error& error) {
  if (error.code == std::errc::timed_out || is_standard_output()) return;
  if (error.code != std::errc::broken_pipe) return;
  fd_.reset();
  if (!tail_.empty()) --sent_through_;
  tail_.clear();
}

}  // namespace

std::unique_ptr<LineSink> make_stream_sink(std::string path, std::chrono::milliseconds timeout) {
  return std::make_unique<StreamSink>(std::move(path), timeout);
}

}  // namespace rheo
