// SPDX-License-Identifier: Apache-2.0
#include "daemon/model/flow_entry.h"
#include "daemon/model/protocols.h"

#include <netinet/in.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace rheo {
namespace {

FlowDirection make_direction(const EntryState& entry, unsigned number) {
  const EntrySide& side = entry.side[number];
  const bool tcp = entry.key.protocol == IPPROTO_TCP;
  const bool icmp = is_icmp(entry.key.protocol);
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
  direction.tcp = entry.tcp.sample[number];
  return direction;
}

/// Nothing where the packets do not follow each other: some of a handshake passed unseen.
TcpHandshake make_handshake(const EntryTcp& tcp, unsigned source) {
  TcpHandshake handshake;
  if (tcp.syn_ack_ns == 0) return handshake;
  if (tcp.syn_ns != 0 && tcp.syn_ns < tcp.syn_ack_ns) handshake.syn_ack_ns = tcp.syn_ack_ns - tcp.syn_ns;
  if (tcp.ack_ns[source] > tcp.syn_ack_ns) handshake.ack_ns = tcp.ack_ns[source] - tcp.syn_ack_ns;
  return handshake;
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

TcpState tcp_state(const EntryState& entry) {
  if (entry.key.protocol != IPPROTO_TCP) return TcpState::none;
  const EntrySide& from = entry.side[entry.initiator];
  const EntrySide& to = entry.side[entry.initiator ^ 1U];
  const auto both = static_cast<unsigned>(from.flags) | to.flags;
  if ((both & kFlagRst) != 0) return TcpState::closed;
  const bool from_fin = (from.flags & kFlagFin) != 0;
  const bool to_fin = (to.flags & kFlagFin) != 0;
  if (from_fin && to_fin) return TcpState::time_wait;
  if (from_fin) return TcpState::fin_wait_1;
  if (to_fin) return TcpState::close_wait;
  if ((from.flags & kFlagAck) != 0) return TcpState::established;
  if ((to.flags & kFlagSynAck) != 0) return TcpState::syn_received;
  if ((from.flags & kFlagSynOnly) != 0 && to.total.packets == 0) return TcpState::syn_sent;
  return TcpState::established;
}

std::uint8_t unreported_events(const EntryState& entry, EndReason reason) {
  if (entry.key.protocol != IPPROTO_TCP) return 0;
  const unsigned from = entry.side[entry.initiator].flags;
  const unsigned to = entry.side[entry.initiator ^ 1U].flags;
  const bool opened = (from & kFlagSynOnly) != 0;
  const bool confirmed = (from & kFlagAck) != 0;
  const bool agreed = (to & kFlagSynAck) != 0;
  const bool reset = ((from | to) & kFlagRst) != 0;
  const bool failed = opened && !confirmed && !agreed && (reset || reason == EndReason::idle);

  unsigned events = 0;
  if (agreed || (opened && confirmed)) events |= kTcpConnect;
  if (confirmed && (agreed || opened)) events |= kTcpAccept;
  if ((reset && !failed) || (from & to & kFlagFin) != 0) events |= kTcpClose;
  if (failed) events |= kTcpFailedConnect;
  return static_cast<std::uint8_t>(events & ~unsigned{entry.reported_events});
}

std::uint64_t last_ns(const EntryState& entry) {
  return std::max(entry.side[0].last_ns, entry.side[1].last_ns);
}

FlowCounts unreported(const EntryState& entry) {
  return (entry.side[0].total - entry.side[0].reported) + (entry.side[1].total - entry.side[1].reported);
}

FlowRecord make_record(const EntryState& entry, const EntryOrigin& origin, EndReason reason,
                       std::int64_t clock_offset_ns) {
  const unsigned source = entry.initiator;
  const unsigned destination = source ^ 1U;
  const FlowKey& key = entry.key;
  FlowRecord record;
  record.flow_id = entry.flow_id;
  record.sequence = entry.sequence;
  record.protocol = key.protocol;
  record.ipv6 = (key.kind & kKindIpv6) != 0;
  record.end_reason = reason;
  record.tcp_state = tcp_state(entry);
  record.source = key.address[source];
  record.destination = key.address[destination];
  if (has_ports(key.protocol)) {
    record.source_port_be = key.port_be[source];
    record.destination_port_be = key.port_be[destination];
  } else if (is_icmp(key.protocol)) {
    record.icmp_id_be = key.port_be[1];
  }
  record.vlan = key.vlan;
  record.link = key.link;
  if (entry.many_links != 0) record.other_links = entry.link;
  record.flow_start_ns = wall_clock(entry.first_ns, clock_offset_ns);
  // A record of an event alone is of its flow's last packet.
  const std::uint64_t window_ns = unreported(entry).packets > 0 ? entry.window_first_ns : last_ns(entry);
  record.start_ns = wall_clock(window_ns, clock_offset_ns);
  record.end_ns = wall_clock(last_ns(entry), clock_offset_ns);
  record.source_owner = entry.owner[source];
  record.destination_owner = entry.owner[destination];
  record.forward = make_direction(entry, source);
  record.reverse = make_direction(entry, destination);
  record.handshake = make_handshake(entry.tcp, source);
  record.tcp_events = unreported_events(entry, reason);
  set_origin(record, origin, source, destination);
  record.tunnel = static_cast<TunnelType>(key.kind & kKindTunnelMask);
  record.tunnel_id = key.tunnel_id;
  record.initiator_by = static_cast<InitiatorBy>(entry.initiator_by);
  return record;
}

void begin_writing(EntryState& entry) {
  const std::atomic_ref<std::uint32_t> version(entry.version);
  version.store(version.load(std::memory_order_relaxed) | 1U, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);  // what is written next is not seen before this
}

void end_writing(EntryState& entry) {
  const std::atomic_ref<std::uint32_t> version(entry.version);
  version.store((version.load(std::memory_order_relaxed) | 1U) + 1, std::memory_order_release);
}

bool read_entry(const FlowEntry& entry, FlowEntry& copy) {
  constexpr int kAttempts = 100;  // a write takes some nanoseconds, unless its thread is not running
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::uint32_t before = __atomic_load_n(&entry.state.version, __ATOMIC_ACQUIRE);
    if ((before & 1U) != 0) continue;
    std::memcpy(&copy, &entry, sizeof copy);
    std::atomic_thread_fence(std::memory_order_acquire);  // what was read is not read after this
    if (__atomic_load_n(&entry.state.version, __ATOMIC_RELAXED) != before) continue;
    return copy.state.flow_id != 0 && copy.state.initiator <= 1 &&
           copy.state.initiator_by < kInitiatorByCount &&
           (copy.state.key.kind & kKindTunnelMask) < kTunnelTypeCount;
  }
  return false;
}

}  // namespace rheo
