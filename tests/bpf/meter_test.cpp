// SPDX-License-Identifier: Apache-2.0
// The real object, loaded and run on packets by BPF_PROG_TEST_RUN: what it counts, and that it loses nothing.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <ctime>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "bpf/parse.h"
#include "tests/tools/packet.h"

using rheo::abi::meter_settings;  // the skeleton names it
#include "flow.skel.h"

namespace rheo::tests {
namespace {

using namespace rheo::abi;  // NOLINT(google-build-using-namespace)

constexpr Address kA = "192.0.2.1", kB = "198.51.100.9", kC = "10.0.0.1", kD = "10.0.0.2";
constexpr Address kA6 = "2001:db8::1", kB6 = "2001:db8:ffff::2";

struct MeterOptions {
  std::uint32_t sets = 1024;
  std::uint32_t partitions = 1;  // all tests run on CPU 0
  std::uint32_t ring_bytes = 1 << 20;
  bool realtime = false;
  bool tcp = true;
};

/// What the kernel is to pretend about a packet.
struct Context {
  std::uint32_t ifindex = 1;
  std::uint32_t gso_size = 0;
  std::uint32_t gso_segs = 0;
};

struct Sum {
  std::uint64_t packets = 0, bytes = 0;
  friend bool operator==(const Sum&, const Sum&) = default;
  Sum& operator+=(const Sum& other) {
    packets += other.packets;
    bytes += other.bytes;
    return *this;
  }
};

Sum sum_of(const hot_row& row) {
  Sum sum;
  for (const auto& d : row.direction) sum += {d.packets, d.l3_bytes + d.l2_surplus};
  return sum;
}

/// The loaded object with a flow cache of its own, on CPU 0.
class Meter {
 public:
  explicit Meter(const MeterOptions& options) : options_(options) {
    skeleton_.reset(flow_bpf__open());
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton_->obj) {
      bpf_program__set_autoload(
          program, std::string_view(bpf_program__name(program)).ends_with("_rt") == options.realtime);
    }
    skeleton_->rodata->settings = settings();
    bpf_map__set_max_entries(skeleton_->maps.evicted, options.ring_bytes);
    bpf_map__set_max_entries(skeleton_->maps.counters, static_cast<__u32>(libbpf_num_possible_cpus()));
    make_cache();
    if (const int error = flow_bpf__load(skeleton_.get()); error != 0) {
      refusal_ = std::string("bpf() is refused: ") + std::strerror(-error);
      is_permission_ = error == -EPERM || error == -EACCES;
      return;
    }
    ring_.reset(ring_buffer__new(
        bpf_map__fd(skeleton_->maps.evicted),
        [](void* rows, void* row, std::size_t size) {
          EXPECT_EQ(size, sizeof(evicted_row));
          static_cast<std::vector<evicted_row>*>(rows)->push_back(*static_cast<const evicted_row*>(row));
          return 0;
        },
        &evicted_, nullptr));
  }

  const std::string& refusal() const { return refusal_; }
  bool may_not() const { return is_permission_; }

  /// Runs a program once; its verdict is part of every test. Errors of the kernel are returned negative.
  int run(const Packet& packet, const Context& context = {}, std::string name = "meter_ethernet_ingress") {
    if (options_.realtime) name += "_rt";
    auto bytes = packet.bytes();
    __sk_buff sent{};
    sent.ifindex = context.ifindex;
    sent.gso_size = context.gso_size;
    sent.gso_segs = context.gso_segs;
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = bytes.data(),
                .data_size_in = static_cast<__u32>(bytes.size()), .ctx_in = &sent,
                .ctx_size_in = sizeof(sent), .repeat = 1);
    const int error = bpf_prog_test_run_opts(
        bpf_program__fd(bpf_object__find_program_by_name(skeleton_->obj, name.c_str())), &run);
    EXPECT_TRUE(error != 0 || static_cast<int>(run.retval) == TC_ACT_UNSPEC);
    return error;
  }

  int fd(const char* name) const {
    return bpf_program__fd(bpf_object__find_program_by_name(skeleton_->obj, name));
  }

