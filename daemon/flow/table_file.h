// SPDX-License-Identifier: Apache-2.0
// TableFile: the flow table's mapped file, made new or taken over from the process before. A file that is not
// wholly plausible is never trusted: it is set aside under another name, with the reason. Collector's thread,
// but for the outbox's and lanes' fields, which their owners access atomically.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "daemon/base/mapped_file.h"
#include "daemon/base/result.h"
#include "daemon/flow/table_layout.h"

namespace rheo {

struct TableFileOptions {
  std::string path;  // empty: memory without a name
  std::uint32_t max_flows = 1'000'000;
  std::uint32_t outbox_records = 65'536;  // a power of two
};

class TableFile {
 public:
  /// Opens the file at `path`, or makes it. Fails only where no file can be made at all.
  static Result<TableFile> open(const TableFileOptions& options);

  /// Why an earlier file was set aside, and where it is now; nothing if it was used, or there was none.
  const std::optional<std::string>& set_aside() const { return set_aside_; }
  bool taken_over() const { return taken_over_; }

  TableHeader& header() const { return at<TableHeader>(kHeaderOffset); }
  LaneSlot& lane(std::size_t index) const { return at<LaneSlot>(kLanesOffset + index * 256); }
  Journal& journal() const { return at<Journal>(kJournalOffset); }
  FlowRecord* outbox() const { return &at<FlowRecord>(kOutboxOffset); }
  FlowEntry* entries() const { return &at<FlowEntry>(entries_offset_); }

  /// Entries that have memory; grows by grow().
  std::uint32_t capacity() const { return capacity_; }
  std::uint32_t max_flows() const { return max_flows_; }

  /// Gives memory to more entries, up to max_flows. False when there is none to be had.
  bool grow();

  /// The file is not needed any more: everything in it is delivered.
  void remove();

  /// The file's descriptor, for a reader that maps it read-only.
  int fd() const { return memory_.fd(); }

 private:
  template <class T>
  T& at(std::uint64_t offset) const {
    return *reinterpret_cast<T*>(memory_.data() + offset);
  }

  static Result<TableFile> create(const TableFileOptions& options, UniqueFd fd);
  static Result<TableFile> take_over(const TableFileOptions& options, UniqueFd fd);
  void set_capacity();

  MappedFile memory_;
  std::string path_;
  std::optional<std::string> set_aside_;
  std::uint64_t entries_offset_ = 0;
  std::uint32_t capacity_ = 0;
  std::uint32_t max_flows_ = 0;
  bool taken_over_ = false;
};

}  // namespace rheo
