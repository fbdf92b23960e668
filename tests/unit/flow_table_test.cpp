// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/flow_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "daemon/base/clock.h"
#include "tests/tools/tables.h"

namespace rheo {
namespace {

using testing::add_packets;
using testing::kSecond;
using testing::make_row;
using testing::NoOwner;
using testing::TestRow;

constexpr std::uint64_t kStart = 1'000 * kSecond;
constexpr std::int64_t kOffset = 5'000'000'000;

FlowTableOptions small_table() {
  return {.file = {.path = "", .max_flows = 1'000, .outbox_records = 1'024},
          .timeouts = testing::kDefaultTimeouts};
}

/// A table in memory with a lane that reads everything.
class FlowTableTest : public ::testing::Test {
 protected:
  void open(const FlowTableOptions& options) {
    auto opened = FlowTable::open(options);
    ASSERT_TRUE(opened) << opened.error().what;
    table_ = *std::move(opened);
    table_->recover(owner_, kStart);
    table_->set_clock_offset(kOffset);
    auto cursor = table_->outbox().open_cursor("test");
    ASSERT_TRUE(cursor);
    cursor_ = *std::move(cursor);
  }

  void SetUp() override { open(small_table()); }

  void merge(const TestRow& row) {
    const Row one{.hot = &row.hot, .cold = &row.cold, .tcp = &row.tcp, .place = {}};
    table_->merge({&one, 1}, owner_);
  }

  std::vector<FlowRecord> take_records() {
    std::vector<FlowRecord> records;
    FlowBatch batch;
    while (cursor_->next(batch, 100, 0, {})) {
      records.insert(records.end(), batch.records.begin(), batch.records.end());
      cursor_->acknowledge(batch.end_position(), {});
    }
    return records;
  }

  NoOwner owner_;
  std::unique_ptr<FlowTable> table_;
  std::unique_ptr<OutboxCursor> cursor_;
};

TestRow udp(std::uint32_t packets, std::uint64_t at_ns, unsigned direction = 0) {
  TestRow row = make_row(IPPROTO_UDP, 40'000, 53);
  add_packets(row, direction, packets, at_ns);
  return row;
}

TEST_F(FlowTableTest, ARecordWithoutPacketsTellsThatNobodyAnswered) {
  open(testing::table_cut_often({.path = "", .max_flows = 1'000, .outbox_records = 1'024}));
  TestRow syn = make_row(IPPROTO_TCP, 40'000, 443);
  add_packets(syn, 0, 1, kStart, abi::FLAG_SYN | abi::FLAG_SYN_ONLY);
  merge(syn);
  table_->expire(kStart + 11 * kSecond);
  table_->expire(kStart + 21 * kSecond);

  const auto records = take_records();
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].tcp_events, 0U);
  EXPECT_EQ(records[1].tcp_events, kTcpFailedConnect);
  EXPECT_EQ(records[1].end_reason, EndReason::idle);
  EXPECT_EQ(record_counts(records[1]), FlowCounts{});
  EXPECT_EQ(records[1].forward.total, records[0].forward.total);
  EXPECT_EQ(records[1].start_ns, kStart + kOffset);
  EXPECT_EQ(records[1].end_ns, kStart + kOffset);
}

TEST_F(FlowTableTest, AddsBothDirectionsOfAllRowsIntoOneRecord) {
  merge(udp(2, kStart, 0));
  merge(udp(3, kStart + kSecond, 1));
  table_->expire(kStart + 62 * kSecond);

  const auto records = take_records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].forward.delta, (FlowCounts{2, 200, 228}));
  EXPECT_EQ(records[0].reverse.delta, (FlowCounts{3, 300, 342}));
  EXPECT_EQ(records[0].end_reason, EndReason::idle);
  EXPECT_EQ(records[0].start_ns, kStart + kOffset);
  EXPECT_EQ(records[0].end_ns, kStart + kSecond + kOffset);
  EXPECT_EQ(table_->counters().active_flows, 0U);
}

struct IdleCase {
  const char* name;
  std::uint8_t protocol;
  std::uint16_t flags;
  std::uint64_t seconds;
  EndReason reason;
};