  cpu_counters counters() const {
    cpu_counters result{};
    const __u32 cpu = 0;
    EXPECT_EQ(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.counters), &cpu, &result), 0);
    return result;
  }

  std::vector<evicted_row> cached() const {
    std::vector<evicted_row> rows;
    for (__u32 i = 0; i < options_.sets * options_.partitions; ++i) {
      flow_set set;
      EXPECT_EQ(bpf_map_lookup_elem(generation_, &i, &set), 0);
      for (unsigned way = 0; way < FLOW_CACHE_WAYS; ++way) {
        if (set.tag[way]) rows.push_back({set.hot[way], set.cold[way], set.tcp[way]});
      }
    }
    return rows;
  }

  const std::vector<evicted_row>& drain_ring() {
    ring_buffer__consume(ring_.get());
    return evicted_;
  }

  Sum rows() {
    Sum sum;
    for (const auto& row : cached()) sum += sum_of(row.hot);
    for (const auto& row : drain_ring()) sum += sum_of(row.hot);
    return sum;
  }

  /// seen == rows + drops, in packets and octets.
  void expect_conserved() {
    const cpu_counters now = counters();
    Sum found = rows();
    for (const auto& drop : now.drop) found += {drop.packets, drop.bytes};
    EXPECT_EQ(found.packets, now.seen_packets);
    EXPECT_EQ(found.bytes, now.seen_bytes);
    EXPECT_EQ(now.evicted_rows, evicted_.size());
    EXPECT_EQ(now.claimed, 0u);
  }

  ~Meter() {
    close(generation_);
    close(outer_);
  }
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

 private:
  meter_settings settings() const {
    meter_settings result{};
    for (unsigned i = 0; i < 7; ++i) result.hash_seed[i] = (0x9E3779B97F4A7C15ULL * (2 * i + 3)) | 1;
    result.parse.vxlan_ports[0] = 4789;
    result.parse.wireguard_ports[0] = 51820;
    result.parse.tunnel_port_filter = tunnel_port_bit(4789) | tunnel_port_bit(51820);
    result.parse.decapsulate_gre = result.parse.decapsulate_ipip = 1;
    result.partition_sets = options_.sets;
    result.partition_count = options_.partitions;
    result.ring_wakeup_bytes = options_.ring_bytes / 4;
    result.netns_number = 3;
    result.claim_partition = options_.realtime;
    result.has_coarse_clock = 1;
    result.note_tcp = options_.tcp;
    return result;
  }
  void make_cache() {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    generation_ = bpf_map_create(BPF_MAP_TYPE_ARRAY, "test_generation", 4, sizeof(flow_set),
                                 options_.sets * std::max(options_.partitions, 1u), &options);
    LIBBPF_OPTS(bpf_map_create_opts, outer, .inner_map_fd = static_cast<__u32>(generation_));
    outer_ = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "test_cache", 4, 4, 1, &outer);
    const __u32 zero = 0;
    bpf_map_update_elem(outer_, &zero, &generation_, 0);
    bpf_map__reuse_fd(skeleton_->maps.flow_cache, outer_);
  }

  struct Destroy {
    void operator()(flow_bpf* skeleton) const { flow_bpf__destroy(skeleton); }
    void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
  };
  MeterOptions options_;
  std::unique_ptr<flow_bpf, Destroy> skeleton_;
  std::unique_ptr<ring_buffer, Destroy> ring_;
  std::vector<evicted_row> evicted_;
  std::string refusal_;
  bool is_permission_ = false;
  int generation_ = -1, outer_ = -1;
};

class MeterTest : public testing::Test {
 protected:
  void SetUp() override {
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    if (sched_setaffinity(0, sizeof(first), &first) != 0) GTEST_SKIP() << "CPU 0 is not ours to run on";
    if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  }
  void load(const MeterOptions& options) {
    meter = std::make_unique<Meter>(options);
    if (meter->may_not()) GTEST_SKIP() << meter->refusal();
    ASSERT_EQ(meter->refusal(), "");
  }
  std::unique_ptr<Meter> meter;
};

