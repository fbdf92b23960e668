// SPDX-License-Identifier: Apache-2.0
#include "daemon/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "daemon/base/assert.h"

namespace rheo {

Result<MappedFile> MappedFile::map(UniqueFd fd, std::uint64_t size, std::uint64_t reserve) {
  RHEO_ASSERT(size <= reserve);
  void* address = ::mmap(nullptr, reserve, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (address == MAP_FAILED) return errno_error("map " + std::to_string(reserve) + " bytes");
  MappedFile file;
  file.fd_ = std::move(fd);
  file.data_ = static_cast<std::byte*>(address);
  file.size_ = size;
  file.reserve_ = reserve;
  return file;
}

Result<MappedFile> MappedFile::anonymous(std::uint64_t size, std::uint64_t reserve) {
  UniqueFd fd(::memfd_create("rheo", MFD_CLOEXEC));
  if (!fd) return errno_error("memfd_create");
  auto file = map(std::move(fd), 0, reserve);
  if (!file) return file;
  if (auto grown = file->grow(size); !grown) return forward(std::move(grown));
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      reserve_(std::exchange(other.reserve_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) ::munmap(data_, reserve_);
    fd_ = std::move(other.fd_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    reserve_ = std::exchange(other.reserve_, 0);
  }
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, reserve_);
}

Status MappedFile::grow(std::uint64_t size) {
  if (size <= size_) return Done{};
  RHEO_ASSERT(size <= reserve_);
  // posix_fallocate would write zeros where fallocate is not supported: a table belongs on tmpfs or a real
  // file system.
  if (::fallocate(fd_.get(), 0, static_cast<off_t>(size_), static_cast<off_t>(size - size_)) != 0)
    return errno_error("allocate " + std::to_string(size) + " bytes");
  size_ = size;
  return Done{};
}

}  // namespace rheo
