// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/table_reader.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

namespace rheo::ctl {
namespace {

constexpr const char* kOtherVersion = "rheod and rheoctl are not of the same version, restart rheod";

Status check_header(const TableHeader& header) {
  if (header.magic != kTableMagic) return failure("flow table: this is none");
  if (header.schema != kTableSchema)
    return failure("flow table: its layout is number " + std::to_string(header.schema) +
                   ", this rheoctl reads " + std::to_string(kTableSchema) + ": " + kOtherVersion);
  if (header.entry_bytes != sizeof(FlowEntry) || header.record_bytes != sizeof(FlowRecord) ||
      !std::has_single_bit(header.outbox_records))
    return failure(std::string("flow table: its layout is another: ") + kOtherVersion);
  return Done{};
}

}  // namespace

Result<TableReader> TableReader::map(UniqueFd file) {
  TableReader reader(std::move(file));
  if (auto mapped = reader.refresh(); !mapped) return forward(std::move(mapped));
  if (reader.bytes_ < sizeof(TableHeader)) return failure("flow table: it is too short");
  if (auto checked = check_header(reader.header()); !checked) return forward(std::move(checked));
  reader.entries_offset_ = entries_offset(reader.header().outbox_records);
  return reader;
}

TableReader::TableReader(TableReader&& other) noexcept
    : file_(std::move(other.file_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      entries_offset_(other.entries_offset_) {}

TableReader& TableReader::operator=(TableReader&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(entries_offset_, other.entries_offset_);
  return *this;
}

TableReader::~TableReader() { unmap(); }

void TableReader::unmap() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), bytes_);
  data_ = nullptr;
  bytes_ = 0;
}

Status TableReader::refresh() {
  struct stat status{};
  if (::fstat(file_.get(), &status) != 0) return errno_error("look at the flow table");
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  if (bytes == bytes_) return Done{};
  unmap();
  if (bytes == 0) return Done{};
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file_.get(), 0);
  if (mapped == MAP_FAILED) return errno_error("map the flow table");
  data_ = static_cast<const std::byte*>(mapped);
  bytes_ = bytes;
  return Done{};
}

bool TableReader::is_removed() const {
  struct stat status{};
  return ::fstat(file_.get(), &status) != 0 || status.st_nlink == 0;
}

std::uint64_t TableReader::drained_at_ns() const {
  constexpr int kMilliseconds = 50;
  for (int waited = 0; waited < kMilliseconds; ++waited) {
    if ((__atomic_load_n(&header().drain_version, __ATOMIC_ACQUIRE) & 1U) == 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return __atomic_load_n(&header().drained_at_ns, __ATOMIC_ACQUIRE);
}

std::uint32_t TableReader::entries() const {
  if (bytes_ < entries_offset_) return 0;
  const std::uint64_t used = __atomic_load_n(&header().entries_used_upto, __ATOMIC_ACQUIRE);
  return static_cast<std::uint32_t>(std::min(used, (bytes_ - entries_offset_) / sizeof(FlowEntry)));
}

bool TableReader::read(std::uint32_t entry, FlowEntry& copy) const {
  return read_entry(reinterpret_cast<const FlowEntry*>(data_ + entries_offset_)[entry], copy);
}

}  // namespace rheo::ctl