// load() may skip, and the test must then end.
#define LOAD(...)          \
  load({__VA_ARGS__});     \
  if (IsSkipped()) return; \
  if (HasFatalFailure()) return

Packet udp(Address a, Address b, std::uint16_t p, std::uint16_t q, std::size_t payload = 20) {
  return Packet(payload).udp(p, q).ipv4(a, b).ethernet();
}

TEST_F(MeterTest, APacketIsARow) {
  LOAD();
  ASSERT_EQ(meter->run(udp(kA, kB, 1000, 53), {.ifindex = 1}), 0);
  ASSERT_EQ(meter->run(udp(kB, kA, 53, 1000, 100), {.ifindex = 1}, "meter_ethernet_egress"), 0);
  const auto rows = meter->cached();
  ASSERT_EQ(rows.size(), 1u);
  const hot_row& row = rows[0].hot;
  EXPECT_EQ(row.key.link, 3u << 24 | 1);
  EXPECT_EQ(row.key.protocol, 17);
  EXPECT_EQ(ntohs(row.key.port[0]), 1000);
  EXPECT_EQ(row.direction[0].packets, 1u);
  EXPECT_EQ(row.direction[0].l3_bytes, 48u);
  EXPECT_EQ(row.direction[0].l2_surplus, 14u);
  EXPECT_EQ(row.direction[0].hooks, HOOK_INGRESS);
  EXPECT_EQ(row.direction[1].l3_bytes, 128u);
  EXPECT_EQ(row.direction[1].hooks, HOOK_EGRESS);
  EXPECT_EQ(row.first_direction, 0);
  EXPECT_GT(row.first_ns, 0u);
  EXPECT_GE(row.last_ns, row.first_ns);
  EXPECT_EQ(rows[0].cold.source_mac[5], 0xa);
  EXPECT_EQ(rows[0].cold.destination_mac[5], 0xb);
  meter->expect_conserved();
}

// BPF_PROG_TEST_RUN puts the network header behind the first 14 bytes: these are packets whose data begins
// before their IP header, as a tunnel's may. Others pass real tun devices in datapath_attach_test.cpp.
TEST_F(MeterTest, LinksWithoutLinkLayerAreParsedFromTheNetworkHeader) {
  LOAD();
  for (const auto& name : {"meter_ip_ingress", "meter_ip_egress"}) {
    ASSERT_EQ(meter->run(Packet(20).udp(1, 2).ipv4(kA, kB).ethernet(), {}, name), 0);
    ASSERT_EQ(meter->run(Packet(20).udp(1, 2).ipv6(kA6, kB6).ethernet(), {}, name), 0);
    ASSERT_EQ(meter->run(Packet(60, 0), {}, name), 0);
  }
  const auto rows = meter->cached();
  ASSERT_EQ(rows.size(), 2u);
  for (const auto& row : rows) {
    EXPECT_EQ(row.hot.direction[0].packets, 2u);
    EXPECT_EQ(row.hot.direction[0].l3_bytes, 2u * (row.hot.key.kind & KIND_IPV6 ? 68 : 48));
    EXPECT_EQ(row.hot.direction[0].l2_surplus, 0u);
  }
  EXPECT_EQ(meter->counters().drop[DROP_NOT_IP].packets, 2u);
  meter->expect_conserved();
}

// The long path and the short one make the same row of what both know.
TEST_F(MeterTest, TunnelsAreTheirInnerFlow) {
  LOAD();
  const Packet inner = udp(kA, kB, 1000, 53);
  ASSERT_EQ(meter->run(Packet(inner).vxlan(77).ipv4(kC, kD).ethernet()), 0);
  auto rows = meter->cached();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].hot.key.kind, TUNNEL_VXLAN);
  EXPECT_EQ(rows[0].hot.key.tunnel_id, 77u);
  EXPECT_EQ(rows[0].hot.direction[0].l3_bytes, 20u + 8 + 8 + 62);
  EXPECT_EQ(rows[0].cold.outer_source[12], 10);
  EXPECT_EQ(rows[0].cold.outer_protocol, 17);
  ASSERT_EQ(
      meter->run(Packet(40).tcp(1, 2).ipv6(kA6, kB6).gre(0x2000, 0x86dd, 5).ipv4(kC, kD).vlan(7).ethernet()),
      0);
  ASSERT_EQ(meter->run(Packet(40).udp(1, 2).ipv4(kA, kB).ipv6(kA6, kB6).ethernet()), 0);
  ASSERT_EQ(meter->run(Packet(40).udp(1, 2).ipv4(kA, kB).mpls(5).mpls(6).ethernet()), 0);
  EXPECT_EQ(meter->cached().size(), 4u);
  meter->expect_conserved();
}

