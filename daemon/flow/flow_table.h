// SPDX-License-Identifier: Apache-2.0
// FlowTable: one entry per biflow. Merges drained rows, each exactly once whatever kills the process, decides
// when a record ends, and appends finished records to the outbox. Collector's thread; the outbox's cursors
// are the lanes'.
//
// Every change is a redo log of one entry: after-image, finished record and the row's source go to the
// journal; `committed` is stored; entry, outbox and source follow; `committed` is cleared. Whoever opens the
// file after a crash repeats what was committed.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/flow/expiry_wheel.h"
#include "daemon/flow/flow_index.h"
#include "daemon/flow/flow_rules.h"
#include "daemon/flow/least_recent.h"
#include "daemon/flow/outbox.h"
#include "daemon/flow/table_file.h"
#include "daemon/model/counters.h"
#include "daemon/model/flow_filter.h"
#include "daemon/model/listeners.h"
#include "daemon/model/owner.h"
#include "daemon/model/row.h"

namespace rheo {

/// What of a flow that is seen on several links is reported (reporter.h).
enum class Deduplicate : std::uint8_t { first_interface, none };

struct FlowTableOptions {
  TableFileOptions file;
  FlowTimeouts timeouts{};
  Deduplicate deduplicate = Deduplicate::first_interface;
};

/// A flow as it stands, for a live view.
struct LiveFlow {
  FlowRecord record;               // what a record closed now would say
  std::uint64_t recent_bytes = 0;  // layer-2 octets, both directions, since begin_drain()
};

class FlowTable {
 public:
  /// Opens or makes the file.
  static Result<std::unique_ptr<FlowTable>> open(const FlowTableOptions& options);

  FlowTable(TableFile file, const FlowTableOptions& options);
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  /// Finishes what a killed process had committed and makes index and timers. Once, before anything else and
  /// before new packets can be counted into `owner`'s maps.
  void recover(RowOwner& owner, std::uint64_t now_ns);

  Outbox& outbox() { return outbox_; }
  const TableFile& file() const { return file_; }

  /// CLOCK_REALTIME minus the rows' clock, for records from now on.
  void set_clock_offset(std::int64_t offset_ns) { clock_offset_ns_ = offset_ns; }
  void set_listeners(std::shared_ptr<const Listeners> listeners) { listeners_ = std::move(listeners); }

  /// Called from merge() with numbers of owners of which it has not been told lately.
  void set_owner_seen(std::function<void(std::uint32_t)> seen) { owner_seen_ = std::move(seen); }

  /// Holds for the flows that are there, too: each is looked at by its new deadline. After recover().
  void set_timeouts(const FlowTimeouts& timeouts, std::uint64_t now_ns);

  /// "recent" counts of live flows start again; viewers of the file hear that a drain begins.
  void begin_drain();

  /// All that was counted before `begun_ns` is merged: viewers see whole intervals.
  void end_drain(std::uint64_t begun_ns);

  /// Adds every row to its flow and releases it. Never fails: without memory for a new flow the least
  /// recently seen one is closed.
  void merge(std::span<const Row> rows, RowOwner& owner);

  /// Ends and cuts the flows whose time has come, all rows up to `now_ns` being merged. A burst comes in
  /// parts: at most half of an outbox at once, and no more than the slowest lane has room for while that lane
  /// moves; the rest follows with the next calls, all of it after ten seconds. Never more than `most`
  /// records. True when nothing was left over.
  bool expire(std::uint64_t now_ns, std::uint64_t most = UINT64_MAX);

  /// Closes up to `limit` flows with a forced end and says how many are left.
  std::uint32_t close_some(std::uint64_t limit);

  /// The `limit` flows with the most octets since begin_drain(), most first.
  std::vector<LiveFlow> busiest(std::size_t limit) const;

  /// Those that match, as records closed now would tell of them. Looks at every entry.
  std::vector<FlowRecord> find(const FlowQuery& query) const;

  TableCounters counters() const;

  /// Removes the file unless there is something in it for the next process: flows, records that a lane has
  /// not delivered, or, before recover(), whatever it was taken over with. True: it is gone.
  bool remove_if_empty();

 private:
  EntryState& state(std::uint32_t entry) const { return file_.entries()[entry].state; }
  std::uint32_t find(const abi::flow_key& key, std::uint64_t hash) const;
  void merge_one(const Row& row, std::uint64_t hash, RowOwner& owner);
  void begin_flow(const Row& row, std::uint64_t hash, RowOwner& owner);
  void continue_flow(std::uint32_t entry, const Row& row, RowOwner& owner);
  void merge_shared(std::uint32_t entry, const Row& row, std::uint64_t hash, RowOwner& owner);
  void tell_owners(const Row& row);
  void stage_duplicate(const FlowCounts& duplicate);
  std::uint64_t hash_of(const abi::flow_key& key) const { return hash_flow_key(key, hash_seed_, key_mask_); }
  std::uint32_t take_entry();
  std::uint64_t next_flow_id();
  std::uint64_t expiry_budget(std::uint64_t now_ns);
  void end_flow(std::uint32_t entry, EndReason reason);
  void cut_flow(std::uint32_t entry);
  void stage_record(std::uint32_t entry, EndReason reason);
  void commit(std::uint32_t entry, const RowPlace& source, RowOwner* owner);
  void redo(RowOwner* owner);
  void rebuild(std::uint64_t now_ns);
  std::uint64_t deadline(const EntryState& entry, std::uint64_t now_ns) const;

  TableFile file_;
  FlowTimeouts timeouts_;
  const Deduplicate deduplicate_;
  const KeyMask key_mask_;
  Outbox outbox_;
  FlowIndex index_;
  std::optional<ExpiryWheel> wheel_;  // made by recover()
  LeastRecent least_recent_;
  std::vector<std::uint32_t> free_;
  std::shared_ptr<const Listeners> listeners_ = std::make_shared<const Listeners>();
  std::function<void(std::uint32_t)> owner_seen_;
  std::array<std::uint32_t, 4'096> told_owners_{};
  std::int64_t clock_offset_ns_ = 0;
  std::uint64_t hash_seed_ = 0;
  std::uint32_t drain_number_ = 1;
  std::uint32_t next_to_close_ = 0;
  std::uint64_t held_back_since_ns_ = 0;  // records that were due; 0: none
  std::uint64_t slowest_delivered_ = 0;   // SlowestLane::delivered at the last look
  std::uint64_t slowest_moved_ns_ = 0;
  TableCounters counters_;
};

}  // namespace rheo
