// SPDX-License-Identifier: Apache-2.0
// ByteSource: the bytes of a file (or pipe) from front to back through a window, or of memory that someone
// else owns. Captures are larger than memory, so a file is read, not mapped: one that shrinks meanwhile
// is a short read, not a SIGBUS. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"

namespace rheo {

class ByteSource {
 public:
  static Result<ByteSource> open(const std::string& path);

  /// Over memory that must outlive the source.
  explicit ByteSource(std::span<const std::uint8_t> memory) : window_(memory) {}

  /// The next `size` bytes without moving past them; fewer only where the file ends. Good until the next
  /// peek() or skip(). Fails only when the file cannot be read.
  Result<std::span<const std::uint8_t>> peek(std::size_t size);

  /// Moves past `size` bytes; true when there were so many.
  Result<bool> skip(std::uint64_t size);

  /// Bytes moved past so far.
  std::uint64_t offset() const { return offset_; }

 private:
  explicit ByteSource(UniqueFd fd) : fd_(std::move(fd)) {}
  Status fill(std::size_t size);

  UniqueFd fd_;                           // none: everything there is lies in window_
  std::vector<std::uint8_t> buffer_;      // behind window_, for a file
  std::span<const std::uint8_t> window_;  // read and not moved past yet
  std::uint64_t offset_ = 0;
};

}  // namespace rheo
