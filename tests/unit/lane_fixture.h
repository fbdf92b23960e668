// SPDX-License-Identifier: Apache-2.0
// A lane between a cursor over a vector and an exporter that does as it is told.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "daemon/base/assert.h"
#include "daemon/base/clock.h"
#include "export/lane.h"
#include "tests/unit/patience.h"

namespace rheo::test {

using namespace std::chrono_literals;

inline std::uint64_t in(std::chrono::nanoseconds time) {
  return monotonic_ns() + static_cast<std::uint64_t>(time.count());
}

/// What a cursor has delivered, kept apart from it: the lane owns the cursor.
struct Box {
  std::mutex mutex;
  std::condition_variable_any grown;
  std::vector<FlowRecord> records;
  std::uint64_t handed_out = 0;
  std::uint64_t acknowledged = 0;
  FileMark mark;
  RecordLosses losses;
  std::vector<std::uint64_t> acknowledgements;

  void add(int count) {
    const std::scoped_lock lock(mutex);
    for (int i = 0; i < count; ++i) {
      FlowRecord record;
      record.flow_id = records.size();
      record.forward.delta.packets = 2;
      record.forward.delta.l2_bytes = 100;
      records.push_back(record);
    }
    grown.notify_all();
  }

  /// As when the ring overtakes the lane.
  void overtake(std::uint64_t position) {
    const std::scoped_lock lock(mutex);
    losses.records += position - acknowledged;
    losses.counts.packets += 2 * (position - acknowledged);
    acknowledged = handed_out = position;
  }

  std::uint64_t done() {
    const std::scoped_lock lock(mutex);
    return acknowledged;
  }
  void wait_until_done(std::uint64_t position) {
    for (int i = 0; i < 3'000 && done() < position; ++i) std::this_thread::sleep_for(10ms);
    ASSERT_EQ(done(), position);
  }
};

class BoxCursor final : public RecordCursor {
 public:
  explicit BoxCursor(Box& box) : box_(box) {}

  bool next(FlowBatch& batch, std::size_t limit, std::uint64_t deadline_ns,
            const std::stop_token& stop) override {
    std::unique_lock lock(box_.mutex);
    RHEO_ASSERT(box_.handed_out == box_.acknowledged);  // as the outbox's does
    const std::chrono::steady_clock::time_point deadline{std::chrono::nanoseconds(deadline_ns)};
    box_.grown.wait_until(lock, stop, deadline, [&] { return box_.handed_out < box_.records.size(); });
    batch.first_position = box_.handed_out;
    batch.records.clear();
    while (batch.size() < limit && box_.handed_out < box_.records.size())
      batch.records.push_back(box_.records[box_.handed_out++]);
    return batch.size() > 0;
  }
  void acknowledge(std::uint64_t position, const FileMark& mark) override {
    const std::scoped_lock lock(box_.mutex);
    RHEO_ASSERT(position == box_.handed_out);
    box_.acknowledged = position;
    box_.mark = mark;
    box_.acknowledgements.push_back(position);
  }
  /// Parts behind one that is missing are forgotten, and handed out again.
  void settle(const FlowBatch& batch, std::span<const SettledPart> parts, const FileMark& mark) override {
    const std::scoped_lock lock(box_.mutex);
    RHEO_ASSERT(batch.end_position() == box_.handed_out);
    std::size_t done = 0;
    for (const SettledPart& part : parts) {
      if (part.begin != done) break;
      done = part.end;
      if (part.given_up) box_.losses.records += part.end - part.begin;
    }
    box_.acknowledged = box_.handed_out = batch.first_position + done;
    box_.mark = mark;
    box_.acknowledgements.push_back(box_.acknowledged);
  }
  void count_lost(const RecordLosses& lost) override {
    const std::scoped_lock lock(box_.mutex);
    box_.losses.records += lost.records;
  }
  void rewind() override {
    const std::scoped_lock lock(box_.mutex);
    box_.handed_out = box_.acknowledged;
  }
  FileMark file_mark() const override {
    const std::scoped_lock lock(box_.mutex);
    return box_.mark;
  }
  RecordLosses losses() const override {
    const std::scoped_lock lock(box_.mutex);
    return box_.losses;
  }
  std::uint64_t pending() const override {
    const std::scoped_lock lock(box_.mutex);
    return box_.records.size() - box_.acknowledged;
  }

