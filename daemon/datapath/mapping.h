// SPDX-License-Identifier: Apache-2.0
// Mapping: a part of a BPF map that is seen by the kernel and us at once. One owner; unmapped with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "daemon/base/result.h"

namespace rheo {

class Mapping {
 public:
  enum class Access : std::uint8_t { read, read_write };

  Mapping() = default;
  static Result<Mapping> map(int fd, std::size_t size, std::size_t offset, Access access);

  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace rheo
