// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/flow_table.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>

#include "daemon/base/assert.h"
#include "daemon/base/fault_point.h"
#include "daemon/flow/merge.h"
#include "daemon/flow/reporter.h"

namespace rheo {

Result<std::unique_ptr<FlowTable>> FlowTable::open(const FlowTableOptions& options) {
  auto file = TableFile::open(options.file);
  if (!file) return forward(std::move(file), "flow table");
  return std::make_unique<FlowTable>(*std::move(file), options);
}

FlowTable::FlowTable(TableFile file, const FlowTableOptions& options)
    : file_(std::move(file)),
      timeouts_(options.timeouts),
      deduplicate_(options.deduplicate),
      key_mask_(deduplicate_ == Deduplicate::none ? KeyMask{} : KeyMask::without_place()),
      outbox_(file_) {
  // No entropy is no reason to stop: the seed guards against crafted collisions only.
  static_cast<void>(::getrandom(&hash_seed_, sizeof hash_seed_, 0));
}

void FlowTable::recover(RowOwner& owner, std::uint64_t now_ns) {
  Journal& journal = file_.journal();
  if (journal.committed == 1) {
    if (journal.owner != owner.identity()) journal.source.kind = RowPlace::Kind::nowhere;
    redo(&owner);
  }
  journal.has_duplicate = journal.has_origin = 0;
  rebuild(now_ns);
}

void FlowTable::rebuild(std::uint64_t now_ns) {
  wheel_.emplace(now_ns);
  counters_.merged = outbox_.sum();
  const auto used = static_cast<std::uint32_t>(file_.header().entries_used_upto);
  for (std::uint32_t i = 0; i < used; ++i) {
    const EntryState& entry = state(i);
    if (entry.flow_id == 0) {
      free_.push_back(i);
      continue;
    }
    index_.insert(hash_of(std::bit_cast<abi::flow_key>(entry.key)), i);
    // Drains are counted on, so that a link's last one is told from those before.
    drain_number_ = std::max(drain_number_, entry.recent_drain);
    wheel_->schedule(i, deadline(entry, now_ns));
    counters_.merged += unreported(entry);
  }
}

void FlowTable::set_timeouts(const FlowTimeouts& timeouts, std::uint64_t now_ns) {
  timeouts_ = timeouts;
  const auto used = static_cast<std::uint32_t>(file_.header().entries_used_upto);
  for (std::uint32_t i = 0; i < used; ++i) {
    if (state(i).flow_id != 0) wheel_->schedule(i, deadline(state(i), now_ns));
  }
}

/// When to look at the entry again. Without a window there is nothing to cut: the next one opens after
/// `now_ns`.
std::uint64_t FlowTable::deadline(const EntryState& entry, std::uint64_t now_ns) const {
  const std::uint64_t opened_ns = unreported(entry).packets > 0 ? entry.window_first_ns : now_ns;
  return std::min(last_ns(entry) + idle_timeout_ns(entry, timeouts_),
                  opened_ns + timeouts_.max_record_interval_ns);
}

std::uint32_t FlowTable::find(const abi::flow_key& key, std::uint64_t hash) const {
  return index_.find(hash, [&](std::uint32_t entry) {
    return key_mask_.same(std::bit_cast<abi::flow_key>(state(entry).key), key);
  });
}

void FlowTable::begin_drain() {
  ++drain_number_;
  const std::atomic_ref<std::uint64_t> version(file_.header().drain_version);
  version.store(version.load(std::memory_order_relaxed) | 1U, std::memory_order_release);
}

void FlowTable::end_drain(std::uint64_t begun_ns) {
  std::atomic_ref<std::uint64_t>(file_.header().drained_at_ns).store(begun_ns, std::memory_order_relaxed);
  const std::atomic_ref<std::uint64_t> version(file_.header().drain_version);
  version.store((version.load(std::memory_order_relaxed) | 1U) + 1, std::memory_order_release);
}

void FlowTable::merge(std::span<const Row> rows, RowOwner& owner) {
  // Two passes ahead of the merge bring first the index's slots, then the entries into the cache.
  constexpr std::size_t kBatch = 32;
  std::uint64_t hashes[kBatch];
  while (!rows.empty()) {
    const auto batch = rows.first(std::min(rows.size(), kBatch));
    rows = rows.subspan(batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      hashes[i] = hash_of(batch[i].hot->key);
      index_.prefetch(hashes[i]);
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const std::uint32_t guess = index_.guess(hashes[i]);
      if (guess == FlowIndex::kNone) continue;
      const auto* bytes = reinterpret_cast<const char*>(&file_.entries()[guess].state);
      for (std::size_t line = 0; line < sizeof(EntryState); line += 64) __builtin_prefetch(bytes + line, 1);
    }
    if (owner_seen_)
      for (const Row& row : batch) tell_owners(row);
    for (std::size_t i = 0; i < batch.size(); ++i) merge_one(batch[i], hashes[i], owner);
  }
  outbox_.wake();
}

void FlowTable::merge_one(const Row& row, std::uint64_t hash, RowOwner& owner) {
  ++counters_.rows_merged;
  std::uint32_t entry = find(row.hot->key, hash);
  if (entry != FlowIndex::kNone && deduplicate_ != Deduplicate::none &&
      !on_its_only_link(state(entry), *row.hot))
    return merge_shared(entry, row, hash, owner);
  if (entry != FlowIndex::kNone && begins_new_flow(state(entry), *row.hot)) {
    end_flow(entry, idle_end_reason(state(entry)));
    entry = FlowIndex::kNone;
  }
  if (entry == FlowIndex::kNone)
    begin_flow(row, hash, owner);
  else
    continue_flow(entry, row, owner);
  counters_.merged += row_counts(*row.hot);
}

/// Whoever knows owners hears of a number once, soon after it was given.
void FlowTable::tell_owners(const Row& row) {
  for (const std::uint32_t number : row.hot->owner) {
    std::uint32_t& told = told_owners_[number % told_owners_.size()];
    if (number < kFirstOwner || std::exchange(told, number) == number) continue;
    owner_seen_(number);
  }
}

/// A row of a flow that was seen on other links as well.
void FlowTable::merge_shared(std::uint32_t entry, const Row& row, std::uint64_t hash, RowOwner& owner) {
  Journal& journal = file_.journal();
  EntryState& image = journal.entry;
  image = state(entry);
  const bool was_closed = is_closed(image);
  const RowShare share = share_row(image, *row.hot, drain_number_);
  const FlowCounts counted = row_counts(share.counted);
  if (begins_new_flow(state(entry), share.counted)) {
    end_flow(entry, idle_end_reason(state(entry)));
    stage_duplicate(share.duplicate);
    begin_flow({.hot = &share.counted, .cold = row.cold, .tcp = row.tcp, .place = row.place}, hash, owner);
  } else {
    note_owners(image, *row.hot);
    note_tcp(image, *row.hot, row.tcp);
    if (counted.packets > 0) {
      add_row(image, share.counted, drain_number_);
      if (image.sequence == 0) improve_initiator(image, *listeners_);
    }
    if (share.new_place) {
      journal.origin = make_origin(*row.hot, *row.cold);
      journal.has_origin = 1;
    }
    journal.has_record = 0;
    stage_duplicate(share.duplicate);
    commit(entry, row.place, &owner);
    if (!was_closed && is_closed(image)) wheel_->schedule(entry, deadline(image, last_ns(image)));
  }
  journal.has_duplicate = journal.has_origin = 0;
  counters_.merged += counted;
  counters_.merged = counters_.merged - share.given_back;
}

/// In the next commit.
void FlowTable::stage_duplicate(const FlowCounts& duplicate) {
  Journal& journal = file_.journal();
  journal.duplicate = file_.header().duplicate + duplicate;
  journal.has_duplicate = 1;
}

void FlowTable::begin_flow(const Row& row, std::uint64_t hash, RowOwner& owner) {
  const std::uint32_t entry = take_entry();
  // The entry is free: nobody here reads its origin before the commit, and no viewer before its version is
  // even.
  begin_writing(state(entry));
  file_.entries()[entry].origin = make_origin(*row.hot, *row.cold);
  EntryState& image = file_.journal().entry;
  image = make_entry(*row.hot, next_flow_id());
  add_row(image, *row.hot, drain_number_);
  note_tcp(image, *row.hot, row.tcp);
  improve_initiator(image, *listeners_);
  file_.journal().has_record = 0;
  commit(entry, row.place, &owner);
  index_.insert(hash, entry);
  wheel_->schedule(entry, deadline(image, last_ns(image)));
  ++counters_.flows_made;
}

void FlowTable::continue_flow(std::uint32_t entry, const Row& row, RowOwner& owner) {
  EntryState& image = file_.journal().entry;
  image = state(entry);
  const bool was_closed = is_closed(image);
  add_row(image, *row.hot, drain_number_);
  note_tcp(image, *row.hot, row.tcp);
  if (image.sequence == 0) improve_initiator(image, *listeners_);
  file_.journal().has_record = 0;
  commit(entry, row.place, &owner);
  if (!was_closed && is_closed(image)) wheel_->schedule(entry, deadline(image, last_ns(image)));
}

std::uint32_t FlowTable::take_entry() {
  TableHeader& header = file_.header();
  if (free_.empty() && header.entries_used_upto == file_.capacity() && !file_.grow()) {
    const auto used = static_cast<std::uint32_t>(header.entries_used_upto);
    end_flow(least_recent_.take(file_.entries(), used), EndReason::lack_of_resources);
  }
  if (!free_.empty()) {
    const std::uint32_t entry = free_.back();
    free_.pop_back();
    return entry;
  }
  const auto entry = static_cast<std::uint32_t>(header.entries_used_upto);
  state(entry).flow_id = 0;
  header.entries_used_upto = entry + 1;
  return entry;
}

std::uint64_t FlowTable::next_flow_id() {
  TableHeader& header = file_.header();
  return header.flow_id_prefix + header.next_flow_number++;  // a crash wastes a number, and repeats none
}

void FlowTable::end_flow(std::uint32_t entry, EndReason reason) {
  const EntryState& old = state(entry);
  index_.erase(hash_of(std::bit_cast<abi::flow_key>(old.key)), entry);
  wheel_->remove(entry);
  stage_record(entry, reason);
  file_.journal().entry = EntryState{};
  commit(entry, {}, nullptr);
  free_.push_back(entry);
}

void FlowTable::cut_flow(std::uint32_t entry) {
  stage_record(entry, EndReason::active);
  EntryState& image = file_.journal().entry;
  image = state(entry);
  begin_window(image);
  commit(entry, {}, nullptr);
}

/// An entry with no new packet yields no record, unless its end says that nobody answered it.
void FlowTable::stage_record(std::uint32_t entry, EndReason reason) {
  Journal& journal = file_.journal();
  const FlowEntry& flow = file_.entries()[entry];
  const bool is_told = unreported(flow.state).packets == 0 && unreported_events(flow.state, reason) == 0;
  journal.has_record = is_told ? 0 : 1;
  if (journal.has_record == 0) return;
  journal.record = make_record(flow.state, flow.origin, reason, clock_offset_ns_);
  journal.record.running_sum = outbox_.sum() + record_counts(journal.record);
  journal.outbox_position = outbox_.head();
  ++counters_.records[static_cast<std::size_t>(reason)];
}

void FlowTable::commit(std::uint32_t entry, const RowPlace& source, RowOwner* owner) {
  Journal& journal = file_.journal();
  journal.entry_index = entry;
  journal.source = source;
  journal.owner = owner != nullptr ? owner->identity() : 0;
  RHEO_FAULT_POINT("journal-written");
  const std::atomic_ref<std::uint64_t> committed(journal.committed);
  committed.store(1, std::memory_order_release);
  // A kill sees this thread's own stores in program order: only the compiler must keep it.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  RHEO_FAULT_POINT("journal-committed");
  redo(owner);
}

/// Steps 3 to 5 of the protocol; doing them twice is doing them once.
void FlowTable::redo(RowOwner* owner) {
  Journal& journal = file_.journal();
  EntryState& entry = state(journal.entry_index);
  begin_writing(entry);
  journal.entry.version = entry.version;
  entry = journal.entry;
  if (journal.has_origin == 1) file_.entries()[journal.entry_index].origin = journal.origin;
  end_writing(entry);
  RHEO_FAULT_POINT("entry-copied");
  if (journal.has_duplicate == 1) file_.header().duplicate = journal.duplicate;
  if (journal.has_record == 1) outbox_.put(journal.record, journal.outbox_position);
  RHEO_FAULT_POINT("record-offered");
  if (journal.source.kind != RowPlace::Kind::nowhere) {
    RHEO_ASSERT(owner != nullptr);
    owner->release(journal.source);
  }
  RHEO_FAULT_POINT("source-released");
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const std::atomic_ref<std::uint64_t> committed(journal.committed);
  committed.store(0, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  RHEO_FAULT_POINT("journal-empty");
}

/// How many records may be made now, so that no lane which delivers at all is overtaken by a burst. Nobody
/// else waits for a lane that has stopped, nor long for one that is always too slow.
std::uint64_t FlowTable::expiry_budget(std::uint64_t now_ns) {
  constexpr std::uint64_t kStoppedNs = 2'000'000'000;  // a batch takes a second of its pace
  constexpr std::uint64_t kLongestHoldNs = 10'000'000'000;
  if (held_back_since_ns_ != 0 && now_ns - held_back_since_ns_ >= kLongestHoldNs) return UINT64_MAX;

  const SlowestLane slowest = outbox_.slowest();
  const bool moved = std::exchange(slowest_delivered_, slowest.delivered) != slowest.delivered;
  if (slowest.pending == 0 || moved) slowest_moved_ns_ = now_ns;
  const std::uint64_t most = outbox_.capacity() / 2;
  if (now_ns - slowest_moved_ns_ >= kStoppedNs) return most;
  // An eighth stays free for the records that a merge makes.
  const std::uint64_t usable = outbox_.capacity() - outbox_.capacity() / 8;
  return std::min(most, usable - std::min(usable, slowest.pending));
}

bool FlowTable::expire(std::uint64_t now_ns, std::uint64_t most) {
  std::uint64_t budget = std::min(most, expiry_budget(now_ns));
  std::uint32_t entry = 0;
  while (budget > 0 && wheel_->take_due(now_ns, entry)) {
    const EntryState& flow = state(entry);
    if (last_ns(flow) + idle_timeout_ns(flow, timeouts_) <= now_ns) {
      end_flow(entry, idle_end_reason(flow));
      --budget;
      continue;
    }
    if (unreported(flow).packets > 0 && flow.window_first_ns + timeouts_.max_record_interval_ns <= now_ns) {
      cut_flow(entry);
      --budget;
    }
    wheel_->schedule(entry, deadline(flow, now_ns));
  }
  outbox_.wake();
  if (budget > 0)
    held_back_since_ns_ = 0;
  else if (held_back_since_ns_ == 0)
    held_back_since_ns_ = now_ns;
  return budget > 0;
}

std::uint32_t FlowTable::close_some(std::uint64_t limit) {
  const auto used = static_cast<std::uint32_t>(file_.header().entries_used_upto);
  for (; next_to_close_ < used && limit > 0; ++next_to_close_) {
    if (state(next_to_close_).flow_id == 0) continue;
    end_flow(next_to_close_, EndReason::forced);
    --limit;
  }
  outbox_.wake();
  if (index_.size() == 0) next_to_close_ = 0;
  return index_.size();
}

bool FlowTable::remove_if_empty() {
  const bool recovered = wheel_.has_value();
  if (recovered ? index_.size() > 0 : file_.taken_over()) return false;
  if (outbox_.slowest_pending() > 0) return false;
  file_.remove();
  return true;
}

TableCounters FlowTable::counters() const {
  TableCounters counters = counters_;
  counters.active_flows = index_.size();
  counters.recorded = outbox_.sum();
  counters.duplicate = file_.header().duplicate;
  counters.outbox_pending = outbox_.slowest_pending();
  return counters;
}

}  // namespace rheo
