// SPDX-License-Identifier: Apache-2.0
// bpf/flow_cache.h: a set's ways, a row's life, and how keys spread.
#include "bpf/flow_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>
#include <vector>

namespace rheo::tests {
namespace {

using namespace rheo::abi;  // NOLINT(google-build-using-namespace)

constexpr __u64 kSeed[7] = {0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93,
                            0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3};

parsed_packet packet_from(std::uint32_t host, std::uint16_t port, std::uint8_t direction = 0) {
  parsed_packet packet{};
  packet.key.address[0][10] = packet.key.address[0][11] = 0xff;
  packet.key.address[1][10] = packet.key.address[1][11] = 0xff;
  for (unsigned i = 0; i < 4; ++i) packet.key.address[0][12 + i] = static_cast<__u8>(host >> (24 - 8 * i));
  packet.key.address[1][12] = 192;
  packet.key.port[0] = __builtin_bswap16(port);
  packet.key.protocol = 6;
  packet.direction = direction;
  packet.ttl = 64;
  packet.tos = 4;
  return packet;
}

constexpr octets kOctets{1, 74, 60};

void put(flow_set& set, const parsed_packet& packet, __u64 now) {
  const __u64 hash = flow_hash(packet.word, kSeed, 0);
  const __u32 way = choose_way(&set, hash);
  row_start(&set.hot[way], packet.word, &packet, now);
  row_add(&set.hot[way], &packet, &kOctets, HOOK_INGRESS, now);
  cold_start(&set.cold[way], &packet);
  set.tag[way] = flow_tag(hash);
}

TEST(FlowSet, FindsWhatWasPutAndNothingElse) {
  flow_set set{};
  for (__u32 i = 0; i < FLOW_CACHE_WAYS; ++i) {
    const auto packet = packet_from(i, 80);
    EXPECT_EQ(find_way(&set, packet.word, flow_hash(packet.word, kSeed, 0), 0), __u32{FLOW_CACHE_WAYS});
    put(set, packet, 100 + i);
  }
  std::set<__u32> ways;
  for (__u32 i = 0; i < FLOW_CACHE_WAYS; ++i) {
    const auto packet = packet_from(i, 80);
    ways.insert(find_way(&set, packet.word, flow_hash(packet.word, kSeed, 0), 0));
  }
  EXPECT_EQ(ways, (std::set<__u32>{0, 1, 2, 3}));
}

struct TcpPacket {
  __u8 direction;
  __u32 flags;
};
constexpr TcpPacket kSyn{0, FLAG_SYN | FLAG_SYN_ONLY}, kSynAck{1, FLAG_SYN | FLAG_ACK | FLAG_SYN_ACK},
    kAck{0, FLAG_ACK}, kBack{1, FLAG_ACK}, kRefused{1, FLAG_RST | FLAG_ACK};

/// The notes of a row that gets these packets, one each 10 ns from 100 on, as a program takes them.
tcp_row notes_of(const std::vector<TcpPacket>& packets) {
  hot_row row;
  tcp_row tcp;
  std::memset(&tcp, 0xaa, sizeof(tcp));  // what another flow left
  __u64 now = 100;
  for (const auto& [direction, flags] : packets) {
    auto packet = packet_from(1, 80, direction);
    packet.tcp_flags = static_cast<__u16>(flags);
    if (now == 100) row_start(&row, packet.word, &packet, now);
    if (now == 100 || is_handshake(&row, &packet)) row_note_handshake(&row, &tcp, &packet, now);
    now += 10;
  }
  return row.tcp_notes & TCP_NOTED ? tcp : tcp_row{};
}

struct Handshake {
  const char* name;
  std::vector<TcpPacket> packets;
  __u64 syn_ns, syn_ack_ns, ack_ns;
};

TEST(FlowRow, NotesWhenAHandshakesPacketsPassed) {
  const Handshake cases[] = {
      {"whole", {kSyn, kSynAck, kAck, kBack, kAck}, 100, 110, 120},
      {"one direction", {kSyn, kAck, kAck}, 100, 0, 110},
      {"the other", {kSynAck, kBack, kBack}, 0, 100, 0},
      {"its end, in a row of its own", {kAck, kAck}, 0, 0, 100},
      {"its end, behind the SYN and ACK", {kSynAck, kBack, kAck, kAck}, 0, 100, 120},
      {"sent again", {kSyn, kSyn, kSynAck, kSynAck, kAck}, 100, 120, 140},
      {"refused", {kSyn, kRefused}, 100, 0, 0},
      {"refused at once", {kRefused}, 0, 0, 0},
      {"the responder's data first", {kSyn, kBack, kSynAck, kAck}, 100, 120, 130},
      {"the next connection", {kAck, kBack, kSyn, kSynAck, kAck}, 120, 130, 140},
  };
  for (const Handshake& tested : cases) {
    const tcp_row tcp = notes_of(tested.packets);
    EXPECT_EQ(tcp.syn_ns, tested.syn_ns) << tested.name;
    EXPECT_EQ(tcp.syn_ack_ns, tested.syn_ack_ns) << tested.name;
    EXPECT_EQ(tcp.ack_ns, tested.ack_ns) << tested.name;
    EXPECT_EQ(tcp.sample[0].congestion_window + tcp.sample[1].congestion_window, 0U) << tested.name;
  }
}

TEST(FlowSet, EqualTagsAreToldApartByTheKey) {
  flow_set set{};
  const auto here = packet_from(1, 80), other = packet_from(2, 80);
  put(set, here, 1);
  EXPECT_EQ(find_way(&set, other.word, flow_hash(here.word, kSeed, 0), 0), __u32{FLOW_CACHE_WAYS});
}

TEST(FlowSet, NoPacketIsThatOfAFreedRow) {
  flow_set set{};
  const auto packet = packet_from(1, 80);
  const __u64 hash = flow_hash(packet.word, kSeed, 0);
  put(set, packet, 1);
  const __u32 way = find_way(&set, packet.word, hash, 0);
  ASSERT_LT(way, __u32{FLOW_CACHE_WAYS});
  set.hot[way].key.kind = KIND_FREED;
  set.tag[way] = 0;
  EXPECT_EQ(find_way(&set, packet.word, hash, 0), __u32{FLOW_CACHE_WAYS});
}

TEST(FlowSet, NoPacketIsThatOfARowThatWasNeverUsed) {
  const flow_set set{};
  parsed_packet nothing{};
  nothing.key.kind = KIND_IPV6;  // from and to ::, protocol 0, of no link
  EXPECT_EQ(find_way(&set, nothing.word, 0, 1), __u32{FLOW_CACHE_WAYS});
  nothing.key.kind = 0;
  nothing.key.address[0][10] = nothing.key.address[0][11] = 0xff;
  nothing.key.address[1][10] = nothing.key.address[1][11] = 0xff;
  EXPECT_EQ(find_way(&set, nothing.word, 0, 0), __u32{FLOW_CACHE_WAYS});
}

TEST(FlowSet, AFullSetGivesUpTheLeastRecentlySeen) {
  flow_set set{};
  for (__u32 i = 0; i < FLOW_CACHE_WAYS; ++i) put(set, packet_from(i, 80), 100 + i);
  for (__u32 way = 0; way < FLOW_CACHE_WAYS; ++way) {
    for (__u32 i = 0; i < FLOW_CACHE_WAYS; ++i) set.hot[i].last_ns = i == way ? 5 : 50;
    for (__u64 hash = 0; hash < 64; hash += 16) EXPECT_EQ(choose_way(&set, hash), way);
  }
}

TEST(Row, StartsCleanOverWhatWasThere) {
  hot_row row;
  std::memset(&row, 0xee, sizeof(row));
  auto packet = packet_from(1, 80, 1);
  row_start(&row, packet.word, &packet, 77);
  hot_row expected{};
  expected.key = packet.key;
  expected.first_ns = expected.last_ns = 77;
  expected.first_direction = 1;
  EXPECT_EQ(std::memcmp(&row, &expected, sizeof(row)), 0);
}

TEST(Row, AddsByDirection) {
  hot_row row{};
  auto there = packet_from(1, 80), back = packet_from(1, 80, 1);
  there.tcp_flags = FLAG_SYN | FLAG_SYN_ONLY;
  back.tcp_flags = FLAG_ACK;
  back.ttl = 9;
  back.marks = MARK_FRAGMENT;
  row_start(&row, there.word, &there, 100);
  row_add(&row, &there, &kOctets, HOOK_INGRESS, 100);
  row_add(&row, &back, &kOctets, HOOK_EGRESS, 90);  // a coarse clock may be behind
  EXPECT_EQ(row.last_ns, 100u);
  back.ttl = 200;
  row_add(&row, &back, &kOctets, HOOK_INGRESS, 300);
  EXPECT_EQ(row.last_ns, 300u);
  EXPECT_EQ(row.direction[0].packets, 1u);
  EXPECT_EQ(row.direction[0].flags, FLAG_SYN | FLAG_SYN_ONLY);
  EXPECT_EQ(row.direction[1].packets, 2u);
  EXPECT_EQ(row.direction[1].l3_bytes, 120u);
  EXPECT_EQ(row.direction[1].l2_surplus, 28u);
  EXPECT_EQ(row.direction[1].ttl, 9);
  EXPECT_EQ(row.direction[1].hooks, HOOK_INGRESS | HOOK_EGRESS);
  EXPECT_EQ(row.direction[1].marks, MARK_FRAGMENT);
}

TEST(Row, KeepsTheFirstIcmpType) {
  hot_row row{};
  auto packet = packet_from(1, 0x0800);
  packet.icmp = 0x0800;
  row_start(&row, packet.word, &packet, 1);
  row_add(&row, &packet, &kOctets, HOOK_INGRESS, 1);
  packet.icmp = 0x0301;
  row_add(&row, &packet, &kOctets, HOOK_INGRESS, 1);
  EXPECT_EQ(row.direction[0].flags, 0x0800);
}

TEST(Row, IsOverAtANewSynOrWhenFull) {
  hot_row row{};
  auto packet = packet_from(1, 80), syn = packet;
  syn.tcp_flags = FLAG_SYN | FLAG_SYN_ONLY;
  row.direction[1].flags = FLAG_ACK;
  EXPECT_FALSE(row_is_over(&row, &syn));
  for (const __u16 end : {FLAG_FIN, FLAG_RST}) {
    row.direction[1].flags = end;
    EXPECT_TRUE(row_is_over(&row, &syn));
    EXPECT_FALSE(row_is_over(&row, &packet));
  }
  row.direction[1].flags = 0;
  for (const auto field : {&direction_counts::packets, &direction_counts::l2_surplus}) {
    row.direction[0].*field = 0x7fffffff;
    EXPECT_FALSE(row_is_over(&row, &packet));
    row.direction[0].*field = 0x80000000;
    EXPECT_TRUE(row_is_over(&row, &packet));
    EXPECT_FALSE(row_would_wrap(&row, &packet, &kOctets));
    row.direction[0].*field = 0xffffffff;
    EXPECT_TRUE(row_would_wrap(&row, &packet, &kOctets));
    row.direction[0].*field = 0;
  }
}

// Addresses and ports as networks have them: neighbours, one after the other, varied at either end.
TEST(Hash, SpreadsNeighboursEvenly) {
  constexpr __u32 kSets = 1 << 12;
  std::map<__u64, int> whole;
  std::vector<int> load(kSets);
  constexpr int kKeys = kSets * 16;
  for (__u32 i = 0; i < kKeys; ++i) {
    auto packet = packet_from(0x0a000000 | (i & 0xff) << 16 | (i >> 8 & 0xff), 80);
    packet.key.address[1][15] = static_cast<__u8>(i >> 8);
    packet.key.port[1] = static_cast<__be16>(i);
    const __u64 hash = flow_hash(packet.word, kSeed, 0);
    ++whole[hash];
    ++load[flow_set_index(hash, kSets)];
  }
  EXPECT_EQ(whole.size(), std::size_t{kKeys});
  double squares = 0;
  for (const int keys : load) squares += (keys - 16.0) * (keys - 16.0);
  EXPECT_LT(squares / kSets, 16 * 1.2);  // the variance of a fair throw is its mean
}

}  // namespace
}  // namespace rheo::tests