struct DropCase {
  const char* name;
  Packet packet;
  drop_reason reason;
};

std::vector<DropCase> drop_cases() {
  Packet malformed = udp(kA, kB, 1, 2);
  malformed.bytes()[14] = 0x41;
  return {
      {"ARP", Packet(28).ethertype(0x0806).ethernet(), DROP_NOT_IP},
      {"IPv6 header ends", Packet(20).udp(1, 2).ipv6(kA6, kB6).vlan(5).ethernet().cut(50), DROP_TRUNCATED},
      {"header length 4", malformed, DROP_MALFORMED},
      {"three tags", Packet(9).udp(1, 2).ipv4(kA, kB).vlan(1).vlan(2).vlan(3).ethernet(), DROP_TOO_DEEP}};
}

TEST_F(MeterTest, EveryDropReasonHasAPacket) {
  LOAD();
  std::set<int> met;
  std::uint64_t bytes[DROP_REASON_COUNT] = {};
  for (const auto& c : drop_cases()) {
    ASSERT_EQ(meter->run(c.packet), 0);
    bytes[c.reason] += c.packet.size();
    EXPECT_EQ(meter->counters().drop[c.reason].packets, 1u) << c.name;
    EXPECT_EQ(meter->counters().drop[c.reason].bytes, bytes[c.reason]) << c.name;
    met.insert(c.reason);
  }
  meter->expect_conserved();

  load({.sets = 1, .ring_bytes = 4096});  // 4 rows here and, after them, what fits in the ring
  for (std::uint16_t port = 1; port <= 100; ++port) ASSERT_EQ(meter->run(udp(kA, kB, port, 53)), 0);
  if (meter->counters().drop[DROP_EVICTED_FULL].packets > 0) met.insert(DROP_EVICTED_FULL);
  meter->expect_conserved();
  for (int reason = 0; reason < DROP_REASON_COUNT; ++reason)
    EXPECT_TRUE(met.contains(reason)) << "no packet here is dropped for reason " << reason;
}

Packet random_packet(std::mt19937& random) {
  const auto any = [&](unsigned below) { return static_cast<unsigned>(random() % below); };
  const std::string a = "10.0.0." + std::to_string(any(20)), b = "10.0.1." + std::to_string(any(20));
  const auto p = static_cast<std::uint16_t>(any(20)), q = static_cast<std::uint16_t>(any(3));
  const std::size_t size = any(1200);
  switch (any(9)) {
    case 0:
      return Packet(size)
          .tcp(p, q, static_cast<std::uint16_t>(any(512)))
          .ipv4(a.c_str(), b.c_str())
          .ethernet();
    case 1:
      return Packet(size).udp(p, q).ipv6(kA6, kB6).ethernet();
    case 2:
      return Packet(size)
          .icmp(static_cast<std::uint8_t>(any(20)), 0, p)
          .ipv4(b.c_str(), a.c_str())
          .ethernet();
    case 3:
      return udp(a.c_str(), b.c_str(), p, q, size).vxlan(any(4)).ipv4(kC, kD).ethernet();
    case 4:
      return Packet(size).udp(p, q).ipv4(a.c_str(), b.c_str(), {.id = p, .fragment = 0x2000}).ethernet();
    case 5:
      return Packet(size).protocol(17).ipv4(a.c_str(), b.c_str(), {.id = p, .fragment = 9}).ethernet();
    case 6:
      return udp(a.c_str(), b.c_str(), p, q, size).cut(34 + any(40));  // 6.18 refuses to run on less
    case 7:
      return Packet(size, static_cast<std::uint8_t>(random())).ethertype(0x86dd).ethernet().padded(54);
    default:
      return udp(b.c_str(), a.c_str(), p, q, size).padded(60);
  }
}

