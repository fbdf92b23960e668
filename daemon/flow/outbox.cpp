// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/outbox.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "daemon/base/assert.h"
#include "daemon/base/fault_point.h"

namespace rheo {
namespace {

constexpr std::size_t kRecordWords = sizeof(FlowRecord) / 8;
static_assert(sizeof(FlowRecord) % 8 == 0 && alignof(FlowRecord) == 8);

std::atomic_ref<std::uint64_t> word(std::uint64_t& value) { return std::atomic_ref<std::uint64_t>(value); }

/// The words of a record in the ring, which a writer and readers touch at the same time.
std::uint64_t* words_of(FlowRecord& record) { return reinterpret_cast<std::uint64_t*>(&record); }

/// The first byte of a name makes the slot used, and is looked at by the collector.
std::atomic_ref<char> used(LaneSlot& slot) { return std::atomic_ref<char>(slot.name[0]); }

/// kMaxLanes: there is none.
std::size_t find_lane(const TableFile& file, std::string_view name) {
  std::size_t i = 0;
  while (i < kMaxLanes && std::string_view(file.lane(i).name) != name) ++i;
  return i;
}

}  // namespace

Outbox::Outbox(const TableFile& file)
    : file_(file), mask_(file.header().outbox_records - 1), share_(mask_ + 1) {
  // A record that was being written at a crash is written again by the journal, or never was.
  word(file_.header().outbox_writing).store(head());
}

std::uint64_t Outbox::head() const {
  return word(file_.header().outbox_head).load(std::memory_order_acquire);
}

FlowCounts Outbox::sum() const {
  const std::uint64_t position = head();
  return position == 0 ? FlowCounts{} : file_.outbox()[(position - 1) & mask_].running_sum;
}

void Outbox::put(const FlowRecord& record, std::uint64_t position) {
  TableHeader& header = file_.header();
  word(header.outbox_writing).store(position + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);  // readers see `writing` before any of the new words

  std::uint64_t words[kRecordWords];
  std::memcpy(words, &record, sizeof record);
  std::uint64_t* const place = words_of(file_.outbox()[position & mask_]);
  for (std::size_t i = 0; i < kRecordWords; ++i) word(place[i]).store(words[i], std::memory_order_relaxed);
  RHEO_FAULT_POINT("outbox-copied");
  word(header.outbox_head).store(position + 1, std::memory_order_release);
}

void Outbox::wake() {
  {
    const std::scoped_lock lock(mutex_);
  }  // a lane between its look and its wait is waiting after this
  grown_.notify_all();
}

Result<std::unique_ptr<OutboxCursor>> Outbox::open_cursor(std::string_view name, std::uint64_t queue) {
  if (name.empty() || name.size() >= kLaneNameBytes)
    return failure("lane \"" + std::string(name) + "\": a name has 1 to 47 characters");
  queue = queue_of(queue);
  std::size_t place = find_lane(file_, name);
  if (place == kMaxLanes) {
    if (auto made = make_lane(name); !made) return forward(std::move(made));
    place = find_lane(file_, name);
  }
  queues_[place] = queue;
  share_among_lanes();
  return std::make_unique<OutboxCursor>(*this, file_.lane(place), queue);
}

/// A lane that begins at head().
Status Outbox::make_lane(std::string_view name) {
  const std::size_t place = find_lane(file_, "");
  if (place == kMaxLanes)
    return failure("lane \"" + std::string(name) + "\": 32 exporters are the most",
                   std::errc::device_or_resource_busy);
  LaneSlot& slot = file_.lane(place);
  const Newest newest = find_newest();
  slot.current = 0;
  slot.mark[0] = {.position = newest.position, .sum = newest.sum, .file = {}, .losses = {}};
  slot.mark[1] = {};
  std::memset(slot.name + 1, 0, sizeof slot.name - 1);
  std::memcpy(slot.name + 1, name.data() + 1, name.size() - 1);
  used(slot).store(name[0],
                   std::memory_order_release);  // last, also for whoever opens the file after a crash
  return Done{};
}

std::vector<RetiredLane> Outbox::retire_lanes(const std::vector<std::string>& names) {
  std::vector<RetiredLane> retired;
  for (std::size_t i = 0; i < kMaxLanes; ++i) {
    LaneSlot& slot = file_.lane(i);
    if (slot.name[0] == '\0' || std::ranges::find(names, std::string_view(slot.name)) != names.end())
      continue;
    const LaneMark& mark = slot.mark[slot.current & 1U];
    const Newest newest = find_newest();
    retired.push_back({slot.name, {newest.position - mark.position, newest.sum - mark.sum}});
    used(slot).store('\0', std::memory_order_release);
    queues_[i] = 0;
  }
  share_among_lanes();
  return retired;
}

void Outbox::share_among_lanes() {
  std::uint64_t share = capacity();
  for (const std::uint64_t queue : queues_)
    if (queue != 0) share = std::min(share, queue);
  share_.store(share, std::memory_order_relaxed);
}

/// Records may be put meanwhile.
Outbox::Newest Outbox::find_newest() const {
  for (;;) {
    FlowRecord record;
    const std::uint64_t position = head();
    if (position == 0) return {};
    if (copy(position - 1, record)) return {position, record.running_sum};
  }
}

bool Outbox::copy(std::uint64_t position, FlowRecord& record) const {
  std::uint64_t words[kRecordWords];
  std::uint64_t* const place = words_of(file_.outbox()[position & mask_]);
  for (std::size_t i = 0; i < kRecordWords; ++i) words[i] = word(place[i]).load(std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  const std::uint64_t writing = word(file_.header().outbox_writing).load(std::memory_order_relaxed);
  if (writing > position + capacity()) return false;
  std::memcpy(&record, words, sizeof record);
  return true;
}

SlowestLane Outbox::slowest() const {
  SlowestLane slowest;
  for (std::size_t i = 0; i < kMaxLanes; ++i) {
    LaneSlot& slot = file_.lane(i);
    if (used(slot).load(std::memory_order_acquire) == '\0') continue;
    LaneMark& mark = slot.mark[word(slot.current).load(std::memory_order_acquire) & 1U];
    const std::uint64_t position = word(mark.position).load(std::memory_order_relaxed);
    const std::uint64_t lost = word(mark.losses.records).load(std::memory_order_relaxed);
    const std::uint64_t end = head();
    const std::uint64_t pending = end > position ? end - position : 0;
    if (pending > slowest.pending) slowest = {.pending = pending, .delivered = position - lost};
  }
  return slowest;
}

OutboxCursor::OutboxCursor(Outbox& outbox, LaneSlot& slot, std::uint64_t queue)
    : outbox_(outbox), slot_(slot), queue_(queue) {
  rewind();
}

bool OutboxCursor::next(FlowBatch& batch, std::size_t limit, std::uint64_t deadline_ns,
                        const std::stop_token& stop) {
  RHEO_ASSERT(position_ == load_mark().position);
  batch.records.clear();
  while (wait_for_record(deadline_ns, stop)) {
    skip_to_oldest();
    batch.first_position = position_;
    const std::uint64_t end = settled_.empty() ? UINT64_MAX : settled_.front().begin;
    while (batch.records.size() < limit && position_ < std::min(end, outbox_.head())) {
      FlowRecord& record = batch.records.emplace_back();
      if (!outbox_.copy(position_, record)) {
        batch.records.pop_back();
        break;
      }
      sum_ = record.running_sum;
      ++position_;
    }
    if (!batch.records.empty()) return true;  // else the ring overtook us while we copied
  }
  return false;
}

bool OutboxCursor::wait_for_record(std::uint64_t deadline_ns, const std::stop_token& stop) {
  const auto there = [this] { return position_ < outbox_.head(); };
  if (there()) return true;
  // std::chrono::steady_clock is CLOCK_MONOTONIC in libstdc++.
  const std::chrono::steady_clock::time_point deadline{
      std::chrono::nanoseconds(static_cast<std::int64_t>(std::min<std::uint64_t>(deadline_ns, INT64_MAX)))};
  std::unique_lock lock(outbox_.mutex_);
  return outbox_.grown_.wait_until(lock, stop, deadline, there);
}

/// Where the oldest record is that is still whole and may still wait; where none waits, position_.
std::uint64_t OutboxCursor::oldest() const {
  const std::uint64_t writing = word(outbox_.file_.header().outbox_writing).load(std::memory_order_acquire);
  const std::uint64_t head = outbox_.head();
  if (head <= position_) return position_;
  std::uint64_t oldest = head - std::min(head, queue_);
  // A little further than the oldest in the ring, so that the writer is not right behind us again.
  if (writing > position_ + outbox_.capacity()) {
    const std::uint64_t whole =
        writing - outbox_.capacity() + std::min<std::uint64_t>(64, outbox_.capacity() / 2);
    oldest = std::max(oldest, whole);
  }
  return std::clamp(oldest, position_, head - 1);
}

/// What lies between is the difference of the two running sums; what is settled is not lost.
void OutboxCursor::skip_to_oldest() {
  for (std::uint64_t target = oldest(); target > position_; target = oldest()) {
    FlowRecord record;
    FlowCounts before;
    if (!settled_.empty() && settled_.front().begin <= target) {
      target = settled_.front().begin;
      before = settled_.front().before;
    } else if (outbox_.copy(target, record)) {
      before = record.running_sum - record_counts(record);
    } else {
      continue;  // the ring was faster
    }
    const std::scoped_lock lock(mark_mutex_);
    LaneMark mark = slot_.mark[slot_.current];
    mark.losses.records += target - position_;
    mark.losses.counts += before - sum_;
    mark.position = target;
    mark.sum = before;
    move_to(mark);
  }
}

/// To the mark, or behind what is settled there. Under the mutex.
void OutboxCursor::move_to(LaneMark mark) {
  for (; !settled_.empty() && settled_.front().begin == mark.position; settled_.pop_front()) {
    const Settled& part = settled_.front();
    if (part.given_up) {
      mark.losses.records += part.end - part.begin;
      mark.losses.counts += part.after - part.before;
    }
    mark.position = part.end;
    mark.sum = part.after;
  }
  position_ = mark.position;
  sum_ = mark.sum;
  store_mark(mark);
}

void OutboxCursor::acknowledge(std::uint64_t position, const FileMark& file) {
  const std::scoped_lock lock(mark_mutex_);
  LaneMark mark = slot_.mark[slot_.current];
  RHEO_ASSERT(position == position_);  // batches are acknowledged one by one, as they were handed out
  mark.position = position;
  mark.sum = sum_;
  mark.file = file;
  move_to(mark);
}

void OutboxCursor::settle(const FlowBatch& batch, std::span<const SettledPart> parts, const FileMark& file) {
  RHEO_ASSERT(batch.end_position() == position_);
  // The batch ended before what had been settled earlier.
  std::uint64_t end = batch.end_position();
  for (std::size_t i = parts.size(); i-- > 0;) {
    const SettledPart& part = parts[i];
    RHEO_ASSERT(part.begin < part.end && batch.first_position + part.end <= end);
    const FlowRecord& first = batch.records[part.begin];
    settled_.push_front({.begin = batch.first_position + part.begin,
                         .end = batch.first_position + part.end,
                         .before = first.running_sum - record_counts(first),
                         .after = batch.records[part.end - 1].running_sum,
                         .given_up = part.given_up});
    end = settled_.front().begin;
  }
  const std::scoped_lock lock(mark_mutex_);
  LaneMark mark = slot_.mark[slot_.current];
  mark.file = file;
  move_to(mark);
}

void OutboxCursor::count_lost(const RecordLosses& lost) {
  const std::scoped_lock lock(mark_mutex_);
  LaneMark mark = slot_.mark[slot_.current];
  mark.losses.records += lost.records;
  mark.losses.counts += lost.counts;
  store_mark(mark);
}

void OutboxCursor::rewind() {
  const std::scoped_lock lock(mark_mutex_);
  const LaneMark& mark = slot_.mark[slot_.current];
  position_ = mark.position;
  sum_ = mark.sum;
}

/// The other copy is filled, then becomes the current one by a single store.
void OutboxCursor::store_mark(const LaneMark& mark) {
  const std::uint64_t other = slot_.current ^ 1U;
  LaneMark& place = slot_.mark[other];
  word(place.position).store(mark.position, std::memory_order_relaxed);
  place.sum = mark.sum;
  place.file = mark.file;
  word(place.losses.records).store(mark.losses.records, std::memory_order_relaxed);
  place.losses.counts = mark.losses.counts;
  RHEO_FAULT_POINT("lane-mark-written");
  word(slot_.current).store(other, std::memory_order_release);
  RHEO_FAULT_POINT("lane-mark-current");
}

LaneMark OutboxCursor::load_mark() const {
  const std::scoped_lock lock(mark_mutex_);
  return slot_.mark[slot_.current];
}

FileMark OutboxCursor::file_mark() const { return load_mark().file; }
RecordLosses OutboxCursor::losses() const { return load_mark().losses; }

std::uint64_t OutboxCursor::pending() const {
  const std::uint64_t position = load_mark().position;
  const std::uint64_t end = outbox_.head();
  return end > position ? end - position : 0;
}

}  // namespace rheo
