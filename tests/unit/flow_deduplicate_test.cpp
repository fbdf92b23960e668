// SPDX-License-Identifier: Apache-2.0
// A flow that is seen on several links is reported once, and whatever the rows' order, every packet is either
// in its record or a duplicate.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "daemon/flow/flow_table.h"
#include "tests/tools/tables.h"

namespace rheo {
namespace {

using testing::add_packets;
using ::testing::ElementsAre;
using testing::kSecond;
using testing::make_row;
using testing::NoOwner;
using testing::TestRow;

constexpr std::uint64_t kStart = 1'000 * kSecond;
constexpr std::uint64_t kMicrosecond = 1'000;

class DeduplicateTest : public ::testing::Test {
 protected:
  void SetUp() override { open(Deduplicate::first_interface); }

  void open(Deduplicate deduplicate) {
    auto opened = FlowTable::open({.file = {.path = "", .max_flows = 1'000, .outbox_records = 1'024},
                                   .timeouts = testing::kDefaultTimeouts,
                                   .deduplicate = deduplicate});
    ASSERT_TRUE(opened) << opened.error().what;
    cursor_.reset();
    table_ = *std::move(opened);
    table_->recover(owner_, kStart);
    auto cursor = table_->outbox().open_cursor("test");
    ASSERT_TRUE(cursor);
    cursor_ = *std::move(cursor);
    merged_ = {};
  }

  void merge(const TestRow& row) {
    const Row one{.hot = &row.hot, .cold = &row.cold, .place = {}};
    table_->merge({&one, 1}, owner_);
    for (const abi::direction_counts& counts : row.hot.direction) merged_ += counts.packets;
  }

  /// All flows closed: what was merged is in a record or a duplicate.
  std::vector<FlowRecord> end() {
    table_->close_some(UINT64_MAX);
    std::vector<FlowRecord> records;
    FlowBatch batch;
    while (cursor_->next(batch, 100, 0, {})) {
      records.insert(records.end(), batch.records.begin(), batch.records.end());
      cursor_->acknowledge(batch.end_position(), {});
    }
    FlowCounts sum = duplicate();
    for (const FlowRecord& record : records) sum += record_counts(record);
    EXPECT_EQ(sum, (FlowCounts{merged_, 100 * merged_, 114 * merged_}));
    EXPECT_EQ(table_->counters().merged, table_->counters().recorded);
    return records;
  }

  FlowCounts duplicate() const { return table_->counters().duplicate; }

  NoOwner owner_;
  std::unique_ptr<FlowTable> table_;
  std::unique_ptr<OutboxCursor> cursor_;
  std::uint64_t merged_ = 0;
};

TestRow seen_on(std::uint32_t link, std::uint32_t packets, std::uint64_t at_ns, unsigned direction = 0) {
  TestRow row = make_row(IPPROTO_UDP, 40'000, 53);
  row.hot.key.link = link;
  return add_packets(row, direction, packets, at_ns);
}

TEST_F(DeduplicateTest, TheFirstLinkReportsAndTheOthersAreNamed) {
  merge(seen_on(7, 3, kStart));
  merge(seen_on(8, 3, kStart + kMicrosecond));
  merge(seen_on(9, 3, kStart + 2 * kMicrosecond));
  merge(seen_on(8, 2, kStart + 3 * kMicrosecond));
  const auto records = end();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].link, 7U);
  EXPECT_THAT(records[0].other_links, ElementsAre(8, 9, 0));
  EXPECT_EQ(record_counts(records[0]).packets, 3U);
  EXPECT_EQ(duplicate().packets, 8U);
}

TEST_F(DeduplicateTest, NoneReportsEach) {
  open(Deduplicate::none);
  merge(seen_on(7, 3, kStart));
  merge(seen_on(8, 3, kStart));
  EXPECT_EQ(end().size(), 2U);
  EXPECT_EQ(duplicate().packets, 0U);
}

TEST_F(DeduplicateTest, VlanAndTunnelDoNotTellFlowsApartButFamilyDoes) {
  TestRow vlan = seen_on(8, 3, kStart);
  vlan.hot.key.vlan = 5;
  TestRow tunnel = seen_on(9, 3, kStart);
  tunnel.hot.key.kind = abi::TUNNEL_VXLAN;
  tunnel.hot.key.tunnel_id = 42;
  TestRow family = seen_on(9, 3, kStart);
  family.hot.key.kind = abi::KIND_IPV6;
  for (const TestRow& row : {seen_on(7, 3, kStart), vlan, tunnel, family}) merge(row);
  EXPECT_EQ(end().size(), 2U);
  EXPECT_EQ(duplicate().packets, 6U);
}

// Both sides of an address translation.
TEST_F(DeduplicateTest, OtherAddressesAreAnotherFlow) {
  TestRow inside = seen_on(8, 3, kStart);
  inside.hot.key.address[0][15] = 3;
  merge(seen_on(7, 3, kStart));
  merge(inside);
  EXPECT_EQ(end().size(), 2U);
}

TEST_F(DeduplicateTest, OlderPacketsMakeANewLinkTheReporter) {
  TestRow later = seen_on(7, 3, kStart + 5 * kMicrosecond);
  later.cold.source_mac[5] = 1;
  TestRow older = seen_on(8, 4, kStart);
  older.cold.source_mac[5] = 2;
  older.hot.key.vlan = 5;
  merge(later);
  merge(older);
  merge(seen_on(7, 1, kStart + 6 * kMicrosecond));
  const auto records = end();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].link, 8U);
  EXPECT_EQ(records[0].vlan, 5U);
  EXPECT_EQ(records[0].source_mac[5], 2U) << "what goes with the place";
  EXPECT_EQ(records[0].flow_start_ns, kStart);
  EXPECT_THAT(records[0].other_links, ElementsAre(7, 0, 0));
  EXPECT_EQ(record_counts(records[0]).packets, 4U);
}

