// SPDX-License-Identifier: Apache-2.0
// The flow table's timers after a FIN or RST, its waking of the lanes, and what it finds again in its file.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <thread>

#include "daemon/base/clock.h"
#include "daemon/flow/flow_table.h"
#include "daemon/flow/merge.h"
#include "tests/tools/rows.h"

namespace rheo {
namespace {

using testing::add_packets;
using testing::kSecond;
using testing::make_row;
using testing::TestRow;

constexpr std::uint64_t kStart = 1'000 * kSecond;

/// Counts what it is told to release.
class Owner final : public RowOwner {
 public:
  explicit Owner(std::uint64_t identity) : identity_(identity) {}
  void release(const RowPlace& /*place*/) override { ++released; }
  std::uint64_t identity() const override { return identity_; }
  int released = 0;

 private:
  std::uint64_t identity_;
};

class FlowTableRestart : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "rheo-table-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<FlowTable> open(RowOwner& owner) {
    auto table =
        FlowTable::open({.file = {.path = folder_ + "/flows", .max_flows = 1'000, .outbox_records = 1'024},
                         .timeouts = {.max_record_interval_ns = 60 * kSecond,
                                      .generic_ns = 30 * kSecond,
                                      .icmp_ns = 10 * kSecond,
                                      .tcp_ns = 20 * kSecond,
                                      .tcp_fin_ns = 5 * kSecond,
                                      .tcp_rst_ns = 9 * kSecond,
                                      .udp_ns = 60 * kSecond}});
    (*table)->recover(owner, kStart);
    return *std::move(table);
  }

  static void merge(FlowTable& table, RowOwner& owner, std::uint16_t port, std::uint64_t at_ns,
                    std::uint16_t flags) {
    TestRow row = make_row(IPPROTO_TCP, port, 80);
    add_packets(row, 0, 1, at_ns, flags);
    const Row one{.hot = &row.hot, .cold = &row.cold, .place = {.kind = RowPlace::Kind::cache}};
    table.merge({&one, 1}, owner);
  }

  std::string folder_;
  Owner owner_{1};
};

TEST_F(FlowTableRestart, AFinOrRstShortensTheTimeoutOfAFlowThatGoesOn) {
  auto table = open(owner_);
  for (std::uint16_t port = 1; port <= 2; ++port) merge(*table, owner_, port, kStart, abi::FLAG_ACK);
  table->expire(kStart + kSecond);
  merge(*table, owner_, 1, kStart + kSecond, abi::FLAG_ACK | abi::FLAG_FIN);
  merge(*table, owner_, 2, kStart + kSecond, abi::FLAG_RST);
  const auto records = [&](EndReason reason) {
    return table->counters().records[static_cast<std::size_t>(reason)];
  };
  table->expire(kStart + 7 * kSecond);
  EXPECT_EQ(records(EndReason::fin), 1U);
  EXPECT_EQ(records(EndReason::rst), 0U);
  table->expire(kStart + 11 * kSecond);
  EXPECT_EQ(records(EndReason::rst), 1U);
}

TEST_F(FlowTableRestart, ARecordThatExpiresWakesItsLane) {
  auto table = open(owner_);
  merge(*table, owner_, 1, kStart, abi::FLAG_ACK);
  auto cursor = table->outbox().open_cursor("lane").value();
  std::uint64_t waited_ns = 0;
  std::jthread lane([&] {
    const std::uint64_t begin_ns = monotonic_ns();
    FlowBatch batch;
    EXPECT_TRUE(cursor->next(batch, 1, begin_ns + 20 * kSecond, {}));
    waited_ns = monotonic_ns() - begin_ns;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  table->expire(kStart + 30 * kSecond);
  lane.join();
  EXPECT_LT(waited_ns, 10 * kSecond);
}

TEST_F(FlowTableRestart, ARowIsReleasedAgainInItsOwnMapsOnly) {
  merge(*open(owner_), owner_, 1, kStart, abi::FLAG_ACK);
  for (const std::uint64_t identity : {2, 1}) {
    {
      auto file = TableFile::open({.path = folder_ + "/flows", .max_flows = 1'000, .outbox_records = 1'024});
      ASSERT_TRUE(file);
      file->journal().source.kind = RowPlace::Kind::cache;
      file->journal().committed = 1;  // killed before the row was released
    }
    Owner found(identity);
    EXPECT_EQ(open(found)->counters().active_flows, 1U);
    EXPECT_EQ(found.released, identity == 1 ? 1 : 0);
  }
}

TEST_F(FlowTableRestart, PlacesOfEndedFlowsAreUsedAgain) {
  {
    auto table = open(owner_);
    for (std::uint16_t port = 1; port <= 3; ++port) merge(*table, owner_, port, kStart, abi::FLAG_ACK);
    table->close_some(10);
  }
  auto table = open(owner_);
  merge(*table, owner_, 9, kStart, abi::FLAG_ACK);
  EXPECT_EQ(table->file().header().entries_used_upto, 3U);
}

TEST_F(FlowTableRestart, AFileWithoutRoomForAFlowIsSetAside) {
  open(owner_);
  std::filesystem::resize_file(folder_ + "/flows", entries_offset(1'024));
  EXPECT_TRUE(open(owner_)->file().set_aside());
}

TEST_F(FlowTableRestart, TheRecordThatIsBeingOverwrittenIsNotHandedOut) {
  TableFile file = TableFile::open({.path = "", .max_flows = 10, .outbox_records = 1'024}).value();
  Outbox outbox(file);
  auto cursor = outbox.open_cursor("lane").value();
  for (std::uint64_t position = 0; position < 1'024; ++position) outbox.put({}, position);
  file.header().outbox_writing = 1'025;  // the writer is in the oldest one's place
  FlowBatch batch;
  ASSERT_TRUE(cursor->next(batch, 1, 0, {}));
  EXPECT_GT(batch.first_position, 0U);

  const Outbox next_process(file);
  EXPECT_EQ(file.header().outbox_writing, 1'024U);  // nobody is writing any more
}

TEST(LeastRecent, AFlowSeenSinceItWasFoundIsPassedOver) {
  std::vector<FlowEntry> entries(64);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].state.flow_id = i + 1;
    entries[i].state.side[0].last_ns = 100 + i;
  }
  LeastRecent least_recent;
  EXPECT_EQ(least_recent.take(entries.data(), 64), 0U);
  entries[1].state.side[0].last_ns = 1'000;
  EXPECT_EQ(least_recent.take(entries.data(), 64), 2U);
}

TEST(Window, ANewOneKnowsNothingOfTheLast) {
  EntryState entry{};
  entry.side[0].last_ns = 500;
  entry.side[0].window_flags = abi::FLAG_SYN;
  begin_window(entry);
  EXPECT_EQ(entry.side[0].window_flags, 0U);
  TestRow late = make_row(IPPROTO_TCP, 1, 80);
  add_packets(late, 0, 1, 400);  // of another CPU, merged after the record
  add_row(entry, late.hot, 1);
  EXPECT_EQ(entry.window_first_ns, 500U);  // windows do not overlap
}

}  // namespace
}  // namespace rheo