const IdleCase kIdleCases[] = {{"udp", IPPROTO_UDP, 0, 60, EndReason::idle},
                               {"icmp", IPPROTO_ICMP, 0x0800, 10, EndReason::idle},
                               {"icmpv6", IPPROTO_ICMPV6, 0x8000, 10, EndReason::idle},
                               {"tcp", IPPROTO_TCP, abi::FLAG_ACK, 20, EndReason::idle},
                               {"fin", IPPROTO_TCP, abi::FLAG_ACK | abi::FLAG_FIN, 5, EndReason::fin},
                               {"rst", IPPROTO_TCP, abi::FLAG_RST, 5, EndReason::rst},
                               {"gre", IPPROTO_GRE, 0, 30, EndReason::idle}};

TEST_F(FlowTableTest, EndsEachProtocolAfterItsOwnSilence) {
  for (const IdleCase& test : kIdleCases) {
    SCOPED_TRACE(test.name);
    open(small_table());
    TestRow row = make_row(test.protocol, 0, 0);
    merge(add_packets(row, 0, 1, kStart, test.flags));
    table_->expire(kStart + test.seconds * kSecond - 1);
    EXPECT_TRUE(take_records().empty());
    table_->expire(kStart + (test.seconds + 1) * kSecond);
    const auto records = take_records();
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].end_reason, test.reason);
  }
}

TEST_F(FlowTableTest, CutsALongFlowAtTheRecordIntervalAndNeverCallsItIdle) {
  for (std::uint64_t second = 0; second <= 150; ++second) {
    merge(udp(1, kStart + second * kSecond));
    table_->expire(kStart + second * kSecond);
  }
  table_->close_some(10);
  const auto records = take_records();
  ASSERT_EQ(records.size(), 3U);
  std::uint64_t total = 0;
  std::uint64_t previous_end = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    total += records[i].forward.delta.packets;
    EXPECT_EQ(records[i].sequence, i);
    EXPECT_EQ(records[i].flow_id, records[0].flow_id);
    EXPECT_EQ(records[i].flow_start_ns, kStart + kOffset);
    EXPECT_EQ(records[i].forward.total.packets, total);
    EXPECT_EQ(records[i].end_reason, i < 2 ? EndReason::active : EndReason::forced);
    EXPECT_GE(records[i].start_ns, previous_end);
    EXPECT_LE(records[i].end_ns - records[i].start_ns, 61 * kSecond);
    previous_end = records[i].end_ns;
  }
  EXPECT_EQ(total, 151U);
}

TEST_F(FlowTableTest, WritesNoRecordWithoutANewPacket) {
  FlowTableOptions options = small_table();
  options.timeouts.max_record_interval_ns = 10 * kSecond;
  open(options);
  merge(udp(1, kStart));
  table_->expire(kStart + 11 * kSecond);
  EXPECT_EQ(take_records().size(), 1U);  // cut
  table_->expire(kStart + 100 * kSecond);
  EXPECT_TRUE(take_records().empty());  // idle, with nothing new to tell
  EXPECT_EQ(table_->counters().active_flows, 0U);
}

TEST_F(FlowTableTest, ALatePacketWithinTheFinTimeoutBelongsToTheFlow) {
  TestRow row = make_row(IPPROTO_TCP, 40'000, 80);
  merge(add_packets(row, 0, 5, kStart, abi::FLAG_SYN | abi::FLAG_SYN_ONLY | abi::FLAG_ACK | abi::FLAG_FIN));
  TestRow late = make_row(IPPROTO_TCP, 40'000, 80);
  merge(add_packets(late, 1, 1, kStart + 3 * kSecond, abi::FLAG_ACK));
  table_->expire(kStart + 7 * kSecond);
  EXPECT_TRUE(take_records().empty());
  table_->expire(kStart + 9 * kSecond);
  const auto records = take_records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].reverse.delta.packets, 1U);
  EXPECT_EQ(records[0].end_reason, EndReason::fin);
}