// Rows of a link come in any order: those that were merged as duplicates would be missing.
TEST_F(DeduplicateTest, OlderPacketsOfAKnownLinkDoNot) {
  merge(seen_on(7, 3, kStart + 5 * kMicrosecond));
  merge(seen_on(8, 2, kStart + 6 * kMicrosecond));
  merge(seen_on(8, 1, kStart));
  EXPECT_EQ(end()[0].link, 7U);
  EXPECT_EQ(duplicate().packets, 3U);
}

// As the interface of a capture may be, or what a damaged file says.
TEST_F(DeduplicateTest, ALinkMayHaveTheNumber0) {
  merge(seen_on(0, 2, kStart));
  merge(seen_on(8, 2, kStart + kMicrosecond));
  const auto records = end();
  EXPECT_EQ(records[0].link, 0U);
  EXPECT_THAT(records[0].other_links, ElementsAre(8, 0, 0));
}

TEST_F(DeduplicateTest, EachDirectionHasAReporter) {
  merge(seen_on(7, 3, kStart, 0));
  merge(seen_on(8, 3, kStart, 0));
  merge(seen_on(8, 2, kStart + kSecond, 1));  // asymmetric routing: never on 7
  merge(seen_on(9, 2, kStart + kSecond, 1));
  const auto records = end();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(record_counts(records[0]).packets, 5U);
  EXPECT_THAT(records[0].other_links, ::testing::Contains(records[0].link == 7 ? 8U : 7U));
}

TEST_F(DeduplicateTest, AnotherTakesOverFromASilentReporter) {
  for (std::uint64_t second = 0; second < 10; ++second) {
    table_->begin_drain();
    if (second < 3) merge(seen_on(7, 1, kStart + second * kSecond));
    merge(seen_on(8, 1, kStart + second * kSecond + kMicrosecond));
  }
  const auto records = end();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].link, 8U);
  EXPECT_THAT(records[0].other_links, ElementsAre(7, 0, 0));
  EXPECT_EQ(record_counts(records[0]).packets, 9U) << "all but that of the silent second 3";
}

// Its packets may still be to be merged: they would be counted twice.
TEST_F(DeduplicateTest, NobodyTakesOverFromOneThatCountedInThisDrainOrTheLast) {
  merge(seen_on(7, 1, kStart));
  merge(seen_on(8, 1, kStart + 5 * kSecond));
  table_->begin_drain();
  merge(seen_on(8, 1, kStart + 8 * kSecond));
  EXPECT_EQ(end()[0].link, 7U);
  EXPECT_EQ(duplicate().packets, 2U);
}

