// SPDX-License-Identifier: Apache-2.0
// bpf/parse.h: every encapsulation and protocol it knows, both kinds of memory, and every way to cut a
// packet.
#include "bpf/parse.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <set>

#include "tests/tools/packet.h"

namespace rheo::tests {
namespace {

using namespace rheo::abi;  // NOLINT(google-build-using-namespace)

constexpr Address kA = "192.0.2.1", kB = "198.51.100.9", kC = "10.0.0.1", kD = "10.0.0.2";
constexpr Address kA6 = "2001:db8::1", kB6 = "2001:db8:ffff::2", kC6 = "fd00::c", kD6 = "fd00::d";

parse_settings settings() {
  parse_settings result{};
  result.vxlan_ports[0] = 4789;
  result.vxlan_ports[3] = 8472;
  result.geneve_ports[0] = 6081;
  result.wireguard_ports[7] = 51820;
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{4789, 8472, 6081, 51820})
    result.tunnel_port_filter |= tunnel_port_bit(port);
  result.decapsulate_gre = result.decapsulate_ipip = 1;
  return result;
}

// Bytes that end where the memory does: the page behind them may not be touched.
class GuardedBytes {
 public:
  explicit GuardedBytes(const std::vector<std::uint8_t>& bytes)
      : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    room_ = (bytes.size() / page_ + 1) * page_;
    memory_ = static_cast<std::uint8_t*>(
        mmap(nullptr, room_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(memory_ + room_, page_, PROT_NONE);
    end_ = memory_ + room_;
    data_ = end_ - bytes.size();
    if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
  }
  ~GuardedBytes() { munmap(memory_, room_ + page_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  /// The last `size` of the first `keep` bytes cannot be had without moving them, so: a shorter packet.
  parse_input input(std::uint32_t length) const {
    parse_input in{};
    in.data = data_;
    in.end = end_;
    in.available = static_cast<__u32>(end_ - data_);
    in.length = length;
    return in;
  }

 private:
  std::size_t page_, room_ = 0;
  std::uint8_t *memory_ = nullptr, *data_ = nullptr, *end_ = nullptr;
};

struct Parsed {
  int status = 0;
  parsed_packet packet{};
  octets counted{};
};

using Adjust = std::function<void(parse_input&)>;

Parsed parse(const Packet& bytes, const Adjust& adjust = {}, int memory = MEMORY_COPY) {
  const parse_settings options = settings();
  const GuardedBytes guarded(bytes.bytes());
  parse_input in = guarded.input(static_cast<__u32>(bytes.size()));
  if (adjust) adjust(in);
  Parsed result;
  result.status = memory == MEMORY_COPY ? parse_packet(&in, &options, &result.packet, MEMORY_COPY)
                                        : parse_packet(&in, &options, &result.packet, MEMORY_PACKET);
  if (result.status == PARSE_OK) count_octets(&in, &result.packet, &result.counted);
  return result;
}

struct Expected {
  std::uint8_t protocol = 17;
  std::uint16_t port_a = 1000, port_b = 53;  // of the side that sends, and of the other
  std::uint16_t vlan = 0;
  std::uint8_t tunnel = TUNNEL_NONE;
  std::uint32_t tunnel_id = 0;
  std::uint8_t marks = 0;
  bool ipv6 = false;
};

struct Case {
  const char* name;
  std::function<Packet(Address a, Address b, std::uint16_t port_a, std::uint16_t port_b)> make;
  Expected expected;
  bool is_common = false;  // MEMORY_PACKET knows it too
  bool link_is_ip = false;
};

using A = Address;
using P = std::uint16_t;
constexpr Expected kUdp{};
constexpr Expected with(Expected e, auto change) {
  change(e);
  return e;
}
constexpr Expected udp6() {
  return with(kUdp, [](Expected& e) { e.ipv6 = true; });
}
constexpr Expected protocol(std::uint8_t number, bool has_ports, bool ipv6 = false) {
  return with(kUdp, [&](Expected& e) {
    e.protocol = number;
    e.ipv6 = ipv6;
    if (!has_ports) e.port_a = e.port_b = 0;
  });
}
constexpr Expected tunnel(std::uint8_t type, std::uint32_t id, bool ipv6 = false) {
  return with(kUdp, [&](Expected& e) {
    e.tunnel = type;
    e.tunnel_id = id;
    e.ipv6 = ipv6;
  });
}
constexpr Expected tagged(std::uint16_t vlan) {
  return with(kUdp, [&](Expected& e) { e.vlan = vlan; });
}
constexpr Expected marked(Expected e, std::uint8_t marks) {
  e.marks = marks;
  return e;
}

Packet udp(A a, A b, P p, P q) { return Packet(20).udp(p, q).ipv4(a, b); }
Packet udp_6(A a, A b, P p, P q) { return Packet(20).udp(p, q).ipv6(a, b, 0x12345, 0x28); }

const Case kCases[] = {
    {"udp", [](A a, A b, P p, P q) { return udp(a, b, p, q).ethernet(); }, kUdp, true},
    {"padded", [](A a, A b, P p, P q) { return Packet(1).udp(p, q).ipv4(a, b).ethernet().padded(60); }, kUdp,
     true},
    {"udp6", [](A a, A b, P p, P q) { return udp_6(a, b, p, q).ethernet(); }, udp6(), true},
    {"tcp", [](A a, A b, P p, P q) { return Packet(9).tcp(p, q, 0x18, 12).ipv4(a, b).ethernet(); },
     protocol(6, true), true},
    {"tcp6", [](A a, A b, P p, P q) { return Packet(9).tcp(p, q).ipv6(a, b).ethernet(); },
     protocol(6, true, true), true},
    {"sctp", [](A a, A b, P p, P q) { return Packet(9).sctp(p, q).ipv4(a, b).ethernet(); },
     protocol(132, true)},
    {"dccp", [](A a, A b, P p, P q) { return Packet(9).dccp(p, q).ipv4(a, b).ethernet(); },
     protocol(33, true)},
    {"udplite", [](A a, A b, P p, P q) { return Packet(9).udplite(p, q).ipv4(a, b).ethernet(); },
     protocol(136, true)},
    {"esp", [](A a, A b, P, P) { return Packet(30).protocol(50).ipv4(a, b).ethernet(); },
     protocol(50, false)},
    {"ah", [](A a, A b, P, P) { return Packet(30).protocol(51).ipv4(a, b).ethernet(); }, protocol(51, false)},
    {"igmp", [](A a, A b, P, P) { return Packet(8).protocol(2).ipv4(a, b).ethernet(); }, protocol(2, false)},
    {"esp6", [](A a, A b, P, P) { return Packet(30).protocol(50).ipv6(a, b).ethernet(); },
     protocol(50, false, true)},
    {"options", [](A a, A b, P p, P q) { return Packet(2).udp(p, q).ipv4(a, b, {.options = 40}).ethernet(); },
     kUdp},
    {"extensions6",
     [](A a, A b, P p, P q) {
       return Packet(2)
           .udp(p, q)
           .extension(60, 16)
           .extension(51, 24)
           .extension(43, 8)
           .extension(0, 8)
           .ipv6(a, b)
           .ethernet();
     },
     udp6()},
    {"atomic_fragment6",
     [](A a, A b, P p, P q) { return Packet(2).udp(p, q).fragment6(0, false, 7).ipv6(a, b).ethernet(); },
     udp6()},
    {"vlan", [](A a, A b, P p, P q) { return udp(a, b, p, q).vlan(7).ethernet(); }, tagged(7)},
    {"qinq", [](A a, A b, P p, P q) { return udp(a, b, p, q).vlan(7).vlan(99, 0x88a8).ethernet(); },
     tagged(99)},
    {"priority_tag", [](A a, A b, P p, P q) { return udp(a, b, p, q).vlan(0xe000).ethernet(); }, tagged(0)},
    {"mpls",
     [](A a, A b, P p, P q) { return udp(a, b, p, q).mpls(1).mpls(2).mpls(3).mpls(70001).ethernet(); }, kUdp},
    {"mpls6", [](A a, A b, P p, P q) { return udp_6(a, b, p, q).mpls(70001).ethernet(); }, udp6()},
    {"ip_link", [](A a, A b, P p, P q) { return udp(a, b, p, q); }, kUdp, true, true},
    {"ip_link6", [](A a, A b, P p, P q) { return udp_6(a, b, p, q); }, udp6(), true, true},
    {"vxlan",
     [](A a, A b, P p, P q) { return udp(a, b, p, q).ethernet().vxlan(0xabcdef).ipv4(kC, kD).ethernet(); },
     tunnel(TUNNEL_VXLAN, 0xabcdef)},
    {"vxlan_8472_vlan_6in4",
     [](A a, A b, P p, P q) {
       return udp_6(a, b, p, q).vlan(5).ethernet().vxlan(1, 8472).ipv4(kC, kD).ethernet();
     },
     tunnel(TUNNEL_VXLAN, 1, true)},
    {"geneve",
     [](A a, A b, P p, P q) {
       return udp(a, b, p, q).ethernet().geneve(77, 0x6558, 16).ipv6(kC6, kD6).ethernet();
     },
     tunnel(TUNNEL_GENEVE, 77)},
    {"geneve_ip",
     [](A a, A b, P p, P q) { return udp(a, b, p, q).geneve(77, 0x0800).ipv4(kC, kD).ethernet(); },
     tunnel(TUNNEL_GENEVE, 77)},
    {"gre", [](A a, A b, P p, P q) { return udp(a, b, p, q).gre(0, 0x0800).ipv4(kC, kD).ethernet(); },
     tunnel(TUNNEL_GRE, 0)},
    {"gre_all",
     [](A a, A b, P p, P q) {
       return udp_6(a, b, p, q).gre(0xb000, 0x86dd, 0x01020304).ipv4(kC, kD).ethernet();
     },
     tunnel(TUNNEL_GRE, 0x01020304, true)},
    {"gretap",
     [](A a, A b, P p, P q) { return udp(a, b, p, q).ethernet().gre(0, 0x6558).ipv4(kC, kD).ethernet(); },
     tunnel(TUNNEL_GRE, 0)},
    {"nvgre",
     [](A a, A b, P p, P q) {
       return udp(a, b, p, q).ethernet().gre(0x2000, 0x6558, 0x12345678).ipv4(kC, kD).ethernet();
     },
     tunnel(TUNNEL_NVGRE, 0x123456)},
    {"ipip", [](A a, A b, P p, P q) { return udp(a, b, p, q).ipv4(kC, kD).ethernet(); },
     tunnel(TUNNEL_IPIP, 0)},
    {"6in4", [](A a, A b, P p, P q) { return udp_6(a, b, p, q).ipv4(kC, kD).ethernet(); },
     tunnel(TUNNEL_6IN4, 0, true)},
    {"4in6", [](A a, A b, P p, P q) { return udp(a, b, p, q).ipv6(kC6, kD6).ethernet(); },
     tunnel(TUNNEL_4IN6, 0)},
    {"6in6", [](A a, A b, P p, P q) { return udp_6(a, b, p, q).ipv6(kC6, kD6).ethernet(); },
     tunnel(TUNNEL_6IN6, 0, true)},
    {"first_fragment",
     [](A a, A b, P p, P q) { return Packet(24).udp(p, q).ipv4(a, b, {.fragment = 0x2000}).ethernet(); },
     marked(kUdp, MARK_FRAGMENT)},
    {"later_fragment",
     [](A a, A b, P, P) { return Packet(24).protocol(17).ipv4(a, b, {.fragment = 5}).ethernet(); },
     marked(protocol(17, false), MARK_FRAGMENT)},
    {"first_fragment6",
     [](A a, A b, P p, P q) { return Packet(24).udp(p, q).fragment6(0, true, 9).ipv6(a, b).ethernet(); },
     marked(udp6(), MARK_FRAGMENT)},
    {"later_fragment6",
     [](A a, A b, P, P) { return Packet(24).protocol(17).fragment6(64, false, 9).ipv6(a, b).ethernet(); },
     marked(protocol(17, false, true), MARK_FRAGMENT)},
    {"no_transport", [](A a, A b, P, P) { return Packet(3).protocol(6).ipv4(a, b).ethernet().padded(60); },
     marked(protocol(6, false), MARK_TRUNCATED)},
};

class EveryCase : public testing::TestWithParam<Case> {
 protected:
  static Packet make(bool reverse) {
    const Case& c = GetParam();
    const bool six = c.expected.ipv6;
    const Address a = six ? kA6 : kA, b = six ? kB6 : kB;
    const P p = c.expected.port_a, q = c.expected.port_b;
    return reverse ? c.make(b, a, q, p) : c.make(a, b, p, q);
  }
  static void adjust(parse_input& in) { in.link_layer = GetParam().link_is_ip ? LINK_IP : LINK_ETHERNET; }
};

TEST_P(EveryCase, HasItsKey) {
  const Expected& e = GetParam().expected;
  const Parsed parsed = parse(make(false), adjust);
  ASSERT_EQ(parsed.status, PARSE_OK);
  const flow_key& key = parsed.packet.key;
  EXPECT_EQ(key.protocol, e.protocol);
  EXPECT_EQ(ntohs(key.port[0]), e.port_a);  // a < b in all cases
  EXPECT_EQ(ntohs(key.port[1]), e.port_b);
  EXPECT_EQ(key.vlan, e.vlan);
  EXPECT_EQ(key.kind, e.tunnel | (e.ipv6 ? KIND_IPV6 : 0));
  EXPECT_EQ(key.tunnel_id, e.tunnel_id);
  EXPECT_EQ(key.link, 0u);
  EXPECT_EQ(parsed.packet.marks, e.marks);
  EXPECT_EQ(parsed.packet.direction, 0);
  std::uint8_t address[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  e.ipv6 ? inet_pton(AF_INET6, kA6, address) : inet_pton(AF_INET, kA, address + 12);
  EXPECT_EQ(std::memcmp(address, key.address[0], 16), 0);
}

TEST_P(EveryCase, IsOneBiflow) {
  const Parsed there = parse(make(false), adjust), back = parse(make(true), adjust);
  ASSERT_EQ(back.status, PARSE_OK);
  EXPECT_EQ(std::memcmp(&there.packet.key, &back.packet.key, sizeof(flow_key)), 0);
  EXPECT_NE(there.packet.direction, back.packet.direction);
}

TEST_P(EveryCase, IsTheSameInBothMemories) {
  const Parsed copy = parse(make(false), adjust), packet = parse(make(false), adjust, MEMORY_PACKET);
  ASSERT_EQ(packet.status, GetParam().is_common ? PARSE_OK : PARSE_COPY);
  if (packet.status != PARSE_OK) return;
  EXPECT_EQ(std::memcmp(copy.packet.word, packet.packet.word, sizeof(copy.packet.word)), 0);
  EXPECT_EQ(copy.counted.l2, packet.counted.l2);
  EXPECT_EQ(copy.counted.l3, packet.counted.l3);
  EXPECT_EQ(copy.packet.payload_offset, packet.packet.payload_offset);
  EXPECT_EQ(copy.packet.tcp_flags, packet.packet.tcp_flags);
  EXPECT_EQ(copy.packet.flow_label, packet.packet.flow_label);
  EXPECT_EQ(copy.packet.ttl, packet.packet.ttl);
  EXPECT_EQ(copy.packet.tos, packet.packet.tos);
}

// A packet that ends early, and a capture that kept only its beginning.
TEST_P(EveryCase, MayEndAnywhere) {
  const Packet whole = make(false);
  const auto full = static_cast<__u32>(whole.size());
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    for (const int memory : {MEMORY_COPY, MEMORY_PACKET}) {
      const Parsed ended = parse(Packet(whole).cut(bytes), adjust, memory);
      // Padding may go; an IP packet that says it is longer than what is there is truncated.
      if (memory == MEMORY_COPY && ended.status != PARSE_OK) {
        EXPECT_EQ(ended.status, DROP_TRUNCATED) << bytes;
      }
      const Parsed captured =
          parse(Packet(whole).cut(bytes), [&](parse_input& in) { adjust(in), in.length = full; }, memory);
      if (captured.status == PARSE_OK) {
        EXPECT_LE(captured.counted.l3, captured.counted.l2);
        EXPECT_EQ(captured.counted.l2, full);
      } else {
        EXPECT_EQ(captured.status, memory == MEMORY_COPY ? int{DROP_TRUNCATED} : int{PARSE_COPY}) << bytes;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Parse, EveryCase, testing::ValuesIn(kCases), [](const auto& tested) {
  return std::string(tested.param.name[0] >= '0' && tested.param.name[0] <= '9' ? "tunnel_" : "") +
         tested.param.name;
});

TEST(Parse, EveryTunnelTypeHasACase) {
  std::set<int> met;
  for (const auto& c : kCases) met.insert(c.expected.tunnel);
  for (int type = 0; type < TUNNEL_TYPE_COUNT; ++type)
    EXPECT_TRUE(met.contains(type)) << "no packet of tunnel type " << type;
}

struct Refused {
  const char* name;
  Packet packet;
  int reason;
};

TEST(Parse, EveryDropReasonOfItsHasAPacket) {
  Packet nine_extensions = Packet(4).udp(1, 2);
  for (int i = 0; i < 9; ++i) nine_extensions = nine_extensions.extension(60);
  Packet short_header = udp(kA, kB, 1, 2).ethernet(), wrong_version = short_header,
         short_total = short_header;
  short_header.bytes()[14] = 0x44;
  wrong_version.bytes()[14] = 0x65;
  short_total.bytes()[16] = 0;
  short_total.bytes()[17] = 19;
  const Refused refused[] = {
      {"ARP", Packet(28).ethertype(0x0806).ethernet(), DROP_NOT_IP},
      {"LLDP", Packet(46).ethertype(0x88cc).ethernet(), DROP_NOT_IP},
      {"pseudo-wire", Packet(46, 0).mpls(3).ethernet(), DROP_NOT_IP},
      {"IPv4 header ends", udp(kA, kB, 1, 2).ethernet().cut(30), DROP_TRUNCATED},
      {"IPv4 longer than the packet", udp(kA, kB, 1, 2).ethernet().cut(50), DROP_TRUNCATED},
      {"header length 4", short_header, DROP_MALFORMED},
      {"version 6 in an IPv4 frame", wrong_version, DROP_MALFORMED},
      {"total length 19", short_total, DROP_MALFORMED},
      {"three tags", udp(kA, kB, 1, 2).vlan(1).vlan(2).vlan(3).ethernet(), DROP_TOO_DEEP},
      {"five labels", udp(kA, kB, 1, 2).mpls(1).mpls(2).mpls(3).mpls(4).mpls(5).ethernet(), DROP_TOO_DEEP},
      {"nine extension headers", nine_extensions.ipv6(kA6, kB6).ethernet(), DROP_TOO_DEEP},
      {"transport header behind 256 bytes", Packet(90).udp(1, 2).extension(60, 240).ipv6(kA6, kB6).ethernet(),
       DROP_TOO_DEEP},
  };
  for (const auto& r : refused) {
    EXPECT_EQ(parse(r.packet).status, r.reason) << r.name;
    EXPECT_EQ(parse(r.packet, {}, MEMORY_PACKET).status, PARSE_COPY) << r.name;
  }
}

TEST(Parse, IcmpRequestAndReplyAreOneBiflow) {
  struct Pair {
    bool six;
    std::uint8_t request, reply;
    bool has_id;
  };
  const Pair pairs[] = {{false, 8, 0, true},     {false, 13, 14, true},   {false, 15, 16, true},
                        {false, 17, 18, true},   {false, 10, 9, false},   {true, 128, 129, true},
                        {true, 130, 131, false}, {true, 133, 134, false}, {true, 135, 136, false},
                        {true, 139, 140, false}};
  for (const auto& p : pairs) {
    for (const bool to_itself : {false, true}) {
      const Address a = p.six ? kA6 : kA, b = to_itself ? a : p.six ? kB6 : kB;
      const auto make = [&](std::uint8_t type, Address from, Address to, std::uint16_t id) {
        const Packet icmp = Packet(8).icmp(type, 0, id, p.six);
        return (p.six ? Packet(icmp).ipv6(from, to) : Packet(icmp).ipv4(from, to)).ethernet();
      };
      const Parsed ask = parse(make(p.request, a, b, 77)), answer = parse(make(p.reply, b, a, 77));
      ASSERT_EQ(ask.status, PARSE_OK);
      EXPECT_EQ(std::memcmp(&ask.packet.key, &answer.packet.key, sizeof(flow_key)), 0) << int{p.request};
      EXPECT_NE(ask.packet.direction, answer.packet.direction) << int{p.request};
      EXPECT_EQ(ntohs(ask.packet.key.port[0]), p.request << 8);
      EXPECT_EQ(ntohs(ask.packet.key.port[1]), p.has_id ? 77 : 0) << int{p.request};
      EXPECT_EQ(answer.packet.icmp, p.reply << 8);
      EXPECT_EQ(parse(make(p.reply, b, a, 77), {}, MEMORY_PACKET).status, PARSE_COPY);
    }
  }
}

// Addresses and ports that differ in any one bit, or not at all: both memories order them alike.
TEST(Parse, EndsAreOrderedAlikeInBothMemories) {
  const auto compare = [](const Packet& packet) {
    const Parsed copy = parse(packet), plain = parse(packet, {}, MEMORY_PACKET);
    ASSERT_EQ(copy.status, PARSE_OK);
    ASSERT_EQ(plain.status, PARSE_OK);
    EXPECT_EQ(std::memcmp(&copy.packet.key, &plain.packet.key, sizeof(flow_key)), 0);
    EXPECT_EQ(copy.packet.direction, plain.packet.direction);
  };
  const auto text = [](int family, const std::uint8_t* address) {
    char buffer[INET6_ADDRSTRLEN] = {};
    return std::string(inet_ntop(family, address, buffer, sizeof(buffer)));
  };
  for (const unsigned fill : {0x00u, 0x7fu, 0x80u, 0xffu}) {
    for (unsigned bit = 0; bit <= 128; ++bit) {
      std::uint8_t address[16], other[16];
      std::memset(address, static_cast<int>(fill), sizeof(address));
      std::memset(other, static_cast<int>(fill), sizeof(other));
      if (bit < 128) other[bit / 8] = static_cast<std::uint8_t>(fill ^ 0x80u >> bit % 8);
      for (const auto& [p, q] : {std::pair<P, P>{1, 0x8000}, {0x8000, 1}, {7, 7}, {0x00ff, 0xff00}}) {
        const std::string a = text(AF_INET6, address), b = text(AF_INET6, other);
        compare(Packet(9).udp(p, q).ipv6(a.c_str(), b.c_str()).ethernet());
        compare(Packet(9).udp(p, q).ipv6(b.c_str(), a.c_str()).ethernet());
        const std::string c = text(AF_INET, address), d = text(AF_INET, other);
        compare(Packet(9).udp(p, q).ipv4(c.c_str(), d.c_str()).ethernet());
        compare(Packet(9).udp(p, q).ipv4(d.c_str(), c.c_str()).ethernet());
      }
    }
  }
}

TEST(Parse, TcpFlagsAndOffset) {
  const Parsed syn = parse(Packet(0).tcp(1, 2, 0x102, 20).ipv4(kA, kB, {.ttl = 7, .tos = 0xb8}).ethernet());
  EXPECT_EQ(syn.packet.tcp_flags, FLAG_SYN | FLAG_AE | FLAG_SYN_ONLY);
  EXPECT_EQ(syn.packet.payload_offset, 14u + 20 + 40);
  EXPECT_EQ(syn.packet.ttl, 7);
  EXPECT_EQ(syn.packet.tos, 0xb8);
  EXPECT_EQ(parse(Packet(0).tcp(1, 2, 0x12).ipv4(kA, kB).ethernet()).packet.tcp_flags,
            FLAG_SYN | FLAG_ACK | FLAG_SYN_ACK);
}

TEST(Parse, ColdRow) {
  const Parsed parsed = parse(
      udp_6(kA6, kB6, 1, 2).vlan(5).ethernet().vxlan(9).ipv4(kC, kD).mpls(3).mpls(70001).vlan(8).ethernet());
  ASSERT_EQ(parsed.status, PARSE_OK);
  const cold_row& cold = parsed.packet.cold;
  EXPECT_EQ(cold.source_mac[5], 0xa);
  EXPECT_EQ(cold.destination_mac[5], 0xb);
  EXPECT_EQ(cold.mpls_count, 2);
  EXPECT_EQ(cold.mpls_top_high << 4 | cold.mpls_top_low, 70001);
  EXPECT_EQ(cold.inner_vlan, 5);
  EXPECT_EQ(cold.outer_protocol, 17);
  EXPECT_EQ(ntohs(cold.outer_source_port), 50000);
  EXPECT_EQ(ntohs(cold.outer_destination_port), 4789);
  EXPECT_EQ(cold.outer_source[12], 10);
  EXPECT_EQ(cold.outer_source[15], 1);
  EXPECT_EQ(cold.outer_destination[15], 2);
  EXPECT_EQ(parsed.packet.key.vlan, 8);
  EXPECT_EQ(parsed.packet.flow_label, 0x12345u);
  EXPECT_EQ(parsed.packet.tos, 0x28);
}

TEST(Parse, TagInMetadataIsOutermost) {
  const auto tag = [](parse_input& in) { in.vlan_present = 1, in.vlan_tci = 0x2064; };
  const Parsed parsed = parse(udp(kA, kB, 1, 2).vlan(7).ethernet(), tag);
  EXPECT_EQ(parsed.packet.key.vlan, 100);
  EXPECT_EQ(parsed.packet.cold.inner_vlan, 7);
  EXPECT_EQ(parsed.counted.l2, 14u + 4 + 4 + 48);
  EXPECT_EQ(parsed.counted.l3, 48u);
  EXPECT_EQ(parse(udp(kA, kB, 1, 2).ethernet(), tag, MEMORY_PACKET).packet.key.vlan, 100);
  EXPECT_EQ(parse(udp(kA, kB, 1, 2).vlan(7).vlan(8).ethernet(), tag).status, DROP_TOO_DEEP);
}

TEST(Parse, UndecodableTunnelIsItsOuterFlow) {
  const Packet undecodable[] = {
      Packet(20).vxlan(5).ipv4(kC, kD).ethernet(),
      Packet(4).vxlan(5).ipv4(kC, kD).ethernet(),
      Packet(20).ethertype(0x0806).ethernet().vxlan(5).ipv4(kC, kD).ethernet(),
      udp(kA, kB, 1, 2).geneve(5, 0x1234).ipv4(kC, kD).ethernet(),
      udp(kA, kB, 1, 2).gre(0x0001, 0x880b).ipv4(kC, kD).ethernet(),
      Packet(8).protocol(4).ipv4(kC, kD).ethernet(),
  };
  for (const auto& packet : undecodable) {
    const Parsed parsed = parse(packet);
    ASSERT_EQ(parsed.status, PARSE_OK);
    EXPECT_EQ(parsed.packet.marks, MARK_UNDECODED);
    EXPECT_EQ(parsed.packet.key.kind, 0);
    EXPECT_EQ(parsed.packet.key.tunnel_id, 0u);
    EXPECT_EQ(parsed.packet.key.address[0][12], 10);
    EXPECT_EQ(parsed.packet.cold.outer_protocol, 0);
    EXPECT_EQ(parsed.packet.cold.inner_vlan, 0);
  }
  const Parsed fragment = parse(udp(kA, kB, 1, 2).ipv4(kC, kD, {.fragment = 0x2000}).ethernet());
  EXPECT_EQ(fragment.packet.key.protocol, 4);
  EXPECT_EQ(fragment.packet.marks, MARK_FRAGMENT);
}

TEST(Parse, WireguardByPortTypeAndZeros) {
  Packet message(32, 0);
  message.bytes()[0] = 4;
  EXPECT_EQ(parse(Packet(message).udp(51820, 3).ipv4(kA, kB).ethernet()).packet.marks, MARK_WIREGUARD);
  EXPECT_EQ(parse(Packet(message).udp(3, 51820).ipv4(kA, kB).ethernet()).packet.marks, MARK_WIREGUARD);
  EXPECT_EQ(parse(Packet(message).udp(3, 4).ipv4(kA, kB).ethernet()).packet.marks, 0);
  message.bytes()[0] = 5;
  EXPECT_EQ(parse(Packet(message).udp(3, 51820).ipv4(kA, kB).ethernet()).packet.marks, 0);
  message.bytes()[0] = 1;
  message.bytes()[2] = 1;
  EXPECT_EQ(parse(Packet(message).udp(3, 51820).ipv4(kA, kB).ethernet()).packet.marks, 0);
}

TEST(Octets, OfAPlainPacketExcludePadding) {
  const Parsed parsed = parse(Packet(1).udp(1, 2).ipv4(kA, kB).ethernet().padded(60));
  EXPECT_EQ(parsed.counted.packets, 1u);
  EXPECT_EQ(parsed.counted.l2, 60u);
  EXPECT_EQ(parsed.counted.l3, 29u);
}

TEST(Octets, OfSegmentsRepeatAllHeaders) {
  const Packet tcp = Packet(3000).tcp(1, 2, 0x10, 12).ipv4(kA, kB).ethernet();
  const auto gso = [](parse_input& in) { in.gso_size = 1400; };
  for (const int memory : {MEMORY_COPY, MEMORY_PACKET}) {
    const Parsed parsed = parse(tcp, gso, memory);
    EXPECT_EQ(parsed.counted.packets, 3u);
    EXPECT_EQ(parsed.counted.l2, 3u * (14 + 20 + 32) + 3000);
    EXPECT_EQ(parsed.counted.l3, 3u * (20 + 32) + 3000);
  }
  const Parsed tagged = parse(tcp, [](parse_input& in) { in.gso_size = 1400, in.vlan_present = 1; });
  EXPECT_EQ(tagged.counted.l2, 3u * (14 + 4 + 20 + 32) + 3000);
  EXPECT_EQ(tagged.counted.l3, 3u * (20 + 32) + 3000);
  const Parsed inner =
      parse(Packet(3000).tcp(1, 2).ipv4(kA, kB).ethernet().vxlan(1).ipv4(kC, kD).ethernet(), gso);
  EXPECT_EQ(inner.counted.l2, 3u * (14 + 20 + 8 + 8 + 14 + 20 + 20) + 3000);
  EXPECT_EQ(inner.counted.l3, 3u * (20 + 8 + 8 + 14 + 20 + 20) + 3000);
  const Parsed sctp = parse(Packet(100).sctp(1, 2).ipv4(kA, kB).ethernet(),
                            [](parse_input& in) { in.gso_size = 0xffff, in.gso_segs = 4; });
  EXPECT_EQ(sctp.counted.packets, 4u);
}

TEST(Octets, OfBigTcpComeFromThePacket) {
  Packet big = Packet(70000).tcp(1, 2).ipv6(kA6, kB6).ethernet();
  big.bytes()[18] = big.bytes()[19] = 0;
  const Parsed parsed = parse(big, [](parse_input& in) { in.gso_size = 1000; });
  ASSERT_EQ(parsed.status, PARSE_OK);
  EXPECT_EQ(parsed.counted.packets, 70u);
  EXPECT_EQ(parsed.counted.l3, 70u * 60 + 70000);
}

}  // namespace
}  // namespace rheo::tests