class Conservation : public MeterTest, public testing::WithParamInterface<bool> {};

TEST_P(Conservation, OfRandomPacketsInATinyCache) {
  LOAD(.sets = 16, .ring_bytes = 8192, .realtime = GetParam());
  std::mt19937 random(7);
  Sum sent;
  for (int i = 0; i < 20'000; ++i) {
    const Packet packet = random_packet(random);
    ASSERT_EQ(meter->run(packet, {}, i % 3 ? "meter_ethernet_ingress" : "meter_ethernet_egress"), 0);
    sent += {1, packet.size()};
    if (i % 50 == 0 && i % 1000 < 500) meter->drain_ring();
  }
  const cpu_counters counters = meter->counters();
  EXPECT_EQ(counters.seen_packets, sent.packets);
  EXPECT_EQ(counters.seen_bytes, sent.bytes);
  EXPECT_GT(counters.evicted_rows, 1000u);
  EXPECT_GT(counters.drop[DROP_EVICTED_FULL].packets, 1000u);
  meter->expect_conserved();
}

INSTANTIATE_TEST_SUITE_P(Meter, Conservation, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "Realtime" : "Plain"; });

// The clock is read once a tick, which must not make it stand still.
TEST_F(MeterTest, LastIsATickAgoAtMost) {
  LOAD();
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<__u64>(time.tv_sec) * 1'000'000'000 + static_cast<__u64>(time.tv_nsec);
  };
  constexpr __u64 kTwoTicks = 20'000'000;  // of 100 Hz, the slowest clock there is
  const Packet packet = Packet(9).udp(1000, 53).ipv4(kA, kB).ethernet();
  for (int i = 0; i < 5; ++i) {
    const __u64 before = now();
    ASSERT_EQ(meter->run(packet), 0);
    const __u64 after = now();
    const auto rows = meter->cached();
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_GE(rows[0].hot.last_ns + kTwoTicks, before);
    EXPECT_LE(rows[0].hot.last_ns, after);
    EXPECT_GE(rows[0].hot.last_ns, rows[0].hot.first_ns);
    usleep(30'000);
  }
}

TEST_F(MeterTest, ASynAfterFinIsTheNextRow) {
  LOAD();
  const auto tcp = [](std::uint16_t flags) { return Packet(0).tcp(1000, 80, flags).ipv4(kA, kB).ethernet(); };
  for (const std::uint16_t flags : std::initializer_list<std::uint16_t>{0x02, 0x10, 0x11})
    ASSERT_EQ(meter->run(tcp(flags)), 0);
  EXPECT_EQ(meter->drain_ring().size(), 0u);
  for (const std::uint16_t flags : std::initializer_list<std::uint16_t>{0x02, 0x10})
    ASSERT_EQ(meter->run(tcp(flags)), 0);
  ASSERT_EQ(meter->drain_ring().size(), 1u);
  EXPECT_EQ(meter->drain_ring()[0].hot.direction[0].packets, 3u);
  EXPECT_EQ(meter->drain_ring()[0].hot.direction[0].flags, FLAG_SYN | FLAG_ACK | FLAG_FIN | FLAG_SYN_ONLY);
  const auto rows = meter->cached();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].hot.direction[0].packets, 2u);
  EXPECT_EQ(rows[0].hot.direction[0].flags, FLAG_SYN | FLAG_ACK | FLAG_SYN_ONLY);
  meter->expect_conserved();
}

class Handshake : public MeterTest, public testing::WithParamInterface<bool> {};

