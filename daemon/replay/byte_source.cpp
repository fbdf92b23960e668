// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/byte_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace rheo {
namespace {
constexpr std::size_t kReadBytes = 256 * 1024;
}  // namespace

Result<ByteSource> ByteSource::open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(path);
  // Only advice: a pipe has no pages to read ahead.
  static_cast<void>(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
  return ByteSource(std::move(fd));
}

Result<std::span<const std::uint8_t>> ByteSource::peek(std::size_t size) {
  if (window_.size() < size && fd_) {
    if (auto filled = fill(size); !filled) return forward(std::move(filled));
  }
  return window_.first(std::min(size, window_.size()));
}

Result<bool> ByteSource::skip(std::uint64_t size) {
  while (size > 0) {
    const auto seen = peek(static_cast<std::size_t>(std::min<std::uint64_t>(size, kReadBytes)));
    if (!seen) return std::unexpected(seen.error());
    if (seen->empty()) return false;
    window_ = window_.subspan(seen->size());
    offset_ += seen->size();
    size -= seen->size();
  }
  return true;
}

/// Reads until the window holds `size` bytes or the file ends.
Status ByteSource::fill(std::size_t size) {
  const std::size_t kept = window_.size();
  if (buffer_.size() < std::max(size, kReadBytes)) {
    std::vector<std::uint8_t> larger(std::max(size, kReadBytes));
    std::copy(window_.begin(), window_.end(), larger.begin());
    buffer_ = std::move(larger);
  } else if (kept > 0) {
    std::memmove(buffer_.data(), window_.data(), kept);
  }

  std::size_t filled = kept;
  while (filled < size) {
    const ssize_t got = ::read(fd_.get(), buffer_.data() + filled, buffer_.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("read");
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  window_ = std::span<const std::uint8_t>(buffer_).first(filled);
  return Done{};
}

}  // namespace rheo