 private:
  Box& box_;
};

/// What the exporter was asked for, and what it answers.
struct Far {
  std::mutex mutex;
  std::vector<std::uint64_t> received;  // flow ids
  std::vector<std::size_t> batches;
  int writes = 0;
  int resumes = 0;
  int idles = 0;
  std::uint64_t lost_noted = 0;
  std::atomic<std::uint64_t> end_ns = 0;
  FileMark resumed;
  std::function<Status(int write)> answer = [](int) -> Status { return Done{}; };
  std::function<Status(int idle)> idle_answer = [](int) -> Status { return Done{}; };
  std::function<Status(int resume)> resume_answer = [](int) -> Status { return Done{}; };
  FileMark mark;
  std::chrono::nanoseconds retry_after{0};
  std::string notice;
  std::optional<std::vector<SettledPart>> settled;
  std::uint64_t late_losses = 0;  // counted at the next write
  std::atomic<int> reopens = 0;

  std::vector<std::uint64_t> ids() {
    const std::scoped_lock lock(mutex);
    return received;
  }
  int tries() {
    const std::scoped_lock lock(mutex);
    return writes;
  }
};

class FarExporter final : public Exporter {
 public:
  explicit FarExporter(Far& far) : far_(far) {}
  Status resume(const FileMark& mark) override {
    const std::scoped_lock lock(far_.mutex);
    far_.resumed = mark;
    return far_.resume_answer(++far_.resumes);
  }
  std::optional<std::vector<SettledPart>> take_settled() override {
    const std::scoped_lock lock(far_.mutex);
    return std::exchange(far_.settled, std::nullopt);
  }
  void count_late_losses(const LossCounter& counter) override { late_ = counter; }
  Status write(const FlowBatch& batch) override {
    const std::scoped_lock lock(far_.mutex);
    if (far_.late_losses != 0) late_({.records = std::exchange(far_.late_losses, 0), .counts = {}});
    Status answer = far_.answer(++far_.writes);
    if (!answer) return answer;
    for (const FlowRecord& record : batch.records) far_.received.push_back(record.flow_id);
    far_.batches.push_back(batch.size());
    return answer;
  }
  std::chrono::nanoseconds retry_after() const override {
    const std::scoped_lock lock(far_.mutex);
    return far_.retry_after;
  }
  std::string take_notice() override {
    const std::scoped_lock lock(far_.mutex);
    return std::exchange(far_.notice, {});
  }
  std::uint64_t records_rejected() const override { return 7; }
  void note_losses(const RecordLosses& lost) override {
    const std::scoped_lock lock(far_.mutex);
    far_.lost_noted = lost.records;
  }
  Status idle() override {
    const std::scoped_lock lock(far_.mutex);
    return far_.idle_answer(++far_.idles);
  }
  void end_by(std::uint64_t deadline_ns) override { far_.end_ns = deadline_ns; }
  FileMark mark() const override {
    const std::scoped_lock lock(far_.mutex);
    return far_.mark;
  }
  void request_reopen() override { ++far_.reopens; }

 private:
  Far& far_;
  LossCounter late_;
};

class LaneTest : public ::testing::Test {
 protected:
  std::unique_ptr<Lane> make_lane() {
    return std::make_unique<Lane>(std::make_unique<BoxCursor>(box_), std::make_unique<FarExporter>(far_),
                                  options_);
  }
  static std::vector<std::uint64_t> ids(std::uint64_t count) {
    std::vector<std::uint64_t> all(count);
    for (std::uint64_t i = 0; i < count; ++i) all[i] = i;
    return all;
  }
  static void expect_ends(Lane& lane) {
    const std::uint64_t deadline = in(kPatience);
    while (!lane.finished() && monotonic_ns() < deadline) std::this_thread::sleep_for(1ms);
    EXPECT_TRUE(lane.finished());
  }

  Box box_;
  Far far_;
  LaneOptions options_{.name = "json.test",
                       .max_batch_size = 10,
                       .max_batch_interval = 20ms,
                       .first_retry = 20ms,
                       .longest_retry = 80ms,
                       .loss_quiet = 50ms};
};

}  // namespace rheo::test
