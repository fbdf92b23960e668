// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/flow_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace rheo {
namespace {

constexpr std::uint8_t kIcmp = IPPROTO_ICMP;
constexpr std::uint8_t kIcmpV6 = IPPROTO_ICMPV6;
constexpr std::uint8_t kTcp = IPPROTO_TCP;

bool is_icmp(const EntryState& entry) { return entry.key.protocol == kIcmp || entry.key.protocol == kIcmpV6; }

bool has_ports(std::uint8_t protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
         protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP;
}

Address key_address(const abi::flow_key& key, unsigned side) {
  Address address;
  std::memcpy(address.data(), key.address[side], address.size());
  return address;
}

/// The side whose packets' ICMP type is the key's, which names the request: the asker.
std::optional<std::uint8_t> icmp_asker(const EntryState& entry) {
  std::uint8_t request = 0;
  std::memcpy(&request, &entry.key.port[0], 1);
  const auto asks = [&](unsigned side) {
    return entry.side[side].total.packets > 0 && entry.side[side].flags >> 8U == request;
  };
  if (asks(0) == asks(1)) {
    // Only answers seen: they go to the asker.
    for (const std::uint8_t side : {std::uint8_t{0}, std::uint8_t{1}}) {
      if (entry.side[side].total.packets > 0 && entry.side[side ^ 1U].total.packets == 0 && !asks(side))
        return side ^ 1U;
    }
    return std::nullopt;
  }
  return asks(0) ? 0 : 1;
}

std::optional<std::uint8_t> tcp_opener(const EntryState& entry) {
  const auto has = [&](unsigned side, unsigned flag) { return (entry.side[side].flags & flag) != 0; };
  for (const unsigned flag : {unsigned{abi::FLAG_SYN_ONLY}, unsigned{abi::FLAG_SYN_ACK}}) {
    if (has(0, flag) == has(1, flag)) continue;
    const std::uint8_t sender = has(0, flag) ? 0 : 1;
    return flag == abi::FLAG_SYN_ONLY ? sender : sender ^ 1U;
  }
  return std::nullopt;
}

FlowDirection make_direction(const EntryState& entry, const EntrySide& side) {
  const bool tcp = entry.key.protocol == kTcp;
  const bool icmp = is_icmp(entry);
  FlowDirection direction;
  direction.delta = side.total - side.reported;
  direction.total = side.total;
  direction.tcp_flags = tcp ? side.window_flags : std::uint16_t{0};
  direction.ttl = side.ttl;
  direction.tos = side.tos;
  direction.icmp_type = icmp ? static_cast<std::uint8_t>(side.flags >> 8U) : std::uint8_t{0};
  direction.icmp_code = icmp ? static_cast<std::uint8_t>(side.flags & 0xffU) : std::uint8_t{0};
  direction.hooks = side.hooks;
  direction.marks = side.marks;
  return direction;
}

std::uint64_t wall_clock(std::uint64_t time_ns, std::int64_t offset_ns) {
  return time_ns + static_cast<std::uint64_t>(offset_ns);
}

void set_origin(FlowRecord& record, const EntryOrigin& origin, unsigned source, unsigned destination) {
  record.source_mac = origin.mac[source];
  record.destination_mac = origin.mac[destination];
  record.flow_label = origin.flow_label;
  record.outer_source = origin.outer[source];
  record.outer_destination = origin.outer[destination];
  record.outer_source_port_be = origin.outer_port_be[source];
  record.outer_destination_port_be = origin.outer_port_be[destination];
  record.outer_protocol = origin.outer_protocol;
  record.mpls_count = std::min<std::uint8_t>(origin.mpls_count, 4);
  record.mpls_top_label = origin.mpls_top_label;
  record.inner_vlan = origin.inner_vlan;
}

}  // namespace

Initiator choose_initiator(const EntryState& entry, const Listeners& listeners) {
  const abi::flow_key& key = entry.key;
  if (key.protocol == kTcp) {
    if (const auto opener = tcp_opener(entry)) return {*opener, InitiatorBy::handshake};
  }
  if (is_icmp(entry)) {
    const auto asker = icmp_asker(entry);
    return asker ? Initiator{*asker, InitiatorBy::handshake}
                 : Initiator{entry.first_direction, InitiatorBy::first_packet};
  }
  if (has_ports(key.protocol)) {
    const bool first_listens = listeners.has(key.protocol, key_address(key, 0), key.port[0]);
    const bool second_listens = listeners.has(key.protocol, key_address(key, 1), key.port[1]);
    if (first_listens != second_listens)
      return {static_cast<std::uint8_t>(first_listens ? 1 : 0), InitiatorBy::listener};
    const std::uint16_t ports[2] = {ntohs(key.port[0]), ntohs(key.port[1])};
    if (ports[0] != ports[1])
      return {static_cast<std::uint8_t>(ports[0] > ports[1] ? 0 : 1), InitiatorBy::port};
  }
  return {entry.first_direction, InitiatorBy::first_packet};
}

