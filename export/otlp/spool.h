// SPDX-License-Identifier: Apache-2.0
// Spool: requests that a receiver did not take yet, on disk, oldest first, bounded. What append() took
// survives the process and a power cut; what was cut off in the middle is ignored. On its lane's thread, but
// for records().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/model/flow_record.h"

namespace rheo {

struct SpoolOptions {
  std::string folder;       // of this spool alone; made where it is not there, its parent is
  std::uint64_t limit = 0;  // bytes of files
};

/// One request, and what it counts for.
struct SpooledRequest {
  std::string bytes;
  std::uint64_t records = 0;
  FlowCounts counts;
};

class Spool {
 public:
  /// Reads what an earlier process left. The error is one sentence.
  static Result<std::unique_ptr<Spool>> open(const SpoolOptions& options);

  /// On the disk when it returns. Fails, with nothing taken, when the spool or the disk is full.
  Status append(std::span<const std::byte> request, std::uint64_t records, const FlowCounts& counts);

  bool empty() const { return segments_.empty(); }

  /// Nothing: what lay there cannot be read any more and is passed over; the next may be readable.
  std::optional<SpooledRequest> oldest();

  /// The oldest is done with: it is not read again, also not after a restart, unless the power is cut.
  void pop();

  /// Requests' records that are in it; any thread.
  std::uint64_t records() const { return records_; }

 private:
  struct Segment {
    std::uint64_t number = 0;
    std::uint64_t size = 0;
    UniqueFd fd;
  };

  explicit Spool(SpoolOptions options) : options_(std::move(options)) {}
  Status load();
  Status load_segment(std::uint64_t number);
  Status begin_segment();
  Status write(Segment& segment, const std::string& entry);
  std::string path(std::uint64_t number) const;
  void drop_segment();
  void skip_done();

  const SpoolOptions options_;
  std::deque<Segment> segments_;  // by number; each has a request that is not done
  std::uint64_t head_ = 0;        // where the oldest request begins in the first segment
  std::uint64_t bytes_ = 0;       // of all segments
  std::uint64_t next_number_ = 0;
  std::atomic<std::uint64_t> records_ = 0;
};

}  // namespace rheo
