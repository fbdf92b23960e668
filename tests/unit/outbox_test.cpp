// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/outbox.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "daemon/base/clock.h"

namespace rheo {
namespace {

class OutboxTest : public ::testing::Test {
 protected:
  OutboxTest()
      : file_(TableFile::open({.path = "", .max_flows = 10, .outbox_records = 1'024}).value()),
        outbox_(file_) {}

  void put(std::uint64_t packets) {
    FlowRecord record;
    record.flow_id = outbox_.head() + 1;
    record.forward.delta = record.forward.total = {packets, packets * 100, packets * 114};
    record.running_sum = outbox_.sum() + record_counts(record);
    outbox_.put(record, outbox_.head());
  }

  std::unique_ptr<OutboxCursor> cursor(const char* name = "lane") {
    return outbox_.open_cursor(name).value();
  }

  TableFile file_;
  Outbox outbox_;
};

TEST_F(OutboxTest, HandsOutInOrderAndAgainAfterARewind) {
  auto lane = cursor();
  for (int i = 0; i < 10; ++i) put(1);
  FlowBatch batch;
  ASSERT_TRUE(lane->next(batch, 4, 0, {}));
  EXPECT_EQ(batch.size(), 4U);
  EXPECT_EQ(batch.first_position, 0U);
  lane->rewind();
  ASSERT_TRUE(lane->next(batch, 6, 0, {}));
  EXPECT_EQ(batch.size(), 6U);
  EXPECT_EQ(batch.records[0].flow_id, 1U);
  lane->acknowledge(batch.end_position(), {});
  EXPECT_EQ(lane->pending(), 4U);
  ASSERT_TRUE(lane->next(batch, 100, 0, {}));
  EXPECT_EQ(batch.records[0].flow_id, 7U);
}

TEST_F(OutboxTest, WaitsUntilTheDeadlineOrAStop) {
  auto lane = cursor();
  FlowBatch batch;
  const std::uint64_t begin_ns = monotonic_ns();
  EXPECT_FALSE(lane->next(batch, 1, begin_ns + 50'000'000, {}));
  EXPECT_GE(monotonic_ns() - begin_ns, 50'000'000U);

  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    stop.request_stop();
  });
  EXPECT_FALSE(lane->next(batch, 1, UINT64_MAX, stop.get_token()));
  put(1);
  EXPECT_TRUE(lane->next(batch, 1, UINT64_MAX, stop.get_token()));  // what is left comes out after a stop
}

TEST_F(OutboxTest, AnOvertakenLaneLosesTheOldestAndCountsThemExactly) {
  auto lane = cursor();
  std::uint64_t packets = 0;
  for (std::uint64_t i = 1; i <= 3'000; ++i) {
    put(i);
    packets += i;
  }
  FlowBatch batch;
  std::uint64_t received = 0;
  std::uint64_t records = 0;
  while (lane->next(batch, 100, 0, {})) {
    for (const FlowRecord& record : batch.records) received += record_counts(record).packets;
    records += batch.size();
    lane->acknowledge(batch.end_position(), {});
  }
  EXPECT_GT(lane->losses().records, 0U);
  EXPECT_EQ(records + lane->losses().records, 3'000U);
  EXPECT_EQ(received + lane->losses().counts.packets, packets);
  EXPECT_EQ(lane->losses().counts.l2_bytes, lane->losses().counts.packets * 114);
}

TEST_F(OutboxTest, MoreThanTheQueueHoldsIsLostOldestFirstAndCountedExactly) {
  auto other = cursor("other");
  EXPECT_EQ(outbox_.share(), 1'024U);
  auto lane = outbox_.open_cursor("short", 100).value();
  EXPECT_EQ(outbox_.share(), 100U);
  for (std::uint64_t i = 1; i <= 100; ++i) put(i);
  FlowBatch batch;
  ASSERT_TRUE(lane->next(batch, 10, 0, {}));
  EXPECT_EQ(batch.records[0].flow_id, 1U) << "exactly as many as may wait";
  lane->rewind();
  for (std::uint64_t i = 101; i <= 130; ++i) put(i);
  ASSERT_TRUE(lane->next(batch, 1'000, 0, {}));
  EXPECT_EQ(batch.records[0].flow_id, 31U);
  EXPECT_EQ(batch.size(), 100U);
  EXPECT_EQ(lane->losses().records, 30U);
  EXPECT_EQ(lane->losses().counts.packets, 30U * 31U / 2);
  put(131);  // behind a batch that is being sent
  lane->acknowledge(batch.end_position(), {});
  EXPECT_EQ(lane->pending(), 1U);
  EXPECT_EQ(lane->losses().records, 30U);
  ASSERT_TRUE(other->next(batch, 1'000, 0, {}));
  EXPECT_EQ(batch.size(), 131U) << "a short queue is its lane's own";
}

TEST_F(OutboxTest, AQueueIsNeverLongerThanTheOutbox) {
  EXPECT_EQ(outbox_.queue_of(0), outbox_.capacity());
  EXPECT_EQ(outbox_.queue_of(100), 100U);
  EXPECT_EQ(outbox_.queue_of(32'768), outbox_.capacity());
}

TEST_F(OutboxTest, WhatALaneGivesUpIsCounted) {
  auto lane = cursor();
  put(5);
  put(6);
  FlowBatch batch;
  ASSERT_TRUE(lane->next(batch, 10, 0, {}));
  lane->settle(batch, std::array{SettledPart{0, 2, true}}, {});
  EXPECT_EQ(lane->losses().records, 2U);
  EXPECT_EQ(lane->losses().counts.packets, 11U);
  EXPECT_EQ(lane->pending(), 0U);
  lane->count_lost({.records = 3, .counts = {7, 70, 77}});
  EXPECT_EQ(lane->losses().records, 5U);
  EXPECT_EQ(lane->losses().counts, (FlowCounts{18, 1'170, 1'331}));
}

TEST_F(OutboxTest, PartsOfABatchAreSettledInAnyOrder) {
  auto lane = cursor();
  for (std::uint64_t i = 1; i <= 10; ++i) put(i);
  FlowBatch batch;
  ASSERT_TRUE(lane->next(batch, 9, 0, {}));
  // 1 to 2 are delivered, 3 to 4 not, 5 to 6 given up, 7 not, 8 delivered, 9 not.
  lane->settle(batch, std::array{SettledPart{0, 2}, SettledPart{4, 6, true}, SettledPart{7, 8}}, {});
  EXPECT_EQ(lane->pending(), 8U);
  EXPECT_EQ(lane->losses().records, 0U) << "not before it is acknowledged: a kill offers it again";
  ASSERT_TRUE(lane->next(batch, 10, 0, {}));
  EXPECT_EQ(batch.records[0].flow_id, 3U);
  EXPECT_EQ(batch.size(), 2U) << "what is settled is not handed out again";
  lane->rewind();
  ASSERT_TRUE(lane->next(batch, 10, 0, {}));
  EXPECT_EQ(batch.size(), 2U);
  lane->settle(batch, std::array{SettledPart{0, 2}}, {});
  EXPECT_EQ(lane->losses().records, 2U);
  EXPECT_EQ(lane->losses().counts.packets, 11U);
  ASSERT_TRUE(lane->next(batch, 10, 0, {}));
  EXPECT_EQ(batch.records[0].flow_id, 7U);
  EXPECT_EQ(batch.size(), 1U);
  lane->acknowledge(batch.end_position(), {});
  ASSERT_TRUE(lane->next(batch, 10, 0, {}));
  EXPECT_EQ(batch.records[0].flow_id, 9U);
  EXPECT_EQ(batch.size(), 2U);
  lane->acknowledge(batch.end_position(), {});
  EXPECT_EQ(lane->pending(), 0U);
  EXPECT_EQ(lane->losses().records, 2U);
}

TEST_F(OutboxTest, WhatIsSettledIsNotLostWhenItIsOvertaken) {
  auto lane = outbox_.open_cursor("short", 10).value();
  for (std::uint64_t i = 1; i <= 10; ++i) put(i);
  FlowBatch batch;
  ASSERT_TRUE(lane->next(batch, 10, 0, {}));
  // 1 is not delivered, 2 to 4 are, 5 to 6 not, 7 to 8 are, 9 to 10 not.
  lane->settle(batch, std::array{SettledPart{1, 4}, SettledPart{6, 8}}, {});
  for (std::uint64_t i = 11; i <= 15; ++i) put(i);
  ASSERT_TRUE(lane->next(batch, 100, 0, {}));
  EXPECT_EQ(batch.records[0].flow_id, 6U);
  EXPECT_EQ(batch.size(), 1U);
  EXPECT_EQ(lane->losses().records, 2U);
  EXPECT_EQ(lane->losses().counts.packets, 1U + 5U);
  lane->rewind();
  for (std::uint64_t i = 16; i <= 17; ++i) put(i);  // 1 to 7 may not wait any more, 8 is delivered
  ASSERT_TRUE(lane->next(batch, 100, 0, {}));
  EXPECT_EQ(batch.records[0].flow_id, 9U);
  EXPECT_EQ(batch.size(), 9U);
  EXPECT_EQ(lane->losses().records, 3U);
  EXPECT_EQ(lane->losses().counts.packets, 1U + 5U + 6U);
}

TEST_F(OutboxTest, MarksSurviveAndNewLanesBeginNow) {
  put(1);
  auto lane = cursor("old");
  put(2);
  FlowBatch batch;
  ASSERT_TRUE(lane->next(batch, 10, 0, {}));
  EXPECT_EQ(batch.size(), 1U);  // not what was there before it
  lane->acknowledge(batch.end_position(), {.device = 1, .inode = 2, .offset = 300});
  put(3);
  lane.reset();
  lane = cursor("old");
  EXPECT_EQ(lane->file_mark(), (FileMark{1, 2, 300}));
  EXPECT_EQ(lane->pending(), 1U);
  EXPECT_EQ(outbox_.slowest_pending(), 1U);

  const auto retired = outbox_.retire_lanes({"other"});
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].name, "old");
  EXPECT_EQ(retired[0].left.records, 1U);
  EXPECT_EQ(retired[0].left.counts.packets, 3U);
  EXPECT_EQ(outbox_.slowest_pending(), 0U);
}

TEST_F(OutboxTest, TheShortestQueueOfThoseThatAreThereIsTheShare) {
  auto whole = cursor();
  auto shorter = outbox_.open_cursor("shorter", 100).value();
  auto shortest = outbox_.open_cursor("shortest", 10).value();
  EXPECT_EQ(outbox_.share(), 10U);
  shortest.reset();
  outbox_.retire_lanes({"lane", "shorter"});
  EXPECT_EQ(outbox_.share(), 100U);
  shorter.reset();
  shorter = outbox_.open_cursor("shorter", 200).value();
  EXPECT_EQ(outbox_.share(), 200U) << "a queue can grow";
  outbox_.retire_lanes({});
  EXPECT_EQ(outbox_.share(), outbox_.capacity());
}

TEST_F(OutboxTest, LanesComeAndGoWhileRecordsArePut) {
  constexpr std::uint64_t kRecords = 200'000;
  std::atomic<std::uint64_t> slowest = 0;
  std::jthread writer([&] {
    for (std::uint64_t i = 1; i <= kRecords; ++i) {
      put(i);
      slowest = outbox_.slowest_pending();
    }
  });
  while (outbox_.head() < kRecords) {
    auto lane = cursor("passing");
    FlowBatch batch;
    std::uint64_t received = 0;
    std::uint64_t first = 0;
    if (lane->next(batch, 7, 0, {})) {
      first = batch.first_position + 1;
      for (const FlowRecord& record : batch.records) received += record.forward.delta.packets;
      lane->acknowledge(batch.end_position(), {});
    }
    const RecordLosses lost = lane->losses();
    lane.reset();
    const auto retired = outbox_.retire_lanes({});
    ASSERT_EQ(retired.size(), 1U);
    // Of n records after the k that were there before, record i has i packets.
    const std::uint64_t n = batch.size() + lost.records + retired[0].left.records;
    const std::uint64_t sum = received + lost.counts.packets + retired[0].left.counts.packets;
    if (n == 0) continue;
    const std::uint64_t k = (sum - n * (n + 1) / 2) / n;
    EXPECT_EQ(n * k + n * (n + 1) / 2, sum);
    if (first != 0) {
      EXPECT_EQ(first, k + lost.records + 1);
    }
  }
  writer.join();
  EXPECT_EQ(outbox_.slowest_pending(), 0U);
}

TEST_F(OutboxTest, HasRoomForThirtyTwoLanes) {
  std::vector<std::unique_ptr<OutboxCursor>> lanes;
  for (int i = 0; i < 32; ++i) lanes.push_back(cursor(("lane" + std::to_string(i)).c_str()));
  EXPECT_FALSE(outbox_.open_cursor("one more"));
  EXPECT_FALSE(outbox_.open_cursor(std::string(48, 'x')));
  EXPECT_FALSE(outbox_.open_cursor(""));
}

TEST_F(OutboxTest, AReaderThatIsOvertakenWhileItReadsNeverSeesAHalfRecord) {
  constexpr std::uint64_t kRecords = 300'000;
  auto lane = cursor();
  std::stop_source stop;
  std::uint64_t received = 0;
  std::jthread reader([&] {
    FlowBatch batch;
    while (lane->next(batch, 64, UINT64_MAX, stop.get_token())) {
      for (std::size_t i = 0; i < batch.size(); ++i) {
        const FlowRecord& record = batch.records[i];
        ASSERT_EQ(record.flow_id, batch.first_position + i + 1);
        ASSERT_EQ(record.forward.delta.packets, record.flow_id);
        received += record.forward.delta.packets;
      }
      lane->acknowledge(batch.end_position(), {});
    }
  });
  for (std::uint64_t i = 1; i <= kRecords; ++i) {
    put(i);
    if (i % 50 == 0) outbox_.wake();
  }
  outbox_.wake();
  stop.request_stop();
  reader.join();
  EXPECT_EQ(received + lane->losses().counts.packets, kRecords * (kRecords + 1) / 2);
}

}  // namespace
}  // namespace rheo
