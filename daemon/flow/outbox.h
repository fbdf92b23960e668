// SPDX-License-Identifier: Apache-2.0
// Outbox: the bounded ring of finished records in the table's file. The collector appends and never waits;
// each lane reads through an OutboxCursor at its own pace and acknowledges. Whoever is overtaken, or has more
// records waiting than its queue may hold, loses the oldest.
//
// Records are copied word by word with relaxed atomics between two loads of the writer's position, so a
// reader that was overtaken while copying notices and throws the copy away.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/flow/table_file.h"
#include "daemon/model/flow_batch.h"

namespace rheo {

class OutboxCursor;

/// What a lane which is not wanted any more had not delivered.
struct RetiredLane {
  std::string name;
  RecordLosses left;
};

struct SlowestLane {
  std::uint64_t pending = 0;    // records; 0 without lanes
  std::uint64_t delivered = 0;  // so many were, from a number of its own on: it grows when the lane gets on
};

class Outbox {
 public:
  /// The file outlives the outbox, and the outbox its cursors.
  explicit Outbox(const TableFile& file);

  /// Position of the next record. Any thread.
  std::uint64_t head() const;
  std::uint64_t capacity() const { return mask_ + 1; }

  /// How many records may wait for every lane: the shortest queue; without lanes the capacity. Any thread.
  std::uint64_t share() const { return share_.load(std::memory_order_relaxed); }

  /// FlowRecord::running_sum of the newest record. Collector's thread.
  FlowCounts sum() const;

  /// Stores the record at `position`, which is head() or, when redone after a crash, the one before.
  /// Collector's thread.
  void put(const FlowRecord& record, std::uint64_t position);

  /// Wakes waiting lanes. Collector's thread, once a batch.
  void wake();

  /// How many records a queue of this length holds: 0 and more than the capacity mean the capacity.
  std::uint64_t queue_of(std::uint64_t length) const {
    return length == 0 || length > capacity() ? capacity() : length;
  }

  /// The place of a lane that had this name before, or a new one at head(). `queue`: as in queue_of(). Fails
  /// when kMaxLanes names are taken, or the name is too long. Main thread, also while records are put; no
  /// other cursor has the name.
  Result<std::unique_ptr<OutboxCursor>> open_cursor(std::string_view name, std::uint64_t queue = 0);

  /// Forgets the lanes that are not in `names`, which have no cursors any more. Main thread, also while
  /// records are put.
  std::vector<RetiredLane> retire_lanes(const std::vector<std::string>& names);

  /// The lane with the most records that it has not acknowledged. Any thread.
  SlowestLane slowest() const;
  std::uint64_t slowest_pending() const { return slowest().pending; }

 private:
  friend class OutboxCursor;  // the two ends of one ring

  /// Where the ring ends, and the sum of all records before that.
  struct Newest {
    std::uint64_t position = 0;
    FlowCounts sum;
  };

  Status make_lane(std::string_view name);
  bool copy(std::uint64_t position, FlowRecord& record) const;
  Newest find_newest() const;
  void share_among_lanes();

  const TableFile& file_;
  std::uint64_t mask_;
  std::array<std::uint64_t, kMaxLanes> queues_{};  // of the lanes with cursors; 0: none. Main thread
  std::atomic<std::uint64_t> share_;
  std::mutex mutex_;  // for the wait only
  std::condition_variable_any grown_;
};

/// A lane's end of the outbox.
class OutboxCursor final : public RecordCursor {
 public:
  /// `queue`: 1 to the outbox's capacity.
  OutboxCursor(Outbox& outbox, LaneSlot& slot, std::uint64_t queue);

  bool next(FlowBatch& batch, std::size_t limit, std::uint64_t deadline_ns,
            const std::stop_token& stop) override;
  void acknowledge(std::uint64_t position, const FileMark& mark) override;
  void settle(const FlowBatch& batch, std::span<const SettledPart> parts, const FileMark& mark) override;
  void count_lost(const RecordLosses& lost) override;
  void rewind() override;
  FileMark file_mark() const override;
  RecordLosses losses() const override;
  std::uint64_t pending() const override;

 private:
  /// Records behind position_ that are not handed out again.
  struct Settled {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    FlowCounts before;  // running sums
    FlowCounts after;
    bool given_up = false;
  };

  bool wait_for_record(std::uint64_t deadline_ns, const std::stop_token& stop);
  std::uint64_t oldest() const;
  void skip_to_oldest();
  void move_to(LaneMark mark);
  void store_mark(const LaneMark& mark);
  LaneMark load_mark() const;

  Outbox& outbox_;
  LaneSlot& slot_;
  const std::uint64_t queue_;
  std::uint64_t position_ = 0;     // of the next record to hand out
  FlowCounts sum_;                 // running sum before position_
  std::deque<Settled> settled_;    // in order, all behind position_
  mutable std::mutex mark_mutex_;  // marks are asked from other threads too
};

}  // namespace rheo
