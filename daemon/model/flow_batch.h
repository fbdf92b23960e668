// SPDX-License-Identifier: Apache-2.0
// FlowBatch: records in the order in which they were finished, on their way to one exporter.
// RecordCursor: a lane's place in the outbox, without saying where the outbox is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

#include "daemon/model/flow_record.h"

namespace rheo {

struct FlowBatch {
  std::vector<FlowRecord> records;   // never empty when handed to an exporter
  std::uint64_t first_position = 0;  // of records[0] in the outbox, counted since it was made

  std::size_t size() const { return records.size(); }
  std::uint64_t end_position() const { return first_position + records.size(); }
};

/// Records of a batch, from begin to before end, that need not be offered again.
struct SettledPart {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool given_up = false;  // else delivered
  friend bool operator==(const SettledPart&, const SettledPart&) = default;
};

/// Where a file exporter's acknowledged bytes end; survives the process beside the acknowledged position.
struct FileMark {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;   // 0: no file
  std::uint64_t offset = 0;  // bytes of that file that hold acknowledged records
  friend bool operator==(const FileMark&, const FileMark&) = default;
};

/// What a lane lost because the outbox overtook it, or because its exporter refused records for good.
struct RecordLosses {
  std::uint64_t records = 0;
  FlowCounts counts;
};

/// A place in the outbox with a name that outlives the process. One lane's thread uses it;
/// `losses()` and `pending()` may be asked from any thread.
class RecordCursor {
 public:
  virtual ~RecordCursor() = default;

  /// Copies up to `limit` of the oldest records not yet handed out into `batch`, waiting for the first at
  /// most until `deadline` (CLOCK_MONOTONIC ns). False: none came, or a stop was requested and none is left.
  /// Records that the ring has overtaken are skipped and counted in losses(). Each batch is acknowledged,
  /// settled or rewound before the next call.
  virtual bool next(FlowBatch& batch, std::size_t limit, std::uint64_t deadline_ns,
                    const std::stop_token& stop) = 0;

  /// Everything before `position` is delivered: from here on a restart does not repeat it.
  /// The mark is stored with it, in one step.
  virtual void acknowledge(std::uint64_t position, const FileMark& mark) = 0;

  /// What became of the batch that was handed out last; the parts are in order. Everything before its first
  /// record that is in none of them is acknowledged, with the mark. A part behind that one is not handed out
  /// again by this process. What was given up is counted in losses() when it is acknowledged.
  virtual void settle(const FlowBatch& batch, std::span<const SettledPart> parts, const FileMark& mark) = 0;

  /// Records that were acknowledged are lost after all: they are counted in losses().
  virtual void count_lost(const RecordLosses& lost) = 0;

  /// The next `next()` starts again after the last acknowledged record.
  virtual void rewind() = 0;

  virtual FileMark file_mark() const = 0;
  virtual RecordLosses losses() const = 0;

  /// Records written to the outbox and not acknowledged yet.
  virtual std::uint64_t pending() const = 0;
};

}  // namespace rheo