// A test run has no socket, so that nobody says anything of the connection.
TEST_P(Handshake, IsNotedInTheRow) {
  LOAD(.realtime = GetParam());
  const auto tcp = [](Address from, Address to, std::uint16_t p, std::uint16_t q, std::uint16_t flags) {
    return Packet(0).tcp(p, q, flags).ipv4(from, to).ethernet();
  };
  ASSERT_EQ(meter->run(tcp(kA, kB, 1000, 80, 0x02), {}, "meter_ethernet_egress"), 0);
  ASSERT_EQ(meter->run(tcp(kB, kA, 80, 1000, 0x12)), 0);
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(meter->run(tcp(kA, kB, 1000, 80, 0x10), {}, "meter_ethernet_egress"), 0);
  ASSERT_EQ(meter->run(udp(kA, kB, 1000, 53)), 0);
  const auto rows = meter->cached();
  ASSERT_EQ(rows.size(), 2u);
  const bool first_is_tcp = rows[0].hot.key.protocol == 6;
  const evicted_row& row = rows[first_is_tcp ? 0 : 1];
  EXPECT_EQ(rows[first_is_tcp ? 1 : 0].hot.tcp_notes, 0);
  EXPECT_EQ(row.hot.tcp_notes, TCP_NOTED);
  EXPECT_EQ(row.tcp.syn_ns, row.hot.first_ns);
  EXPECT_GT(row.tcp.syn_ack_ns, row.tcp.syn_ns);
  EXPECT_GT(row.tcp.ack_ns, row.tcp.syn_ack_ns);
  for (const tcp_sample& sample : row.tcp.sample) EXPECT_EQ(sample.congestion_window, 0u);

  // The next connection's SYN sends it away, notes and all.
  ASSERT_EQ(meter->run(tcp(kA, kB, 1000, 80, 0x11)), 0);
  ASSERT_EQ(meter->run(tcp(kA, kB, 1000, 80, 0x02)), 0);
  ASSERT_EQ(meter->drain_ring().size(), 1u);
  EXPECT_EQ(meter->drain_ring()[0].tcp.syn_ack_ns, row.tcp.syn_ack_ns);
  meter->expect_conserved();
}

TEST_P(Handshake, IsNotNotedWhereNobodyWantsIt) {
  LOAD(.realtime = GetParam(), .tcp = false);
  for (const std::uint16_t flags : std::initializer_list<std::uint16_t>{0x02, 0x10, 0x10})
    ASSERT_EQ(meter->run(Packet(0).tcp(1000, 80, flags).ipv4(kA, kB).ethernet(), {}, "meter_ethernet_egress"),
              0);
  const auto rows = meter->cached();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].hot.tcp_notes, 0);
}

INSTANTIATE_TEST_SUITE_P(Meter, Handshake, testing::Bool(),
                         [](const auto& tested) { return tested.param ? "Realtime" : "Plain"; });

TEST_F(MeterTest, LaterFragmentsAreTheFirstOnesFlow) {
  LOAD();
  const auto fragment = [](std::uint16_t place, std::uint16_t id) {
    return place & 0x1fff ? Packet(40).protocol(17).ipv4(kA, kB, {.id = id, .fragment = place}).ethernet()
                          : Packet(40).udp(1000, 53).ipv4(kA, kB, {.id = id, .fragment = place}).ethernet();
  };
  for (const std::uint16_t place : std::initializer_list<std::uint16_t>{0x2000, 0x2006, 0x000b})
    ASSERT_EQ(meter->run(fragment(place, 1)), 0);
  ASSERT_EQ(meter->cached().size(), 1u);
  EXPECT_EQ(meter->cached()[0].hot.direction[0].packets, 3u);
  EXPECT_EQ(meter->cached()[0].hot.direction[0].marks, MARK_FRAGMENT);
  EXPECT_EQ(meter->counters().fragments_unknown, 0u);
  ASSERT_EQ(meter->run(fragment(0x0006, 2)), 0);
  EXPECT_EQ(meter->cached().size(), 2u);
  EXPECT_EQ(meter->counters().fragments_unknown, 1u);

  const auto six = [](std::uint16_t offset) {
    return (offset ? Packet(40).protocol(58) : Packet(40).icmp6(129, 0, 7))
        .fragment6(offset, !offset, 99)
        .ipv6(kB6, kA6)
        .ethernet();
  };
  ASSERT_EQ(meter->run(six(0)), 0);
  ASSERT_EQ(meter->run(six(48)), 0);
  EXPECT_EQ(meter->cached().size(), 3u);
  EXPECT_EQ(meter->counters().fragments_unknown, 1u);
  meter->expect_conserved();
}

