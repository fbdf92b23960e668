// SPDX-License-Identifier: Apache-2.0
// Any bytes as a packet, in both kinds of memory: no read outside (ASan), no overflow (UBSan), and what
// bpf/parse.h promises about a packet that it accepts. The first 8 bytes choose length, GSO and link.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "bpf/flow_cache.h"

namespace {

using namespace rheo::abi;  // NOLINT(google-build-using-namespace)

void require(bool holds) {
  if (!holds) std::abort();
}

parse_settings all_tunnels() {
  parse_settings settings{};
  settings.vxlan_ports[0] = 4789;
  settings.geneve_ports[0] = 6081;
  settings.wireguard_ports[0] = 51820;
  settings.tunnel_port_filter = tunnel_port_bit(4789) | tunnel_port_bit(6081) | tunnel_port_bit(51820);
  settings.decapsulate_gre = settings.decapsulate_ipip = 1;
  return settings;
}

void check(const parse_input& in, const parsed_packet& packet) {
  const flow_key& key = packet.key;
  const int order = std::memcmp(key.address[0], key.address[1], 16);
  const bool is_icmp = key.protocol == (key.kind & KIND_IPV6 ? 58 : 1);
  require(order <= 0);
  require(order < 0 || is_icmp || FROM_BE16(key.port[0]) <= FROM_BE16(key.port[1]));
  require(packet.direction <= 1 && key.link == 0);
  require((key.kind & KIND_TUNNEL_MASK) < TUNNEL_TYPE_COUNT);
  require(packet.payload_offset <= in.length && packet.l3_offset <= packet.payload_offset);
  octets counted;
  count_octets(&in, &packet, &counted);
  require(counted.packets > 0 && counted.l3 <= counted.l2 && counted.l2 >= in.length);
  hot_row row;
  row_start(&row, packet.word, &packet, 1);
  row_add(&row, &packet, &counted, HOOK_INGRESS, 1);
  require(row_has_key(&row, packet.word, key.kind & KIND_IPV6));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const parse_settings settings = all_tunnels();
  constexpr std::size_t kChoices = 8;
  if (size < kChoices) return 0;
  // A block of its own, so that ASan sees the first byte too far.
  const std::size_t bytes = size - kChoices;
  const auto block = std::make_unique<std::uint8_t[]>(bytes);
  if (bytes) std::memcpy(block.get(), data + kChoices, bytes);
  parse_input in{};
  in.data = block.get();
  in.end = block.get() + bytes;
  in.available = static_cast<__u32>(bytes);
  in.length = in.available + (data[0] & 1 ? data[1] * 300u : 0);
  in.gso_size = data[0] & 2 ? data[2] * 257u : 0;
  in.gso_segs = in.gso_size ? data[3] : 0;
  in.vlan_present = data[0] >> 2 & 1;
  in.vlan_tci = data[4];
  in.link_layer = data[0] & 8 ? LINK_IP : LINK_ETHERNET;
  in.ethertype = data[0] & 16 ? FROM_BE16(ETHERTYPE_MPLS) : 0;

  parsed_packet copy, packet;
  const int status = parse_packet(&in, &settings, &copy, MEMORY_COPY);
  require(status >= 0 && status <= PARSE_OK && status != DROP_EVICTED_FULL);
  if (status == PARSE_OK) check(in, copy);
  const int common = parse_packet(&in, &settings, &packet, MEMORY_PACKET);
  require(common == PARSE_OK || common == PARSE_COPY);
  if (common == PARSE_OK) {
    require(status == PARSE_OK);
    require(std::memcmp(copy.word, packet.word, sizeof(copy.word)) == 0);
    require(copy.direction == packet.direction && copy.payload_offset == packet.payload_offset);
    require(copy.l3_length == packet.l3_length && copy.tcp_flags == packet.tcp_flags);
  }
  return 0;
}
