// SPDX-License-Identifier: Apache-2.0
// What rheoctl reads of the live flow table while it is written, and the picture it makes of it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <thread>

#include "daemon/base/clock.h"
#include "dbus/rheoctl/flow_text.h"
#include "dbus/rheoctl/live_flows.h"
#include "dbus/rheoctl/table_reader.h"
#include "dbus/rheoctl/top_picture.h"
#include "tests/tools/tables.h"

namespace rheo::ctl {
namespace {

using rheo::testing::add_packets;
using rheo::testing::kSecond;
using rheo::testing::make_row;
using rheo::testing::NoOwner;
using rheo::testing::TestRow;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class LiveTable : public ::testing::Test {
 protected:
  LiveTable() {
    auto opened = FlowTable::open(
        rheo::testing::table_cut_often({.path = path_, .max_flows = 100'000, .outbox_records = 64}));
    table_ = std::move(opened).value();
    table_->recover(owner_, kSecond);
  }
  ~LiveTable() override { std::filesystem::remove(path_); }
  LiveTable(const LiveTable&) = delete;
  LiveTable& operator=(const LiveTable&) = delete;

  UniqueFd file() const { return UniqueFd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)); }

  void merge(const TestRow& row) {
    const Row one{.hot = &row.hot, .cold = &row.cold, .place = {}};
    table_->merge({&one, 1}, owner_);
  }

  /// A drain at this moment, of this many packets each way for the flow.
  void drain(std::uint64_t at_ns, std::uint16_t port, std::uint32_t forward, std::uint32_t reverse) {
    table_->begin_drain();
    TestRow row = make_row(IPPROTO_TCP, 40'000, port);
    add_packets(row, 0, forward, at_ns - 1, kFlagSynOnly);
    if (reverse > 0) add_packets(row, 1, reverse, at_ns - 1);
    merge(row);
    table_->end_drain(at_ns);
  }

  const std::string path_ = ::testing::TempDir() + "/live_table." + std::to_string(::getpid());
  NoOwner owner_;
  std::unique_ptr<FlowTable> table_;
};

TEST_F(LiveTable, IsReadAsItGrows) {
  auto reader = TableReader::map(file());
  ASSERT_TRUE(reader) << reader.error().what;
  EXPECT_EQ(reader->entries(), 0U);
  constexpr std::uint16_t kFlows = 10'000;  // more than the file has room for at first
  for (std::uint16_t i = 0; i < kFlows; ++i) {
    TestRow row = make_row(IPPROTO_UDP, static_cast<std::uint16_t>(i + 1), 53);
    merge(add_packets(row, 0, 1, kSecond));
  }
  ASSERT_TRUE(reader->refresh());
  EXPECT_EQ(reader->entries(), kFlows);
  FlowEntry entry;
  for (std::uint32_t i = 0; i < kFlows; ++i) ASSERT_TRUE(reader->read(i, entry)) << i;
  EXPECT_FALSE(reader->is_removed());
  std::filesystem::remove(path_);
  EXPECT_TRUE(reader->is_removed());
}

// Two directions of a flow always have the same number of packets, if the two are of one moment.
TEST_F(LiveTable, NoEntryIsEverTorn) {
  TestRow row = make_row(IPPROTO_UDP, 1000, 53);
  add_packets(row, 0, 1, kSecond);
  add_packets(row, 1, 1, kSecond);
  merge(row);
  const auto reader = TableReader::map(file());
  ASSERT_TRUE(reader) << reader.error().what;
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (std::uint64_t at_ns = kSecond; !stop; ++at_ns) {
      row.hot.last_ns = at_ns;
      merge(row);
    }
  });
  FlowEntry entry;
  std::uint64_t last = 0;
  std::uint64_t changes = 0;
  std::uint64_t torn = 0;
  const std::uint64_t begin_ns = monotonic_ns();
  while (changes < 5'000 && monotonic_ns() - begin_ns < 20 * kSecond) {
    if (!reader->read(0, entry)) continue;
    const EntrySide* side = entry.state.side;
    if (side[0].total.packets != side[1].total.packets ||
        side[1].total.l2_bytes != 114 * side[0].total.packets)
      ++torn;
    if (side[0].total.packets != last) ++changes;
    last = side[0].total.packets;
  }
  stop = true;
  writer.join();
  EXPECT_EQ(torn, 0U);
  EXPECT_GE(changes, 5'000U) << "little was written meanwhile";
}

TEST_F(LiveTable, WhatHasAnotherLayoutIsRefused) {
  const UniqueFd other(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  const std::uint32_t schema = kTableSchema + 1;
  ASSERT_EQ(::pwrite(other.get(), &schema, sizeof schema, offsetof(TableHeader, schema)), sizeof schema);
  const auto reader = TableReader::map(file());
  ASSERT_FALSE(reader);
  EXPECT_THAT(reader.error().what, AllOf(HasSubstr("layout is number " + std::to_string(schema)),
                                         HasSubstr("not of the same version")));
  const UniqueFd empty(::memfd_create("empty", MFD_CLOEXEC));
  const auto none = TableReader::map(UniqueFd(::dup(empty.get())));
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().what, HasSubstr("too short"));
}

TEST_F(LiveTable, RatesAreOfWholeIntervalsBetweenDrains) {
  const auto reader = TableReader::map(file());
  ASSERT_TRUE(reader) << reader.error().what;
  LiveFlows flows;
  const auto first_of = [&](LiveOrder order) {
    return flows.answer({.filter = {}, .order = order, .first = 0, .count = 1}, 0).flows.at(0);
  };
  drain(10 * kSecond, 80, 1'000, 0);
  flows.look(*reader);
  EXPECT_FALSE(flows.has_rates());
  EXPECT_EQ(first_of(LiveOrder::rate).forward.packets, 0);

  drain(12 * kSecond, 80, 50, 20);
  flows.look(*reader);
  EXPECT_TRUE(flows.has_rates());
  EXPECT_DOUBLE_EQ(first_of(LiveOrder::rate).forward.packets, 25);
  EXPECT_DOUBLE_EQ(first_of(LiveOrder::rate).forward.bits, 25 * 100 * 8);
  EXPECT_DOUBLE_EQ(first_of(LiveOrder::rate).reverse.packets, 10);

  flows.look(*reader);  // no drain since
  EXPECT_DOUBLE_EQ(first_of(LiveOrder::rate).forward.packets, 25);

  drain(13 * kSecond, 443, 30, 0);  // a new flow, and silence of the old one
  flows.look(*reader);
  EXPECT_EQ(flows.size(), 2U);
  EXPECT_DOUBLE_EQ(first_of(LiveOrder::rate).forward.packets, 30);
  EXPECT_EQ(first_of(LiveOrder::start).record.destination_port_be, htons(443));
  EXPECT_EQ(first_of(LiveOrder::bytes).record.destination_port_be, htons(80));
  EXPECT_EQ(first_of(LiveOrder::bytes).forward.packets, 0);
}

TEST_F(LiveTable, FiltersAndPages) {
  const auto reader = TableReader::map(file());
  ASSERT_TRUE(reader) << reader.error().what;
  for (std::uint16_t i = 1; i <= 20; ++i) drain(10 * kSecond, i, i, 0);
  LiveFlows flows;
  flows.look(*reader);
  const auto filter = FlowFilter::parse("dst port 11-20", {});
  ASSERT_TRUE(filter);
  const LiveAnswer answer =
      flows.answer({.filter = *filter, .order = LiveOrder::packets, .first = 8, .count = 5}, 0);
  EXPECT_EQ(answer.matching, 10U);
  ASSERT_EQ(answer.flows.size(), 2U);
  EXPECT_EQ(answer.flows[0].record.forward.total.packets, 12U);
  EXPECT_EQ(answer.flows[1].record.forward.total.packets, 11U);
}

TEST(LiveOrders, HaveNames) {
  for (int i = 0; i < kLiveOrderCount; ++i) {
    const auto order = static_cast<LiveOrder>(i);
    EXPECT_EQ(live_order(live_order_name(order)), order);
  }
  EXPECT_EQ(live_order("size"), std::nullopt);
}

LiveFlow some_flow() {
  LiveFlow flow;
  flow.record.flow_id = 0xabc;
  flow.record.protocol = IPPROTO_TCP;
  flow.record.tcp_state = TcpState::established;
  flow.record.source = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 100, 113, 100};
  flow.record.destination = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2};
  flow.record.source_port_be = htons(50'000);
  flow.record.destination_port_be = htons(443);
  flow.record.link = 7;
  flow.record.forward.total = {.packets = 5, .l3_bytes = 12'345, .l2_bytes = 13'000};
  flow.forward = {.packets = 25, .bits = 2'500'000};
  flow.reverse = {.packets = 1, .bits = 999};
  return flow;
}

TEST(TopPicture, FitsEverySize) {
  LinkTable links;
  links[7].name = "evil\x1b[2J\xc3\xa4";
  TopView view;
  view.answer.flows.assign(100, some_flow());
  view.filter = "tcp and \x1b]0;x\x07";
  for (std::size_t columns = 1; columns <= 300; ++columns) {
    for (const std::size_t rows : {1U, 3U, 5U, 24U, 60U}) {
      const auto lines = draw_top(view, links, columns, rows);
      ASSERT_EQ(lines.size(), rows);
      for (const PictureLine& line : lines) {
        ASSERT_EQ(cut_text(line.text, columns), line.text) << columns;
        ASSERT_THAT(line.text, Not(HasSubstr("\x1b"))) << columns;
      }
    }
  }
}

TEST(TopPicture, ShowsWhatThereIsRoomFor) {
  TopView view;
  view.answer.flows = {some_flow()};
  view.has_rates = true;
  const auto at = [&](std::size_t columns) { return draw_top(view, {}, columns, 24).back().text; };
  EXPECT_THAT(at(80), AllOf(HasSubstr("tcp    203.100.113.100:50000    10.0.0.2:443"),
                            HasSubstr("2.50M     999"), HasSubstr("12.3k"), Not(HasSubstr("established"))));
  EXPECT_THAT(at(160), AllOf(HasSubstr("established"), HasSubstr("0000000000000abc")));
  view.has_rates = false;
  EXPECT_THAT(at(80), Not(HasSubstr("2.50M")));
}

TEST(FlowText, AnIdIsReadBack) {
  EXPECT_EQ(flow_id(flow_id_text(0x1234'5678'9abc'def0)), 0x1234'5678'9abc'def0U);
  for (const char* wrong : {"", "xyz", "0x12", "12 ", "-1", "12345678901234567"})
    EXPECT_EQ(flow_id(wrong), std::nullopt) << wrong;
}

TEST(FlowText, ShowsBothDirectionsAndTheTunnel) {
  FlowRecord record = some_flow().record;
  record.reverse.tcp_flags = 0x12;
  record.tunnel = TunnelType::vxlan;
  record.tunnel_id = 77;
  record.reverse.tcp = {.srtt_us = 20'123, .min_rtt_us = 0, .retransmits = 3, .congestion_window = 24};
  const std::string json = print_json_object(flow_details(record, {}), 0);
  for (const char* part :
       {R"("flow_id":"0000000000000abc")", R"("source":"203.100.113.100:50000")", R"("bytes":12345)",
        R"("reverse_bytes":0)", R"("reverse_tcp_flags":"SYN|ACK")", R"("reverse_tcp_rtt_us":20123)",
        R"("reverse_tcp_retransmits":3)", R"("tunnel":"vxlan")", R"("tunnel_id":77)"})
    EXPECT_THAT(json, HasSubstr(part));
  EXPECT_THAT(json, AllOf(Not(HasSubstr(R"("tcp_rtt_us")")), Not(HasSubstr("min_rtt"))));
}

TEST(ShortNumber, KeepsToSixColumns) {
  EXPECT_EQ(short_number(999), "999");
  EXPECT_EQ(short_number(1'234), "1.23k");
  EXPECT_EQ(short_number(45'600'000), "45.6M");
  EXPECT_EQ(short_number(999'999), "1.00M");
}

}  // namespace
}  // namespace rheo::ctl
