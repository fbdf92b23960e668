// SPDX-License-Identifier: Apache-2.0
// What rows say of a TCP connection becomes what its records say, whichever row comes first.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "daemon/flow/flow_rules.h"
#include "daemon/flow/merge.h"
#include "daemon/model/flow_entry.h"
#include "tests/tools/rows.h"

namespace rheo {
namespace {

using testing::add_packets;
using testing::make_row;
using testing::TestRow;

constexpr std::uint64_t kStart = 1'000 * testing::kSecond;
constexpr std::uint16_t kSyn = 0x02 | kFlagSynOnly, kSynAck = 0x12 | kFlagSynAck, kAck = 0x10;

/// A row of one packet, `after_ns` the start.
TestRow row_of(unsigned direction, std::uint64_t after_ns, std::uint16_t flags) {
  TestRow row = make_row(IPPROTO_TCP, 40'000, 443);
  add_packets(row, direction, 1, kStart + after_ns, flags);
  row.hot.tcp_notes = abi::TCP_NOTED;
  if (flags == kSyn) row.tcp.syn_ns = kStart + after_ns;
  if (flags == kSynAck) row.tcp.syn_ack_ns = kStart + after_ns;
  if (flags == kAck) row.tcp.ack_ns = kStart + after_ns;
  return row;
}

TestRow row_of(unsigned direction, const abi::tcp_sample& sample) {
  TestRow row = row_of(direction, 5'000, kAck);
  row.tcp.ack_ns = 0;
  row.tcp.sample[direction] = sample;
  return row;
}

/// The record of a flow whose initiator is side 0, made of rows in this order.
FlowRecord record_of(const std::vector<TestRow>& rows) {
  EntryState entry = make_entry(rows.front().hot, 1);
  for (const TestRow& row : rows) {
    add_row(entry, row.hot, 1);
    note_tcp(entry, row.hot, &row.tcp);
  }
  entry.initiator = 0;
  entry.initiator_by = static_cast<std::uint8_t>(InitiatorBy::handshake);
  return make_record(entry, {}, EndReason::idle, 0);
}

// CPUs share no rows, and nothing orders them.
TEST(FlowTcp, AHandshakeOfRowsInAnyOrder) {
  std::vector<TestRow> rows = {row_of(0, 100, kSyn), row_of(1, 350, kSynAck), row_of(0, 390, kAck),
                               row_of(1, 360, kAck), row_of(0, 9'000, kAck)};
  std::vector<std::size_t> order = {0, 1, 2, 3, 4};
  do {
    std::vector<TestRow> ordered;
    for (const std::size_t i : order) ordered.push_back(rows[i]);
    const FlowRecord record = record_of(ordered);
    EXPECT_EQ(record.handshake.syn_ack_ns, 250U);
    EXPECT_EQ(record.handshake.ack_ns, 40U);
  } while (std::ranges::next_permutation(order).found);
}

TEST(FlowTcp, TheRowOfAllOfAHandshake) {
  TestRow row = row_of(0, 100, kSyn);
  add_packets(row, 1, 1, kStart + 350, kSynAck);
  add_packets(row, 0, 1, kStart + 390, kAck);
  row.tcp.syn_ack_ns = kStart + 350;
  row.tcp.ack_ns = kStart + 390;
  const FlowRecord record = record_of({row});
  EXPECT_EQ(record.handshake.syn_ack_ns, 250U);
  EXPECT_EQ(record.handshake.ack_ns, 40U);
}

TEST(FlowTcp, AnAckBehindTheSynAndAckIsTheInitiators) {
  TestRow row = row_of(1, 350, kSynAck);
  add_packets(row, 0, 1, kStart + 390, kAck);
  row.tcp.ack_ns = kStart + 390;
  EXPECT_EQ(record_of({row}).handshake.ack_ns, 40U);
}

TEST(FlowTcp, WhatWasNotSeenIsNotTold) {
  for (const auto& rows : {std::vector{row_of(0, 100, kSyn), row_of(0, 390, kAck)},
                           {row_of(0, 390, kAck), row_of(1, 400, kAck)},
                           {row_of(1, 350, kSynAck), row_of(1, 400, kAck)},
                           {row_of(1, 350, kSynAck), row_of(0, 340, kAck)}}) {
    const FlowRecord record = record_of(rows);
    EXPECT_EQ(record.handshake.syn_ack_ns, 0U);
    EXPECT_EQ(record.handshake.ack_ns, 0U);
  }
  TestRow unnoted = row_of(1, 350, kSynAck);
  unnoted.hot.tcp_notes = 0;  // its place holds another flow's
  EXPECT_EQ(record_of({row_of(0, 100, kSyn), unnoted}).handshake.syn_ack_ns, 0U);
}

TEST(FlowTcp, TheLatestSampleTheLeastTimeAndTheMostRetransmits) {
  const abi::tcp_sample early = {900, 700, 1, 10, 0xffffffff}, late = {500, 800, 3, 20, 5}, none = {};
  const abi::tcp_sample unmeasured = {0, 0, 4, 1, 2};
  for (const auto& samples : {std::vector{early, late, none}, {late, none, early}, {none, late, early}}) {
    std::vector<TestRow> rows;
    for (const auto& sample : samples) rows.push_back(row_of(1, sample));
    const FlowRecord record = record_of(rows);
    EXPECT_EQ(record.reverse.tcp.srtt_us, 500U);
    EXPECT_EQ(record.reverse.tcp.min_rtt_us, 700U);
    EXPECT_EQ(record.reverse.tcp.retransmits, 3U);
    EXPECT_EQ(record.reverse.tcp.congestion_window, 20U);
    EXPECT_EQ(record.forward.tcp.congestion_window, 0U);
  }
  const FlowRecord record = record_of({row_of(0, unmeasured)});
  EXPECT_EQ(record.forward.tcp.min_rtt_us, 0U);
  EXPECT_EQ(record.forward.tcp.retransmits, 4U);
}

/// The events of the flow's records: what a row of these flags, merged one after the other, says at each end
/// of a window, and at the end of the flow.
std::vector<unsigned> events_of(const std::vector<std::pair<unsigned, std::uint16_t>>& packets,
                                EndReason reason = EndReason::idle) {
  EntryState entry = make_entry(row_of(packets.front().first, 0, packets.front().second).hot, 1);
  entry.initiator_by = static_cast<std::uint8_t>(InitiatorBy::handshake);
  std::vector<unsigned> told;
  for (const auto& [direction, flags] : packets) {
    add_row(entry, row_of(direction, 100 * (told.size() + 1), flags).hot, 1);
    told.push_back(make_record(entry, {}, EndReason::active, 0).tcp_events);
    begin_window(entry);
  }
  told.push_back(make_record(entry, {}, reason, 0).tcp_events);
  return told;
}

using Events = std::vector<unsigned>;
constexpr std::uint16_t kFinAck = 0x11, kRst = 0x04, kRstAck = 0x14;

TEST(FlowTcp, EachEventIsToldOnceInTheRecordOfItsTime) {
  EXPECT_EQ(events_of({{0, kSyn}, {1, kSynAck}, {0, kAck}, {1, kAck}, {0, kFinAck}, {1, kFinAck}, {0, kAck}}),
            (Events{0, kTcpConnect, kTcpAccept, 0, 0, kTcpClose, 0, 0}));
  EXPECT_EQ(events_of({{0, kSyn}, {1, kSynAck}, {0, kAck}, {1, kRst}, {0, kRst}}),
            (Events{0, kTcpConnect, kTcpAccept, kTcpClose, 0, 0}));
}

TEST(FlowTcp, AConnectionThatIsRefusedOrNotAnsweredHasFailed) {
  EXPECT_EQ(events_of({{0, kSyn}, {1, kRstAck}}), (Events{0, kTcpFailedConnect, 0}));
  EXPECT_EQ(events_of({{0, kSyn}, {0, kSyn}}), (Events{0, 0, kTcpFailedConnect}));
  // Whether somebody would have answered is not known.
  EXPECT_EQ(events_of({{0, kSyn}}, EndReason::forced), (Events{0, 0}));
  EXPECT_EQ(events_of({{0, kSyn}}, EndReason::lack_of_resources), (Events{0, 0}));
}

TEST(FlowTcp, AScanThatIsAnsweredConnectsAndIsNotAccepted) {
  EXPECT_EQ(events_of({{0, kSyn}, {1, kSynAck}, {0, kRst}}), (Events{0, kTcpConnect, kTcpClose, 0}));
}

TEST(FlowTcp, EventsOfWhatIsSeenInPartAreToldAsFarAsItSaysThem) {
  EXPECT_EQ(events_of({{0, kSyn}, {0, kAck}}), (Events{0, kTcpConnect | kTcpAccept, 0}));  // one way only
  EXPECT_EQ(events_of({{1, kSynAck}}), (Events{kTcpConnect, 0}));
  EXPECT_EQ(events_of({{0, kAck}, {1, kAck}}), (Events{0, 0, 0}));  // older than rheod
  EXPECT_EQ(events_of({{1, kAck}, {0, kRst}}), (Events{0, kTcpClose, 0}));
}

}  // namespace
}  // namespace rheo
