// SPDX-License-Identifier: Apache-2.0
// Replay, row by row: what packets count for, the capture's clock, link types, fragments, and that nothing is
// lost.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "bpf/abi.h"
#include "daemon/replay/replay.h"
#include "tests/unit/pcap_file_bytes.h"

namespace rheo {
namespace {

using tests::Bytes;
using tests::FileBytes;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint32_t kMicroseconds = 0xa1b2c3d4;

std::uint16_t be(std::uint16_t value) { return static_cast<std::uint16_t>(value << 8U | value >> 8U); }

struct Datagram {
  std::uint8_t from = 1;  // 10.0.0.from
  std::uint8_t to = 2;
  std::uint16_t source_port = 1000;
  std::uint16_t destination_port = 53;
  std::uint16_t payload = 4;
  std::uint16_t id = 0;
  std::uint16_t fragment = 0;  // as in the header: 0x2000 more, offset in units of 8
};

/// An IPv4 UDP packet; a later fragment has `payload` bytes and no UDP header.
Bytes ipv4(const Datagram& d = {}) {
  const bool later = (d.fragment & 0x1fff) != 0;
  const auto length = static_cast<std::uint16_t>(20 + (later ? 0 : 8) + d.payload);
  FileBytes packet(true);
  packet.u16(0x4500).u16(length).u16(d.id).u16(d.fragment).u16(0x4011).u16(0);
  packet.raw({10, 0, 0, d.from, 10, 0, 0, d.to});
  if (!later) packet.u16(d.source_port).u16(d.destination_port).u16(8U + d.payload).u16(0);
  packet.raw(Bytes(d.payload));
  return packet.get();
}

Bytes ethernet(const Bytes& packet, std::uint16_t ethertype = 0x0800) {
  return FileBytes(true).raw({2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}).u16(ethertype).raw(packet).get();
}

struct Metered {
  std::vector<abi::hot_row> hot;
  std::vector<abi::cold_row> cold;
  std::vector<std::uint64_t> clock;  // now_ns of each step
  std::vector<std::size_t> rows_in_step;
  DatapathCounters counters;
  LinkTable links;
  std::string error;

