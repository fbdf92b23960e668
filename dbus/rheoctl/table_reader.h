// SPDX-License-Identifier: Apache-2.0
// TableReader: the flow table's file, mapped read-only and read while rheod writes it. One thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/model/flow_entry.h"

namespace rheo::ctl {

class TableReader {
 public:
  /// Maps an open file. The error says what is wrong with it, such as the layout of another version of rheod.
  static Result<TableReader> map(UniqueFd file);

  TableReader(TableReader&& other) noexcept;
  TableReader& operator=(TableReader&& other) noexcept;
  ~TableReader();

  /// Follows a file that has grown.
  Status refresh();

  /// Nobody will write this file any more: rheod has removed it.
  bool is_removed() const;

  /// When the last drain began that is wholly in the table, on CLOCK_MONOTONIC. Waits for a drain that is
  /// being merged, up to 50 ms.
  std::uint64_t drained_at_ns() const;

  /// Entries are numbered from 0; a number stays that of a flow while it lasts.
  std::uint32_t entries() const;

  /// False where the entry has no flow, see read_entry().
  bool read(std::uint32_t entry, FlowEntry& copy) const;

 private:
  explicit TableReader(UniqueFd file) : file_(std::move(file)) {}
  void unmap();
  const TableHeader& header() const { return *reinterpret_cast<const TableHeader*>(data_ + kHeaderOffset); }

  UniqueFd file_;
  const std::byte* data_ = nullptr;
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_offset_ = 0;
};

}  // namespace rheo::ctl