TEST_F(FlowTableTest, ANewSynOnAClosedConnectionIsANewFlow) {
  TestRow first = make_row(IPPROTO_TCP, 40'000, 80);
  add_packets(first, 0, 5, kStart, abi::FLAG_SYN | abi::FLAG_SYN_ONLY | abi::FLAG_ACK | abi::FLAG_FIN);
  TestRow second = make_row(IPPROTO_TCP, 40'000, 80);
  add_packets(second, 0, 7, kStart + 1'000, abi::FLAG_SYN | abi::FLAG_SYN_ONLY | abi::FLAG_ACK);
  const Row both[] = {{&first.hot, &first.cold, {}}, {&second.hot, &second.cold, {}}};
  table_->merge(both, owner_);  // within one drain

  auto records = take_records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].end_reason, EndReason::fin);
  EXPECT_EQ(records[0].forward.delta.packets, 5U);
  const std::uint64_t first_id = records[0].flow_id;
  table_->close_some(10);
  records = take_records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_NE(records[0].flow_id, first_id);
  EXPECT_EQ(records[0].sequence, 0U);
  EXPECT_EQ(records[0].forward.total.packets, 7U);
}

TEST_F(FlowTableTest, TheSynOfTheClosedConnectionItselfIsNoNewFlow) {
  // Two CPUs saw one direction each; the answers' row is merged first.
  TestRow answers = make_row(IPPROTO_TCP, 40'000, 80);
  add_packets(answers, 1, 4, kStart + 100, abi::FLAG_SYN | abi::FLAG_SYN_ACK | abi::FLAG_ACK | abi::FLAG_FIN);
  TestRow requests = make_row(IPPROTO_TCP, 40'000, 80);
  add_packets(requests, 0, 5, kStart, abi::FLAG_SYN | abi::FLAG_SYN_ONLY | abi::FLAG_ACK | abi::FLAG_FIN);
  merge(answers);
  merge(requests);
  table_->close_some(10);
  const auto records = take_records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].flow_start_ns, kStart + kOffset);
  EXPECT_EQ(records[0].initiator_by, InitiatorBy::handshake);
  EXPECT_EQ(records[0].forward.delta.packets, 5U);
}

TEST_F(FlowTableTest, AFullTableGivesUpTheLeastRecentlySeenFlowWithARecord) {
  FlowTableOptions options = small_table();
  options.file.max_flows = 100;
  open(options);
  for (std::uint16_t i = 0; i < 100; ++i) {
    TestRow row = make_row(IPPROTO_UDP, i, 9'999);
    merge(add_packets(row, 0, 1, kStart + i));
  }
  for (std::uint16_t i = 0; i < 10; ++i) {  // the oldest ten are seen again
    TestRow row = make_row(IPPROTO_UDP, i, 9'999);
    merge(add_packets(row, 0, 1, kStart + 1'000));
  }
  for (std::uint16_t i = 0; i < 5; ++i) {
    TestRow row = make_row(IPPROTO_UDP, i, 8'888);
    merge(add_packets(row, 0, 1, kStart + 2'000));
  }
  const auto records = take_records();
  ASSERT_EQ(records.size(), 5U);
  for (std::uint16_t i = 0; i < 5; ++i) {
    EXPECT_EQ(records[i].end_reason, EndReason::lack_of_resources);
    EXPECT_EQ(records[i].start_ns, kStart + kOffset + 10 + i);
  }
  EXPECT_EQ(table_->counters().active_flows, 100U);
}

/// Flows that end at once, many more than the outbox has room for.
class BurstTest : public FlowTableTest {
 protected:
  void SetUp() override {
    FlowTableOptions options = small_table();
    options.file.max_flows = 5'000;
    open(options);
    for (std::uint16_t i = 0; i < 5'000; ++i) {
      TestRow row = make_row(IPPROTO_UDP, i, 9'999);
      merge(add_packets(row, 0, 1, kStart));
    }
  }

  void take(std::size_t count) {
    FlowBatch batch;
    ASSERT_TRUE(cursor_->next(batch, count, 0, {}));
    taken_ += batch.size();
    cursor_->acknowledge(batch.end_position(), {});
  }

  std::uint64_t taken_ = 0;
};

TEST_F(BurstTest, LeavesTheLanesAChance) {
  std::size_t records = 0;
  int calls = 0;
  while (!table_->expire(kStart + 100 * kSecond)) {
    records += take_records().size();
    ++calls;
  }
  records += take_records().size();
  EXPECT_EQ(records, 5'000U);
  EXPECT_GE(calls, 9);
  EXPECT_EQ(cursor_->losses().records, 0U);
}

TEST_F(BurstTest, WaitsForALaneThatIsSlow) {
  std::uint64_t now = kStart + 100 * kSecond;
  for (; now < kStart + 109 * kSecond; now += kSecond / 2) {
    EXPECT_FALSE(table_->expire(now));
    take(200);
  }
  EXPECT_EQ(taken_, 18 * 200U);
  EXPECT_EQ(cursor_->losses().records, 0U);
}

TEST_F(BurstTest, DoesNotWaitForALaneThatStands) {
  int calls = 1;
  while (!table_->expire(kStart + (99 + static_cast<unsigned>(calls)) * kSecond)) ++calls;
  EXPECT_LE(calls, 12);
  EXPECT_EQ(table_->counters().active_flows, 0U);
}

TEST_F(BurstTest, LosingIsNotGettingOn) {
  FlowBatch batch;
  for (unsigned call = 0; call < 6; ++call) {
    EXPECT_FALSE(table_->expire(kStart + (100 + call) * kSecond));
    ASSERT_TRUE(cursor_->next(batch, 1, 0, {}));  // goes to the oldest that is left, and fails to send it
    cursor_->rewind();
  }
  EXPECT_GT(cursor_->losses().records, 1'000U);
  EXPECT_LT(table_->counters().active_flows, 2'200U) << "the lane was waited for";
}

TEST_F(BurstTest, IsHeldBackForTenSecondsAtMost) {
  std::uint64_t now = kStart + 100 * kSecond;
  for (; now < kStart + 110 * kSecond; now += kSecond) {
    EXPECT_FALSE(table_->expire(now));
    take(1);
  }
  EXPECT_GT(table_->counters().active_flows, 4'000U) << "a lane that moves is not overtaken yet";
  EXPECT_TRUE(table_->expire(now));
  EXPECT_EQ(table_->counters().active_flows, 0U);
}

TEST_F(FlowTableTest, ReleasesEveryRowOnce) {
  for (int i = 0; i < 100; ++i) {
    TestRow row = udp(1, kStart);
    const Row one{.hot = &row.hot, .cold = &row.cold, .place = {.kind = RowPlace::Kind::cache}};
    table_->merge({&one, 1}, owner_);
  }
  EXPECT_EQ(owner_.released, 100U);
}

TEST_F(FlowTableTest, RandomRowsAreConservedInRecordsAndTable) {
  FlowTableOptions options = small_table();
  options.file.max_flows = 200;
  open(options);
  std::mt19937 random(42);
  FlowCounts merged;
  std::set<std::pair<std::uint64_t, std::uint32_t>> identities;
  FlowCounts recorded;
  const auto collect = [&] {
    for (const FlowRecord& record : take_records()) {
      EXPECT_TRUE(identities.emplace(record.flow_id, record.sequence).second);
      EXPECT_LE(record.start_ns, record.end_ns);
      recorded += record_counts(record);
      EXPECT_EQ(recorded, record.running_sum);
    }
  };
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t now = kStart + static_cast<std::uint64_t>(step) * kSecond / 20;
    const std::uint8_t protocol = random() % 2 ? IPPROTO_TCP : IPPROTO_UDP;
    TestRow row = make_row(protocol, static_cast<std::uint16_t>(random() % 1'500), 443);
    const auto flags = static_cast<std::uint16_t>(protocol == IPPROTO_TCP ? random() % 0x800 : 0);
    add_packets(row, random() % 2, static_cast<std::uint32_t>(1 + random() % 9), now, flags);
    merged += FlowCounts{row.hot.direction[0].packets + row.hot.direction[1].packets,
                         row.hot.direction[0].l3_bytes + row.hot.direction[1].l3_bytes, 0};
    merge(row);
    if (step % 20 == 0) {
      table_->expire(now);
      collect();
    }
  }
  while (table_->close_some(100) > 0) collect();
  collect();
  EXPECT_EQ(recorded.packets, merged.packets);
  EXPECT_EQ(recorded.l3_bytes, merged.l3_bytes);
  EXPECT_EQ(table_->counters().merged, table_->counters().recorded);
  EXPECT_GT(table_->counters().records[static_cast<int>(EndReason::lack_of_resources)], 0U);
}

TEST_F(FlowTableTest, BusiestFlowsOfTheLastDrainComeFirst) {
  table_->begin_drain();
  for (std::uint16_t i = 1; i <= 20; ++i) {
    TestRow row = make_row(IPPROTO_UDP, i, 9'999);
    merge(add_packets(row, 0, i, kStart));
  }
  const auto flows = table_->busiest(3);
  ASSERT_EQ(flows.size(), 3U);
  EXPECT_EQ(flows[0].recent_bytes, 20U * 114);
  EXPECT_EQ(flows[2].recent_bytes, 18U * 114);
  table_->begin_drain();
  EXPECT_TRUE(table_->busiest(3).empty());
}

}  // namespace
}  // namespace rheo