TEST_F(MeterTest, GsoCountsSegments) {
  LOAD();
  const Packet tcp = Packet(1300).tcp(1, 2).ipv4(kA, kB).ethernet();
  ASSERT_EQ(meter->run(tcp, {.gso_size = 500, .gso_segs = 3}), 0);
  const auto rows = meter->cached();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].hot.direction[0].packets, 3u);
  EXPECT_EQ(rows[0].hot.direction[0].l3_bytes, 3u * 40 + 1300);
  EXPECT_EQ(rows[0].hot.direction[0].l2_surplus, 3u * 14);
  EXPECT_EQ(meter->counters().seen_packets, 3u);
  meter->expect_conserved();
}

TEST_F(MeterTest, ACpuWithoutPartitionSendsItsPacketsAway) {
  LOAD(.partitions = 0);
  ASSERT_EQ(meter->run(udp(kA, kB, 1, 2)), 0);
  ASSERT_EQ(meter->run(Packet(9).udp(1, 2).ipv4(kA, kB).ipv4(kC, kD).ethernet()), 0);
  ASSERT_EQ(meter->drain_ring().size(), 2u);
  EXPECT_EQ(meter->drain_ring()[0].cold.source_mac[5], 0xa);
  EXPECT_EQ(meter->drain_ring()[1].cold.outer_source[12], 10);
  EXPECT_EQ(meter->counters().evicted_rows, 2u);
  meter->expect_conserved();
}

// The linear part ends early, as in frames of a TX_RING: a packet socket is told where headers end, which
// it believes of frames of a page and more. In a network namespace of the test's own.
TEST_F(MeterTest, HeadersBeyondTheLinearPart) {
  LOAD();
  if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "no network namespace: " << std::strerror(errno);
  constexpr int kLoopback = 1;
  const int control = socket(AF_INET, SOCK_DGRAM, 0);
  ifreq up{};
  std::strcpy(up.ifr_name, "lo");
  up.ifr_flags = IFF_UP;
  ASSERT_EQ(ioctl(control, SIOCSIFFLAGS, &up), 0);
  close(control);

  LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = kLoopback, .attach_point = BPF_TC_EGRESS);
  LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = meter->fd("meter_ethernet_egress"));
  if (const int error = bpf_tc_hook_create(&hook); error == -ENOENT || error == -EOPNOTSUPP)
    GTEST_SKIP() << "this kernel has no clsact";
  ASSERT_EQ(bpf_tc_attach(&hook, &filter), 0);

  const int sender = socket(AF_PACKET, SOCK_RAW, 0);
  const int yes = 1;
  ASSERT_EQ(setsockopt(sender, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof(yes)), 0);
  const Packet packet = udp(kA, kB, 1000, 53, 5000);
  // struct virtio_net_hdr, whose header is not C++: 16 bits at 2 are hdr_len, in the host's order.
  std::vector<std::uint8_t> message(10);
  const std::uint16_t linear = 14;
  std::memcpy(&message[2], &linear, sizeof(linear));
  message.insert(message.end(), packet.bytes().begin(), packet.bytes().end());
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = kLoopback;
  for (int i = 0; i < 10; ++i)
    ASSERT_EQ(sendto(sender, message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to)),
              static_cast<ssize_t>(message.size()));
  close(sender);

  EXPECT_EQ(meter->counters().nonlinear_packets, 10u);
  const auto rows = meter->cached();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].hot.direction[0].packets, 10u);
  EXPECT_EQ(rows[0].hot.direction[0].l3_bytes, 10u * (packet.size() - 14));
  EXPECT_EQ(rows[0].cold.source_mac[5], 0xa);
  meter->expect_conserved();
}

}  // namespace
}  // namespace rheo::tests
