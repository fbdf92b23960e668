// SPDX-License-Identifier: Apache-2.0
// MappedFile: a file mapped shared and writable at one fixed address, that grows without moving.
// Address space is reserved for the largest size; pages beyond the file's end are never touched.
// One owner; the bytes are shared with whoever else maps the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"

namespace rheo {

class MappedFile {
 public:
  MappedFile() = default;

  /// Maps an open file of which `size` bytes are allocated, with room to grow to `reserve` bytes.
  static Result<MappedFile> map(UniqueFd fd, std::uint64_t size, std::uint64_t reserve);

  /// As map, for memory that has no name and dies with the process.
  static Result<MappedFile> anonymous(std::uint64_t size, std::uint64_t reserve);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::byte* data() const { return data_; }
  std::uint64_t size() const { return size_; }
  int fd() const { return fd_.get(); }

  /// Allocates the file up to `size` bytes; nothing changes when there is no space for that.
  /// Allocated, not sparse: a hole on a full tmpfs would be a SIGBUS later.
  Status grow(std::uint64_t size);

 private:
  UniqueFd fd_;
  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
  std::uint64_t reserve_ = 0;
};

}  // namespace rheo