  LossCount drops() const {
    LossCount all;
    for (const LossCount* loss : {&counters.not_ip, &counters.truncated, &counters.malformed,
                                  &counters.too_deep, &counters.evicted_full}) {
      all.packets += loss->packets;
      all.bytes += loss->bytes;
    }
    return all;
  }
};

/// Runs the whole file and checks what must be true of every replay.
Metered meter(const Bytes& file, const ReplayOptions& options = {}) {
  Metered metered;
  auto replay = Replay::over(file, "f.pcap", options);
  if (!replay) {
    metered.error = replay.error().what;
    return metered;
  }
  std::uint64_t packets = 0;
  std::uint64_t octets = 0;
  std::uint64_t now_ns = 0;
  for (bool at_end = false; !at_end;) {
    const auto step = replay->next();
    if (!step) {
      metered.error = step.error().what;
      EXPECT_FALSE(replay->next()) << "an error comes again";
      break;
    }
    EXPECT_GE(step->now_ns, now_ns) << "the clock never goes back";
    now_ns = step->now_ns;
    metered.clock.push_back(now_ns);
    metered.rows_in_step.push_back(step->rows.size());
    for (const Row& row : step->rows) {
      EXPECT_EQ(row.place.kind, RowPlace::Kind::nowhere);
      EXPECT_LE(row.hot->first_ns, row.hot->last_ns);
      EXPECT_LE(row.hot->last_ns, now_ns);
      for (const abi::direction_counts& direction : row.hot->direction) {
        packets += direction.packets;
        octets += direction.l3_bytes + direction.l2_surplus;
      }
      metered.hot.push_back(*row.hot);
      metered.cold.push_back(*row.cold);
    }
    at_end = step->at_end;
  }
  metered.counters = replay->counters();
  metered.links = replay->links();
  EXPECT_EQ(metered.counters.seen_packets, packets + metered.drops().packets);
  EXPECT_EQ(metered.counters.seen_bytes, octets + metered.drops().bytes);
  return metered;
}

FileBytes pcap(std::uint32_t link_type = 1) { return FileBytes().pcap_header(kMicroseconds, link_type); }

TEST(Replay, PacketsOfBothDirectionsBecomeRowsInOrder) {
  const auto metered =
      meter(pcap()
                .pcap_packet(100, 5, ethernet(ipv4()))
                .pcap_packet(
                    100, 9, ethernet(ipv4({.from = 2, .to = 1, .source_port = 53, .destination_port = 1000})))
                .get());
  EXPECT_EQ(metered.error, "");
  ASSERT_EQ(metered.hot.size(), 2U);
  EXPECT_EQ(0, std::memcmp(&metered.hot[0].key, &metered.hot[1].key, sizeof(abi::flow_key)));
  EXPECT_EQ(metered.hot[0].first_direction, 0);
  EXPECT_EQ(metered.hot[1].first_direction, 1);
  EXPECT_EQ(metered.hot[0].first_ns, 100 * kSecond + 5'000);
  EXPECT_EQ(metered.hot[1].last_ns, 100 * kSecond + 9'000);
  EXPECT_EQ(metered.hot[0].key.port[0], be(1000));
  EXPECT_EQ(metered.hot[0].key.port[1], be(53));
  EXPECT_EQ(metered.hot[0].direction[0].packets, 1U);
  EXPECT_EQ(metered.hot[0].direction[0].l3_bytes, 32U);
  EXPECT_EQ(metered.hot[0].direction[0].l2_surplus, 14U);
  EXPECT_EQ(metered.hot[0].direction[0].hooks, 0U);
  EXPECT_EQ(metered.cold[0].source_mac[5], 1);
  EXPECT_EQ(metered.cold[0].destination_mac[5], 2);
}

TEST(Replay, PaddingAndSnapLengthCountAsOnTheWire) {
  Bytes padded = ethernet(ipv4());
  padded.resize(60);
  Bytes cut = ethernet(ipv4({.payload = 1000}));
  cut.resize(42);
  const auto metered = meter(pcap().pcap_packet(1, 0, padded).pcap_packet(1, 1, cut, 1042).get());
  ASSERT_EQ(metered.hot.size(), 2U);
  EXPECT_EQ(metered.hot[0].direction[0].l3_bytes, 32U);
  EXPECT_EQ(metered.hot[0].direction[0].l2_surplus, 28U);
  EXPECT_EQ(metered.hot[1].direction[0].l3_bytes, 1028U);
  EXPECT_EQ(metered.hot[1].direction[0].l2_surplus, 14U);
  EXPECT_EQ(metered.hot[1].direction[0].marks & abi::MARK_TRUNCATED, 0);
}

TEST(Replay, EveryPacketIsARowOrADropWithAReason) {
  const auto metered = meter(
      pcap()
          .pcap_packet(1, 0, ethernet(ipv4()))
          .pcap_packet(1, 0, ethernet(Bytes(28), 0x0806), 60)
          .pcap_packet(1, 0, Bytes(5))
          .pcap_packet(1, 0, ethernet(Bytes(28, 0x41)))
          .pcap_packet(
              1, 0,
              ethernet(
                  FileBytes(true).u16(1).u16(0x8100).u16(2).u16(0x8100).u16(3).u16(0x800).raw(ipv4()).get(),
                  0x8100))
          .pcap_packet(1, 0, Bytes())
          .get());
  EXPECT_EQ(metered.error, "");
  EXPECT_EQ(metered.hot.size(), 1U);
  EXPECT_EQ(metered.counters.seen_packets, 6U);
  EXPECT_EQ(metered.counters.not_ip.packets, 1U);
  EXPECT_EQ(metered.counters.not_ip.bytes, 60U) << "the length on the wire";
  EXPECT_EQ(metered.counters.truncated.packets, 2U);
  EXPECT_EQ(metered.counters.truncated.bytes, 5U);
  EXPECT_EQ(metered.counters.malformed.packets, 1U);
  EXPECT_EQ(metered.counters.too_deep.packets, 1U);
}

TEST(Replay, StepsEndAtDrainTimesOfTheCapturesClock) {
  const auto metered = meter(pcap()
                                 .pcap_packet(10, 900'000, ethernet(ipv4()))
                                 .pcap_packet(10, 999'999, ethernet(ipv4()))
                                 .pcap_packet(11, 0, ethernet(ipv4()))
                                 .pcap_packet(14, 5, ethernet(ipv4()))
                                 .get());
  EXPECT_EQ(metered.clock, (std::vector<std::uint64_t>{11 * kSecond, 12 * kSecond, 13 * kSecond, 14 * kSecond,
                                                       14 * kSecond + 5'000}));
  EXPECT_EQ(metered.rows_in_step, (std::vector<std::size_t>{2, 1, 0, 0, 1}));
}

TEST(Replay, StampsThatStepBackKeepTheirTimeAndNotTheClock) {
  const auto metered = meter(pcap()
                                 .pcap_packet(20, 0, ethernet(ipv4()))
                                 .pcap_packet(20, 1, ethernet(ipv4()))
                                 .pcap_packet(5, 0, ethernet(ipv4()))
                                 .get());
  ASSERT_EQ(metered.hot.size(), 3U);
  EXPECT_EQ(metered.hot[2].first_ns, 5 * kSecond);
  EXPECT_EQ(metered.clock, std::vector<std::uint64_t>{20 * kSecond + 1'000});
}

TEST(Replay, LongGapIsNotWalkedSecondBySecond) {
  const auto metered =
      meter(pcap().pcap_packet(0, 0, ethernet(ipv4())).pcap_packet(0xffffffff, 7, ethernet(ipv4())).get());
  EXPECT_EQ(metered.hot.size(), 2U);
  EXPECT_LT(metered.clock.size(), 5'000U);
  EXPECT_GT(metered.clock.size(), 4'000U);
  EXPECT_EQ(metered.clock.back(), 0xffffffffULL * kSecond + 7'000);
}

TEST(Replay, LatestTimeThereIsDoesNotOverflow) {
  const auto latest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const Bytes nano = FileBytes().option(9, {9}).get();
  const auto metered =
      meter(FileBytes().section().interface(1, nano).enhanced(0, latest, ethernet(ipv4())).get(),
            {.drain_interval = std::chrono::hours(24)});
  EXPECT_EQ(metered.error, "");
  EXPECT_EQ(metered.clock, std::vector<std::uint64_t>{latest});
}

TEST(Replay, ManyRowsComeInSeveralSteps) {
  FileBytes file = pcap();
  for (unsigned i = 0; i < 2'500; ++i) file.pcap_packet(1, i, ethernet(ipv4()));
  const auto metered = meter(file.get());
  EXPECT_EQ(metered.rows_in_step, (std::vector<std::size_t>{1024, 1024, 452}));
  EXPECT_EQ(metered.hot[2'000].first_ns, kSecond + 2'000'000);
}

TEST(Replay, EveryLinkTypeCountsWithoutTheCapturesOwnHeader) {
  const Bytes cooked = FileBytes(true).u16(4).u16(1).u16(6).raw(Bytes(8)).u16(0x0800).get();
  const Bytes cooked_vlan =
      FileBytes(true).u16(0).u16(1).u16(6).raw(Bytes(8)).u16(0x8100).u16(0x2064).u16(0x0800).get();
  const Bytes cooked_2 = FileBytes(true).u16(0x0800).u16(0).u32(7).u16(1).raw({4, 6}).raw(Bytes(8)).get();
  struct Case {
    std::uint32_t link_type;
    Bytes header;
    std::uint32_t surplus = 0;
    std::uint8_t hooks = 0;
    std::uint16_t vlan = 0;
    std::string name = "capture0";
  };
  const Case cases[] = {
      {.link_type = 1, .header = ethernet({}), .surplus = 14},
      {.link_type = 12, .header = {}},
      {.link_type = 14, .header = {}},
      {.link_type = 101, .header = {}},
      {.link_type = 228, .header = {}},
      {.link_type = 229, .header = {}},
      {.link_type = 113, .header = cooked, .hooks = abi::HOOK_EGRESS},
      {.link_type = 113, .header = cooked_vlan, .surplus = 4, .hooks = abi::HOOK_INGRESS, .vlan = 100},
      {.link_type = 276, .header = cooked_2, .hooks = abi::HOOK_EGRESS, .name = "capture0:7"},
      {.link_type = 0, .header = {2, 0, 0, 0}},
      {.link_type = 0, .header = {0, 0, 0, 2}},
      {.link_type = 108, .header = {0, 0, 0, 2}},
  };
  for (const Case& link : cases) {
    Bytes frame = link.header;
    const Bytes packet = ipv4();
    frame.insert(frame.end(), packet.begin(), packet.end());
    const auto metered = meter(pcap(link.link_type).pcap_packet(1, 0, frame).get());
    ASSERT_EQ(metered.hot.size(), 1U) << link.link_type << " " << metered.error;
    const abi::direction_counts& counts = metered.hot[0].direction[0];
    EXPECT_EQ(counts.l3_bytes, 32U) << link.link_type;
    EXPECT_EQ(counts.l2_surplus, link.surplus) << link.link_type;
    EXPECT_EQ(counts.hooks, link.hooks) << link.link_type;
    EXPECT_EQ(metered.hot[0].key.vlan, link.vlan) << link.link_type;
    EXPECT_EQ(link_name(metered.links, metered.hot[0].key.link), link.name) << link.link_type;

    // Cut anywhere inside the header in front, it is a truncated packet and nothing worse.
    for (std::size_t size = 0; size < link.header.size(); ++size)
      EXPECT_EQ(meter(pcap(link.link_type)
                          .pcap_packet(
                              1, 0, Bytes(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size)))
                          .get())
                    .counters.truncated.packets,
                1U)
          << link.link_type << " cut to " << size;
  }
}

TEST(Replay, WhatIsNoIpBehindACaptureHeaderIsADrop) {
  const Bytes cooked_arp =
      FileBytes(true).u16(0).u16(1).u16(6).raw(Bytes(8)).u16(0x0806).raw(Bytes(28)).get();
  EXPECT_EQ(meter(pcap(113).pcap_packet(1, 0, cooked_arp).get()).counters.not_ip.bytes, 28U);
  EXPECT_EQ(meter(pcap(0).pcap_packet(1, 0, {7, 0, 0, 0, 1, 2}).get()).counters.not_ip.packets, 1U);
  const Bytes two_tags =
      FileBytes(true).u16(0).u16(1).u16(6).raw(Bytes(8)).u16(0x88a8).u16(1).u16(0x8100).u16(2).get();
  EXPECT_EQ(meter(pcap(113).pcap_packet(1, 0, two_tags).get()).counters.too_deep.packets, 1U);
}

TEST(Replay, UnknownLinkTypeIsNamedAfterThePacketsBefore) {
  const auto metered = meter(FileBytes()
                                 .section()
                                 .interface(1)
                                 .interface(105)
                                 .enhanced(0, 1, ethernet(ipv4()))
                                 .enhanced(1, 2, ethernet(ipv4()))
                                 .get());
  EXPECT_EQ(metered.hot.size(), 1U);
  EXPECT_TRUE(metered.error.starts_with("f.pcap: a packet of link type 105: those known are"))
      << metered.error;
}

TEST(Replay, DamageComesAfterTheRowsOfCompletePackets) {
  const auto metered = meter(pcap().pcap_packet(1, 0, ethernet(ipv4())).u32(1).get());
  EXPECT_EQ(metered.hot.size(), 1U);
  EXPECT_EQ(metered.error, "f.pcap: damaged at byte 86: the file ends inside a packet's header");
}

TEST(Replay, EmptyCaptureEndsAtOnce) {
  const auto metered = meter(pcap().get());
  EXPECT_EQ(metered.error, "");
  EXPECT_EQ(metered.clock, std::vector<std::uint64_t>{0});
}

TEST(Replay, InterfacesAreLinksByName) {
  FileBytes file;
  for (int section = 0; section < 2; ++section)
    file.section()
        .interface(1, FileBytes().option(2, {'e', 't', 'h', '0'}).get())
        .interface(101)
        .enhanced(1, 1, ipv4())
        .enhanced(0, 1, ethernet(ipv4()), FileBytes().option(2, {2, 0, 0, 0}).get());
  const auto metered = meter(file.get());
  ASSERT_EQ(metered.hot.size(), 4U);
  ASSERT_EQ(metered.links.size(), 2U) << "the second section goes on with the first one's";
  EXPECT_EQ(link_name(metered.links, metered.hot[0].key.link), "capture1");
  EXPECT_EQ(link_name(metered.links, metered.hot[1].key.link), "eth0");
  EXPECT_EQ(metered.hot[3].key.link, metered.hot[1].key.link);
  EXPECT_EQ(metered.hot[1].direction[0].hooks, abi::HOOK_EGRESS);
}

/// Ports of the rows, in order.
std::vector<std::uint16_t> source_ports(const Metered& metered) {
  std::vector<std::uint16_t> ports;
  for (const abi::hot_row& row : metered.hot) ports.push_back(be(row.key.port[0]));
  return ports;
}

TEST(Replay, LaterFragmentsHaveThePortsOfTheirFirst) {
  const Bytes first = ethernet(ipv4({.payload = 8, .id = 1, .fragment = 0x2000}));
  const Bytes later = ethernet(ipv4({.payload = 8, .id = 1, .fragment = 2}));
  const Bytes back = ethernet(ipv4({.from = 2, .to = 1, .payload = 8, .id = 1, .fragment = 2}));
  const auto metered = meter(pcap()
                                 .pcap_packet(1, 0, later)
                                 .pcap_packet(1, 1, first)
                                 .pcap_packet(2, 0, later)
                                 .pcap_packet(2, 1, back)
                                 .pcap_packet(31, 1, later)
                                 .pcap_packet(31, 2, later)
                                 .get());
  EXPECT_EQ(source_ports(metered), (std::vector<std::uint16_t>{0, 1000, 1000, 0, 1000, 0}));
  EXPECT_EQ(metered.counters.fragments_unknown, 3U)
      << "before the first, of the other direction, 30 s after the first";
}

TEST(Replay, DatagramsBeyondTheLimitAreForgottenLeastRecentlyUsedFirst) {
  const auto first = [](std::uint16_t id) {
    return ethernet(ipv4({.payload = 8, .id = id, .fragment = 0x2000}));
  };
  const auto later = [](std::uint16_t id) { return ethernet(ipv4({.payload = 8, .id = id, .fragment = 2})); };
  const Bytes file = pcap()
                         .pcap_packet(1, 0, first(1))
                         .pcap_packet(1, 0, first(2))
                         .pcap_packet(1, 0, later(1))
                         .pcap_packet(1, 0, first(3))
                         .pcap_packet(1, 0, later(1))
                         .pcap_packet(1, 0, later(2))
                         .pcap_packet(1, 0, later(3))
                         .get();
  EXPECT_EQ(source_ports(meter(file, {.fragments = 2})),
            (std::vector<std::uint16_t>{1000, 1000, 1000, 1000, 1000, 0, 1000}));
  EXPECT_EQ(meter(file, {.fragments = 3}).counters.fragments_unknown, 0U);
}

TEST(Replay, OptionsReachTheParser) {
  // IPIP: an inner packet, or by the option one flow of protocol 4.
  Bytes outer = ipv4({.from = 3, .to = 4, .payload = 24});
  outer[9] = 4;
  const Bytes inner = ipv4({.payload = 4});
  std::copy(inner.begin(), inner.end(), outer.begin() + 20);
  const Bytes file = pcap().pcap_packet(1, 0, ethernet(outer)).get();
  ASSERT_EQ(meter(file).hot.size(), 1U);
  EXPECT_EQ(meter(file).hot[0].key.protocol, 17);
  EXPECT_EQ(meter(file, {.ipip = false}).hot[0].key.protocol, 4);
}

TEST(Replay, OptionsOutOfRangeAreNamed) {
  const Bytes file = pcap().get();
  EXPECT_EQ(meter(file, {.vxlan_ports = std::vector<std::uint16_t>(9, 1)}).error,
            "vxlan_ports: 9 ports given, at most 8 are possible");
  EXPECT_EQ(meter(file, {.fragments = 0}).error, "fragments: 0 is too few, at least 1 is needed");
  EXPECT_EQ(meter(file, {.drain_interval = std::chrono::nanoseconds(0)}).error,
            "drain_interval: 0 ns is not between 1 ns and 24 h");
}

}  // namespace
}  // namespace rheo
