// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/flow_rules.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "daemon/model/byte_order.h"
#include "daemon/model/protocols.h"

namespace rheo {
namespace {

constexpr std::uint8_t kTcp = IPPROTO_TCP;

/// The side whose packets' ICMP type is the key's, which names the request: the asker.
std::optional<std::uint8_t> icmp_asker(const EntryState& entry) {
  std::uint8_t request = 0;
  std::memcpy(&request, &entry.key.port_be[0], 1);
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
  for (const unsigned flag : {unsigned{kFlagSynOnly}, unsigned{kFlagSynAck}}) {
    if (has(0, flag) == has(1, flag)) continue;
    const std::uint8_t sender = has(0, flag) ? 0 : 1;
    return flag == kFlagSynOnly ? sender : sender ^ 1U;
  }
  return std::nullopt;
}

/// How sure it is that a socket waits at this end.
enum class Waits : std::uint8_t { no, perhaps, yes };

/// A socket without connections that sends to others looks like one that waits for them: where the kernel
/// chose its port, or it sends to a service's port from another, it may be either.
Waits waits_at(const FlowKey& key, unsigned side, const Listeners& listeners) {
  constexpr std::uint16_t service_ports = 1'024;
  if (!listeners.has(key.protocol, key.address[side], key.port_be[side])) return Waits::no;
  if (key.protocol != IPPROTO_UDP && key.protocol != IPPROTO_UDPLITE) return Waits::yes;
  const std::uint16_t port = host_order(key.port_be[side]);
  const bool to_service = port >= service_ports && host_order(key.port_be[side ^ 1U]) < service_ports;
  return to_service || listeners.ephemeral_ports.has(port) ? Waits::perhaps : Waits::yes;
}

}  // namespace

Initiator choose_initiator(const EntryState& entry, const Listeners& listeners) {
  const FlowKey& key = entry.key;
  if (key.protocol == kTcp) {
    if (const auto opener = tcp_opener(entry)) return {*opener, InitiatorBy::handshake};
  }
  if (is_icmp(entry.key.protocol)) {
    const auto asker = icmp_asker(entry);
    return asker ? Initiator{*asker, InitiatorBy::handshake}
                 : Initiator{entry.first_direction, InitiatorBy::first_packet};
  }
  if (has_ports(key.protocol)) {
    const Waits waits[2] = {waits_at(key, 0, listeners), waits_at(key, 1, listeners)};
    if (waits[0] != waits[1] && std::max(waits[0], waits[1]) == Waits::yes)
      return {static_cast<std::uint8_t>(waits[0] == Waits::yes ? 1 : 0), InitiatorBy::listener};
    if (std::max(waits[0], waits[1]) == Waits::perhaps)
      return {entry.first_direction, InitiatorBy::first_packet};
    const std::uint16_t ports[2] = {host_order(key.port_be[0]), host_order(key.port_be[1])};
    if (ports[0] != ports[1])
      return {static_cast<std::uint8_t>(ports[0] > ports[1] ? 0 : 1), InitiatorBy::port};
  }
  return {entry.first_direction, InitiatorBy::first_packet};
}

bool is_closed(const EntryState& entry) {
  if (entry.key.protocol != kTcp) return false;
  return ((entry.side[0].flags | entry.side[1].flags) & (kFlagFin | kFlagRst)) != 0;
}

std::uint64_t idle_timeout_ns(const EntryState& entry, const FlowTimeouts& timeouts) {
  switch (entry.key.protocol) {
    case kTcp:
      if (!is_closed(entry)) return timeouts.tcp_ns;
      return idle_end_reason(entry) == EndReason::rst ? timeouts.tcp_rst_ns : timeouts.tcp_fin_ns;
    case IPPROTO_UDP:
      return timeouts.udp_ns;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return timeouts.icmp_ns;
    default:
      return timeouts.generic_ns;
  }
}

EndReason idle_end_reason(const EntryState& entry) {
  if (!is_closed(entry)) return EndReason::idle;
  const auto both = static_cast<unsigned>(entry.side[0].flags) | entry.side[1].flags;
  return (both & kFlagRst) != 0 ? EndReason::rst : EndReason::fin;
}

bool begins_new_flow(const EntryState& entry, const abi::hot_row& row) {
  if (!is_closed(entry)) return false;
  for (unsigned side : {0U, 1U}) {
    if ((row.direction[side].flags & kFlagSynOnly) == 0) continue;
    // Without an earlier packet in this direction the SYN may be that of the closed connection itself, whose
    // other direction was merged before it.
    if (entry.side[side].total.packets > 0 && row.first_ns >= entry.side[side].last_ns) return true;
  }
  return false;
}

void begin_window(EntryState& entry) {
  entry.reported_events |= unreported_events(entry, EndReason::active);
  for (EntrySide& side : entry.side) {
    side.reported = side.total;
    side.window_flags = 0;
  }
  entry.window_floor_ns = last_ns(entry);
  entry.window_first_ns = 0;
  ++entry.sequence;
}

}  // namespace rheo
