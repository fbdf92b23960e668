// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/flow_rules.h"

#include <gtest/gtest.h>

#include "daemon/flow/merge.h"
#include "tests/tools/rows.h"

namespace rheo {
namespace {

using testing::add_packets;
using testing::make_row;
using testing::TestRow;

EntryState entry_of(const TestRow& row) {
  EntryState entry = make_entry(row.hot, 1);
  add_row(entry, row.hot, 1);
  return entry;
}

struct Direction {
  unsigned side;
  std::uint16_t flags;
};

EntryState tcp_entry(std::initializer_list<Direction> directions, std::uint16_t port0 = 5'000,
                     std::uint16_t port1 = 5'000) {
  TestRow row = make_row(IPPROTO_TCP, port0, port1);
  for (const Direction& direction : directions) add_packets(row, direction.side, 1, 1'000, direction.flags);
  return entry_of(row);
}

constexpr std::uint16_t kSyn = abi::FLAG_SYN | abi::FLAG_SYN_ONLY;
constexpr std::uint16_t kSynAck = abi::FLAG_SYN | abi::FLAG_ACK | abi::FLAG_SYN_ACK;
constexpr std::uint16_t kAck = abi::FLAG_ACK;
constexpr std::uint16_t kFin = abi::FLAG_FIN | abi::FLAG_ACK;

Listeners listening_on(const char* address, std::uint16_t port, std::uint8_t protocol) {
  Address bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  ::inet_pton(AF_INET, address, bytes.data() + 12);
  Listeners listeners;
  listeners.sockets.insert({bytes, htons(port), protocol});
  return listeners;
}

TEST(ChooseInitiator, TheSynWinsOverPortsAndOrder) {
  const auto found = choose_initiator(tcp_entry({{0, kSynAck}, {1, kSyn}}, 9'999, 80), {});
  EXPECT_EQ(found.side, 1);
  EXPECT_EQ(found.by, InitiatorBy::handshake);
}

TEST(ChooseInitiator, ASynAckNamesItsReceiver) {
  const auto found = choose_initiator(tcp_entry({{0, kSynAck}}), {});
  EXPECT_EQ(found.side, 1);
  EXPECT_EQ(found.by, InitiatorBy::handshake);
}

TEST(ChooseInitiator, AListenerIsTheResponder) {
  const auto entry = tcp_entry({{1, kAck}}, 30'000, 80);
  const auto found = choose_initiator(entry, listening_on("10.0.0.1", 30'000, IPPROTO_TCP));
  EXPECT_EQ(found.side, 1);
  EXPECT_EQ(found.by, InitiatorBy::listener);
}

TEST(ChooseInitiator, AWildcardListenerCountsForTheHostsOwnAddressesOnly) {
  const auto entry = tcp_entry({{1, kAck}}, 30'000, 80);
  Listeners listeners = listening_on("0.0.0.0", 30'000, IPPROTO_TCP);
  EXPECT_EQ(choose_initiator(entry, listeners).by, InitiatorBy::port);
  Address own{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
  listeners.local_addresses.insert(own);
  EXPECT_EQ(choose_initiator(entry, listeners).by, InitiatorBy::listener);
}

EntryState udp_entry(unsigned first_side, std::uint16_t port0, std::uint16_t port1) {
  TestRow row = make_row(IPPROTO_UDP, port0, port1);
  row.hot.first_direction = static_cast<std::uint8_t>(first_side);
  add_packets(row, first_side, 1, 1'000);
  return entry_of(row);
}

/// By a UDP socket at 10.0.0.1 and the port, side 0, that has no peer of its own.
Initiator with_udp_socket(unsigned first_side, std::uint16_t port0, std::uint16_t port1) {
  return choose_initiator(udp_entry(first_side, port0, port1), listening_on("10.0.0.1", port0, IPPROTO_UDP));
}

TEST(ChooseInitiator, AUdpSocketThatSendsFirstFromAPortOfTheKernelsIsNoListener) {
  for (const unsigned first : {0U, 1U}) {
    const auto found = with_udp_socket(first, 40'000, 51'820);
    EXPECT_EQ(found.side, first);
    EXPECT_EQ(found.by, InitiatorBy::first_packet);
  }
}

TEST(ChooseInitiator, AUdpSocketThatSendsFirstToAServiceIsNoListener) {
  EXPECT_EQ(with_udp_socket(0, 20'000, 53).side, 0);
  EXPECT_EQ(with_udp_socket(1, 2'049, 700).side, 1) << "a client with a port of root's asked first";
}

TEST(ChooseInitiator, AUdpSocketOfAnotherPortIsAListener) {
  for (const unsigned first : {0U, 1U}) {
    EXPECT_EQ(with_udp_socket(first, 5'060, 40'000).side, 1);
    EXPECT_EQ(with_udp_socket(first, 53, 40'000).by, InitiatorBy::listener);
  }
}

TEST(ChooseInitiator, OfTwoUdpSocketsThatWithAPortOfItsOwnListens) {
  Listeners listeners = listening_on("10.0.0.1", 40'000, IPPROTO_UDP);
  listeners.sockets.merge(listening_on("10.0.0.2", 5'009, IPPROTO_UDP).sockets);
  const auto found = choose_initiator(udp_entry(1, 40'000, 5'009), listeners);
  EXPECT_EQ(found.side, 0);
  EXPECT_EQ(found.by, InitiatorBy::listener);
}

TEST(ChooseInitiator, TheLowerPortIsTheResponder) {
  EXPECT_EQ(choose_initiator(tcp_entry({{0, kAck}}, 443, 50'000), {}).side, 1);
  EXPECT_EQ(choose_initiator(tcp_entry({{0, kAck}}, 443, 50'000), {}).by, InitiatorBy::port);
  EXPECT_EQ(choose_initiator(tcp_entry({{1, kAck}}, 50'000, 443), {}).side, 0);
}

TEST(ChooseInitiator, OtherwiseWhoeverSpokeFirst) {
  const auto found = choose_initiator(tcp_entry({{1, kAck}, {0, kAck}}), {});
  EXPECT_EQ(found.side, 1);
  EXPECT_EQ(found.by, InitiatorBy::first_packet);
}

TEST(ChooseInitiator, APingsAskerIsItsInitiatorEvenWhenOnlyTheReplyIsSeen) {
  TestRow row = make_row(IPPROTO_ICMP, 0, 0);
  row.hot.key.port[0] = htons(0x0800);  // echo request
  row.hot.key.port[1] = htons(77);
  TestRow both = row;
  add_packets(both, 1, 1, 1'000, 0x0000);  // the reply's row came first
  add_packets(both, 0, 1, 1'000, 0x0800);
  EXPECT_EQ(choose_initiator(entry_of(both), {}).side, 0);
  add_packets(row, 1, 1, 1'000, 0x0000);
  const auto found = choose_initiator(entry_of(row), {});
  EXPECT_EQ(found.side, 0);
  EXPECT_EQ(found.by, InitiatorBy::handshake);
}

TEST(ImproveInitiator, TakesOnlyBetterEvidence) {
  EntryState entry = tcp_entry({{0, kAck}}, 443, 50'000);
  improve_initiator(entry, {});
  EXPECT_EQ(entry.initiator, 1);
  improve_initiator(entry, listening_on("10.0.0.2", 50'000, IPPROTO_TCP));
  EXPECT_EQ(entry.initiator, 0);
  improve_initiator(entry, {});  // the listener is gone: the finding stays
  EXPECT_EQ(entry.initiator, 0);
  EXPECT_EQ(entry.initiator_by, static_cast<std::uint8_t>(InitiatorBy::listener));
}

struct StateCase {
  const char* name;
  std::initializer_list<Direction> directions;  // side 0 is the initiator
  TcpState state;
};

const StateCase kStateCases[] = {
    {"only a SYN", {{0, kSyn}}, TcpState::syn_sent},
    {"answered", {{0, kSyn}, {1, kSynAck}}, TcpState::syn_received},
    {"acknowledged", {{0, kSyn | kAck}, {1, kSynAck}}, TcpState::established},
    {"from the middle", {{0, kAck}}, TcpState::established},
    {"initiator finished", {{0, kFin}, {1, kAck}}, TcpState::fin_wait_1},
    {"responder finished", {{0, kAck}, {1, kFin}}, TcpState::close_wait},
    {"both finished", {{0, kFin}, {1, kFin}}, TcpState::time_wait},
    {"reset", {{0, kSyn}, {1, abi::FLAG_RST | kAck}}, TcpState::closed},
};

TEST(TcpState, FollowsTheFlagsOfBothDirections) {
  for (const StateCase& test : kStateCases)
    EXPECT_EQ(tcp_state(tcp_entry(test.directions)), test.state) << test.name;
  EXPECT_EQ(tcp_state(entry_of(make_row(IPPROTO_UDP, 1, 2))), TcpState::none);
}

TEST(MakeRecord, TurnsEverySidedFieldWithTheInitiator) {
  TestRow row = make_row(IPPROTO_UDP, 53, 40'000);
  add_packets(row, 1, 2, 1'000);  // from 10.0.0.2
  row.cold.source_mac[5] = 0x22;
  row.cold.destination_mac[5] = 0x11;
  row.cold.outer_source[15] = 2;
  row.cold.outer_destination[15] = 1;
  row.cold.outer_source_port = htons(2);
  row.cold.outer_destination_port = htons(1);
  EntryState entry = entry_of(row);
  improve_initiator(entry, {});
  const FlowRecord record = make_record(entry, make_origin(row.hot, row.cold), EndReason::idle, 0);
  EXPECT_EQ(record.source[15], 2);
  EXPECT_EQ(ntohs(record.source_port_be), 40'000);
  EXPECT_EQ(record.source_mac[5], 0x22);
  EXPECT_EQ(record.outer_source[15], 2);
  EXPECT_EQ(ntohs(record.outer_source_port_be), 2);
  EXPECT_EQ(record.forward.delta.packets, 2U);
  EXPECT_EQ(record.reverse.delta.packets, 0U);
}

}  // namespace
}  // namespace rheo
