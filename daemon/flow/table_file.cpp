// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/table_file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>

#include "daemon/flow/table_check.h"

namespace rheo {
namespace {

constexpr std::uint32_t kGrowEntries = 4096;  // 1.25 MiB at a time

std::string read_boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::uint64_t reserved_bytes(const TableFileOptions& options, std::uint64_t outbox_records) {
  return entries_offset(outbox_records) + std::uint64_t{options.max_flows} * sizeof(FlowEntry) + 4096;
}

Result<std::uint64_t> file_size(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return errno_error("look at the flow table");
  if (!S_ISREG(status.st_mode)) return failure("it is not a regular file");
  return static_cast<std::uint64_t>(status.st_size);
}

}  // namespace

Result<TableFile> TableFile::open(const TableFileOptions& options) {
  if (options.path.empty()) return create(options, UniqueFd());

  std::optional<std::string> set_aside;
  if (UniqueFd fd(::open(options.path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)); fd) {
    auto table = take_over(options, std::move(fd));
    if (table) return table;
    const std::string aside = options.path + ".rejected";
    if (::rename(options.path.c_str(), aside.c_str()) != 0)
      return errno_error("set " + options.path + " aside (" + table.error().what + ")");
    set_aside = options.path + ": " + table.error().what + ": set aside as " + aside;
  } else if (errno != ENOENT) {
    return errno_error("open " + options.path);
  }

  // Made under another name first: a file at `path` always has a whole header.
  const std::string fresh = options.path + ".new";
  UniqueFd fd(::open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return errno_error("create " + fresh);
  auto table = create(options, std::move(fd));
  if (table && ::rename(fresh.c_str(), options.path.c_str()) != 0) table = errno_error("rename");
  if (!table) {
    ::unlink(fresh.c_str());
    return forward(std::move(table), fresh);
  }
  table->set_aside_ = std::move(set_aside);
  return table;
}

Result<TableFile> TableFile::create(const TableFileOptions& options, UniqueFd fd) {
  const std::uint64_t size = entries_offset(options.outbox_records);
  const std::uint64_t reserve = reserved_bytes(options, options.outbox_records);
  auto memory = fd ? MappedFile::map(std::move(fd), 0, reserve) : MappedFile::anonymous(0, reserve);
  if (!memory) return forward(std::move(memory));
  if (auto grown = memory->grow(size); !grown) return forward(std::move(grown));

  TableFile table;
  table.memory_ = *std::move(memory);
  table.path_ = options.path;
  table.max_flows_ = options.max_flows;
  table.entries_offset_ = size;

  TableHeader& header = table.header();
  header.magic = kTableMagic;
  header.schema = kTableSchema;
  header.entry_bytes = sizeof(FlowEntry);
  header.record_bytes = sizeof(FlowRecord);
  header.lane_bytes = sizeof(LaneSlot);
  header.outbox_records = options.outbox_records;
  std::snprintf(header.boot_id, sizeof header.boot_id, "%s", read_boot_id().c_str());
  std::uint32_t prefix = 0;
  if (::getrandom(&prefix, sizeof prefix, 0) != sizeof prefix) return errno_error("getrandom");
  header.flow_id_prefix = std::uint64_t{prefix} << 32U;
  header.next_flow_number = 1;
  if (!table.grow()) return failure("no space for the first flows", std::errc::no_space_on_device);
  return table;
}

Result<TableFile> TableFile::take_over(const TableFileOptions& options, UniqueFd fd) {
  auto size = file_size(fd.get());
  if (!size) return forward(std::move(size));
  if (*size < entries_offset(1)) return failure("it is too short");

  TableHeader header{};
  if (::pread(fd.get(), &header, sizeof header, 0) != sizeof header) return errno_error("read its header");
  if (auto fault = find_header_fault(header, read_boot_id()); !fault.empty())
    return failure(std::move(fault));

  const std::uint64_t offset = entries_offset(header.outbox_records);
  if (*size < offset + sizeof(FlowEntry)) return failure("it is too short for its outbox and an entry");
  const std::uint64_t entries = (*size - offset) / sizeof(FlowEntry);
  if (entries > 200'000'000) return failure("it is too long");

  // A smaller max_flows than the file has entries: the file's stay.
  TableFileOptions grown = options;
  grown.max_flows = std::max(options.max_flows, static_cast<std::uint32_t>(entries));
  auto memory = MappedFile::map(std::move(fd), *size, reserved_bytes(grown, header.outbox_records));
  if (!memory) return forward(std::move(memory));

  TableFile table;
  table.memory_ = *std::move(memory);
  table.path_ = options.path;
  table.max_flows_ = grown.max_flows;
  table.entries_offset_ = offset;
  table.taken_over_ = true;
  table.set_capacity();
  const TableBytes bytes{.header = &table.header(),
                         .lanes = &table.lane(0),
                         .journal = &table.journal(),
                         .outbox = table.outbox(),
                         .entries = table.entries(),
                         .capacity = table.capacity_};
  if (auto fault = find_table_fault(bytes); !fault.empty()) return failure(std::move(fault));
  return table;
}

void TableFile::set_capacity() {
  const std::uint64_t entries = (memory_.size() - entries_offset_) / sizeof(FlowEntry);
  capacity_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(entries, max_flows_));
}

bool TableFile::grow() {
  if (capacity_ >= max_flows_) return false;
  const std::uint64_t wanted = std::min<std::uint64_t>(std::uint64_t{capacity_} + kGrowEntries, max_flows_);
  const std::uint64_t bytes = (entries_offset_ + wanted * sizeof(FlowEntry) + 4095) & ~std::uint64_t{4095};
  if (!memory_.grow(bytes)) return false;
  set_capacity();
  return true;
}

void TableFile::remove() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

}  // namespace rheo
