// SPDX-License-Identifier: Apache-2.0
// Spool: requests that a receiver did not take yet, on disk, oldest first, bounded. What append() took
// survives the process and a power cut. What is damaged on the disk is passed over and told of:
// take_damage(). On its lane's thread, but for records().
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
#include "daemon/model/flow_batch.h"
#include "export/otlp/spool_entry.h"

namespace rheo {

struct SpoolOptions {
  std::string folder;        // of this spool alone; made where it is not there, its parent is
  std::uint64_t limit = 0;   // bytes of files
  std::string boot_id = {};  // of this boot; "": the kernel's
};

/// One request, and what it counts for.
struct SpooledRequest {
  std::string bytes;
  std::uint64_t records = 0;
  FlowCounts counts;
};

/// What the disk did not keep.
struct SpoolDamage {
  RecordLosses lost;  // of requests of which a head could still be read
  std::uint64_t unreadable =
      0;  // octets that may have held requests, too: then `lost` is the least it can be
};

class Spool {
 public:
  /// Reads what an earlier process left. A request at the end that is not whole was being written when the
  /// process died, and its records still wait in the queue; after a power cut, which takes the queue along,
  /// it is damage. The error is one sentence.
  static Result<std::unique_ptr<Spool>> open(const SpoolOptions& options);

  /// On the disk when it returns. Fails, with nothing taken, when the spool or the disk is full.
  Status append(std::span<const std::byte> request, std::uint64_t records, const FlowCounts& counts);

  bool empty() const { return segments_.empty(); }

  /// Nothing: it is damaged, and done with; the next may be readable.
  std::optional<SpooledRequest> oldest();

  /// The oldest is done with: it is not read again, also not after a restart, unless the power is cut.
  void pop();

  /// What was found damaged since the last call, also by open().
  SpoolDamage take_damage() { return std::exchange(damage_, {}); }

  /// Requests' records that are in it; any thread.
  std::uint64_t records() const { return records_; }

 private:
  struct Segment {
    std::uint64_t number = 0;
    std::uint64_t size = 0;
    UniqueFd fd;
  };

  explicit Spool(const SpoolOptions& options);
  Status load();
  Status load_segment(std::uint64_t number);
  void note_torn(const SpoolEntry& entry);
  void lose(const SpoolEntry& entry);
  Status begin_segment();
  Status write(Segment& segment, const std::string& entry);
  std::string path(std::uint64_t number) const;
  void drop_segment();
  void advance(std::uint64_t offset);

  const SpoolOptions options_;
  const std::string boot_id_;
  std::deque<Segment> segments_;  // by number; each has a request that is not done
  SpoolEntry oldest_;             // in the first segment, where there is one
  std::uint64_t bytes_ = 0;       // of all segments
  std::uint64_t next_number_ = 0;
  SpoolDamage damage_;
  std::atomic<std::uint64_t> records_ = 0;
};

}  // namespace rheo