TcpState tcp_state(const EntryState& entry) {
  if (entry.key.protocol != kTcp) return TcpState::none;
  const EntrySide& from = entry.side[entry.initiator];
  const EntrySide& to = entry.side[entry.initiator ^ 1U];
  const auto both = static_cast<unsigned>(from.flags) | to.flags;
  if ((both & abi::FLAG_RST) != 0) return TcpState::closed;
  const bool from_fin = (from.flags & abi::FLAG_FIN) != 0;
  const bool to_fin = (to.flags & abi::FLAG_FIN) != 0;
  if (from_fin && to_fin) return TcpState::time_wait;
  if (from_fin) return TcpState::fin_wait_1;
  if (to_fin) return TcpState::close_wait;
  if ((from.flags & abi::FLAG_ACK) != 0) return TcpState::established;
  if ((to.flags & abi::FLAG_SYN_ACK) != 0) return TcpState::syn_received;
  if ((from.flags & abi::FLAG_SYN_ONLY) != 0 && to.total.packets == 0) return TcpState::syn_sent;
  return TcpState::established;
}

bool is_closed(const EntryState& entry) {
  if (entry.key.protocol != kTcp) return false;
  return ((entry.side[0].flags | entry.side[1].flags) & (abi::FLAG_FIN | abi::FLAG_RST)) != 0;
}

std::uint64_t idle_timeout_ns(const EntryState& entry, const FlowTimeouts& timeouts) {
  switch (entry.key.protocol) {
    case kTcp:
      if (!is_closed(entry)) return timeouts.tcp_ns;
      return idle_end_reason(entry) == EndReason::rst ? timeouts.tcp_rst_ns : timeouts.tcp_fin_ns;
    case IPPROTO_UDP:
      return timeouts.udp_ns;
    case kIcmp:
    case kIcmpV6:
      return timeouts.icmp_ns;
    default:
      return timeouts.generic_ns;
  }
}

EndReason idle_end_reason(const EntryState& entry) {
  if (!is_closed(entry)) return EndReason::idle;
  const auto both = static_cast<unsigned>(entry.side[0].flags) | entry.side[1].flags;
  return (both & abi::FLAG_RST) != 0 ? EndReason::rst : EndReason::fin;
}

bool begins_new_flow(const EntryState& entry, const abi::hot_row& row) {
  if (!is_closed(entry)) return false;
  for (unsigned side : {0U, 1U}) {
    if ((row.direction[side].flags & abi::FLAG_SYN_ONLY) == 0) continue;
    // Without an earlier packet in this direction the SYN may be that of the closed connection itself, whose
    // other direction was merged before it.
    if (entry.side[side].total.packets > 0 && row.first_ns >= entry.side[side].last_ns) return true;
  }
  return false;
}

FlowCounts unreported(const EntryState& entry) {
  return (entry.side[0].total - entry.side[0].reported) + (entry.side[1].total - entry.side[1].reported);
}

FlowRecord make_record(const EntryState& entry, const EntryOrigin& origin, EndReason reason,
                       std::int64_t clock_offset_ns) {
  const unsigned source = entry.initiator;
  const unsigned destination = source ^ 1U;
  const abi::flow_key& key = entry.key;
  FlowRecord record;
  record.flow_id = entry.flow_id;
  record.sequence = entry.sequence;
  record.protocol = key.protocol;
  record.ipv6 = (key.kind & abi::KIND_IPV6) != 0;
  record.end_reason = reason;
  record.tcp_state = tcp_state(entry);
  record.source = key_address(key, source);
  record.destination = key_address(key, destination);
  if (has_ports(key.protocol)) {
    record.source_port_be = key.port[source];
    record.destination_port_be = key.port[destination];
  } else if (is_icmp(entry)) {
    record.icmp_id_be = key.port[1];
  }
  record.vlan = key.vlan;
  record.link = key.link;
  record.flow_start_ns = wall_clock(entry.first_ns, clock_offset_ns);
  record.start_ns = wall_clock(entry.window_first_ns, clock_offset_ns);
  record.end_ns = wall_clock(entry.last_ns, clock_offset_ns);
  record.forward = make_direction(entry, entry.side[source]);
  record.reverse = make_direction(entry, entry.side[destination]);
  set_origin(record, origin, source, destination);
  record.tunnel = static_cast<TunnelType>(key.kind & abi::KIND_TUNNEL_MASK);
  record.tunnel_id = key.tunnel_id;
  record.initiator_by = static_cast<InitiatorBy>(entry.initiator_by);
  return record;
}

void begin_window(EntryState& entry) {
  for (EntrySide& side : entry.side) {
    side.reported = side.total;
    side.window_flags = 0;
  }
  entry.window_floor_ns = entry.last_ns;
  entry.window_first_ns = 0;
  ++entry.sequence;
}

}  // namespace rheo