// One packet every few seconds, each seen on both links, in the one or the other order.
TEST_F(DeduplicateTest, ASparseFlowIsCountedOnceWhoeverComesFirst) {
  for (std::uint64_t second = 0; second < 60; second += 3) {
    table_->begin_drain();
    table_->begin_drain();
    const bool swapped = second % 2 == 0;
    merge(seen_on(swapped ? 8 : 7, 1, kStart + second * kSecond));
    merge(seen_on(swapped ? 7 : 8, 1, kStart + second * kSecond + kMicrosecond));
  }
  std::uint64_t packets = 0;
  for (const FlowRecord& record : end()) packets += record_counts(record).packets;
  EXPECT_EQ(packets, 20U);
}

TestRow tcp_on(std::uint32_t link, unsigned direction, std::uint64_t at_ns, std::uint16_t flags) {
  TestRow row = make_row(IPPROTO_TCP, 40'000, 443);
  row.hot.key.link = link;
  return add_packets(row, direction, 1, at_ns, flags);
}

TEST_F(DeduplicateTest, ADuplicateSynBeginsNoFlowAndTheReportersDoes) {
  constexpr std::uint16_t kSyn = abi::FLAG_SYN | abi::FLAG_SYN_ONLY;
  for (const std::uint64_t at_ns : {kStart, kStart + kSecond}) {
    table_->begin_drain();
    for (const std::uint32_t link : {7U, 8U}) {
      TestRow row = tcp_on(link, 0, at_ns + link * kMicrosecond, kSyn);
      add_packets(row, 1, 1, at_ns + link * kMicrosecond, abi::FLAG_RST | abi::FLAG_ACK);
      merge(row);
    }
  }
  const auto records = end();
  ASSERT_EQ(records.size(), 2U);
  for (const FlowRecord& record : records) EXPECT_EQ(record_counts(record).packets, 2U);
}

TEST_F(DeduplicateTest, MoreLinksThanAreNoted) {
  for (std::uint32_t link = 7; link < 17; ++link) merge(seen_on(link, 1, kStart + link));
  for (int drain = 0; drain < 3; ++drain) table_->begin_drain();
  merge(seen_on(16, 1, kStart + 5 * kSecond));
  const auto records = end();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].link, 16U) << "one that was not noted takes over, too";
  EXPECT_EQ(record_counts(records[0]).packets, 2U);
}

/// Packets of one flow that each pass three links, in rows as several CPUs make them, in a drain that is
/// late.
std::vector<TestRow> rows_of_a_drain(std::mt19937& random, std::uint64_t begin_ns, std::uint32_t packets) {
  std::vector<TestRow> rows;
  std::vector<std::uint64_t> times(packets);
  for (std::uint64_t& time : times) time = begin_ns + random() % (8 * kSecond);
  std::ranges::sort(times);
  for (const std::uint32_t link : {7U, 8U, 9U}) {
    std::vector<TestRow> of_cpu(4);
    for (TestRow& row : of_cpu) row = seen_on(link, 0, 0);
    for (std::size_t i = 0; i < times.size(); ++i)
      add_packets(of_cpu[i % of_cpu.size()], i / 5 % 2, 1, times[i] + link * kMicrosecond);
    for (const TestRow& row : of_cpu)
      if (row.hot.first_ns != 0) rows.push_back(row);
  }
  std::ranges::shuffle(rows, random);
  return rows;
}

TEST_F(DeduplicateTest, InAnyOrderOfRowsEveryPacketIsCountedOnce) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    open(Deduplicate::first_interface);
    std::uint64_t sent = 0;
    for (std::uint64_t drain = 0; drain < 12; ++drain) {
      table_->begin_drain();
      const auto packets = static_cast<std::uint32_t>(drain % 5 == 0 ? random() % 20 : 0);
      sent += packets;
      // One drain holds all rows of a packet; the first has them in the order in which they were made.
      auto rows = rows_of_a_drain(random, kStart + drain * 8 * kSecond, packets);
      if (drain == 0)
        std::ranges::sort(rows, {}, [](const TestRow& row) { return std::uint64_t{row.hot.first_ns}; });
      for (const TestRow& row : rows) merge(row);
    }
    std::uint64_t counted = 0;
    for (const FlowRecord& record : end()) counted += record_counts(record).packets;
    EXPECT_EQ(counted, sent);
  }
}

}  // namespace
}  // namespace rheo
