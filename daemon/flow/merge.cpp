// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/merge.h"

#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "daemon/flow/flow_rules.h"
#include "daemon/model/owner.h"

namespace rheo {
namespace {

void add_direction(EntrySide& side, const abi::direction_counts& direction, std::uint64_t last_ns, bool tcp) {
  if (direction.packets == 0) return;
  if (side.total.packets == 0) {
    side.ttl = direction.ttl;
    side.tos = direction.tos;
    if (!tcp) side.flags = direction.flags;
  }
  if (tcp) {
    side.flags |= direction.flags;
    side.window_flags |= direction.flags;
  }
  side.total += direction_counts(direction);
  side.hooks |= direction.hooks;
  side.marks |= direction.marks;
  side.last_ns = std::max(side.last_ns, last_ns);
}

void note_sample(EntryTcp& entry, unsigned side, const abi::tcp_sample& sample) {
  TcpSample& known = entry.sample[side];
  if (sample.congestion_window == 0) return;
  known.retransmits = std::max(known.retransmits, sample.retransmits);
  if (sample.min_rtt_us != 0)
    known.min_rtt_us =
        known.min_rtt_us == 0 ? sample.min_rtt_us : std::min(known.min_rtt_us, sample.min_rtt_us);
  // The kernel's clock has gone round in 52 days.
  const bool is_older = static_cast<std::int32_t>(sample.time - entry.sampled_at[side]) < 0;
  if (known.congestion_window != 0 && is_older) return;
  known.srtt_us = sample.srtt_us;
  known.congestion_window = sample.congestion_window;
  entry.sampled_at[side] = sample.time;
}

void keep_first(std::uint64_t& known_ns, std::uint64_t at_ns) {
  if (at_ns != 0 && (known_ns == 0 || at_ns < known_ns)) known_ns = at_ns;
}

/// In whose direction a row's ack_ns is.
unsigned acknowledging_side(const abi::hot_row& row) {
  const auto said = [&](unsigned side, unsigned flag) { return (row.direction[side].flags & flag) != 0; };
  for (const unsigned side : {0U, 1U})
    if (said(side, kFlagSynOnly) || said(side ^ 1U, kFlagSynAck)) return side;
  return row.first_direction & 1U;
}

}  // namespace

FlowCounts direction_counts(const abi::direction_counts& direction) {
  return {direction.packets, direction.l3_bytes, direction.l3_bytes + direction.l2_surplus};
}

FlowCounts row_counts(const abi::hot_row& row) {
  return direction_counts(row.direction[0]) + direction_counts(row.direction[1]);
}

EntryState make_entry(const abi::hot_row& row, std::uint64_t flow_id) {
  EntryState entry{};
  entry.key = std::bit_cast<FlowKey>(row.key);
  entry.flow_id = flow_id;
  entry.first_ns = row.first_ns;
  entry.first_direction = row.first_direction & 1U;
  entry.initiator_by = kInitiatorByCount;  // worse than any: improve_initiator() decides
  return entry;
}

EntryOrigin make_origin(const abi::hot_row& row, const abi::cold_row& cold) {
  const unsigned source = row.first_direction & 1U;
  const unsigned destination = source ^ 1U;
  EntryOrigin origin{};
  std::memcpy(origin.mac[source].data(), cold.source_mac, 6);
  std::memcpy(origin.mac[destination].data(), cold.destination_mac, 6);
  std::memcpy(origin.outer[source].data(), cold.outer_source, 16);
  std::memcpy(origin.outer[destination].data(), cold.outer_destination, 16);
  origin.outer_port_be[source] = cold.outer_source_port;
  origin.outer_port_be[destination] = cold.outer_destination_port;
  origin.flow_label = cold.flow_label;
  origin.inner_vlan = cold.inner_vlan;
  origin.outer_protocol = cold.outer_protocol;
  origin.mpls_count = cold.mpls_count;
  origin.mpls_top_label = static_cast<std::uint32_t>(cold.mpls_top_high) << 4U | cold.mpls_top_low;
  return origin;
}

void note_owners(EntryState& entry, const abi::hot_row& row) {
  for (const unsigned side : {0U, 1U})
    if (row.owner[side] >= kFirstOwner) entry.owner[side] = row.owner[side];
}

void note_tcp(EntryState& entry, const abi::hot_row& row, const abi::tcp_row* tcp) {
  if (tcp == nullptr || (row.tcp_notes & abi::TCP_NOTED) == 0) return;
  for (const unsigned side : {0U, 1U}) note_sample(entry.tcp, side, tcp->sample[side]);
  keep_first(entry.tcp.syn_ns, tcp->syn_ns);
  keep_first(entry.tcp.syn_ack_ns, tcp->syn_ack_ns);
  keep_first(entry.tcp.ack_ns[acknowledging_side(row)], tcp->ack_ns);
}

void add_row(EntryState& entry, const abi::hot_row& row, std::uint32_t drain_number) {
  const std::uint64_t begin = std::max<std::uint64_t>(row.first_ns, entry.window_floor_ns);
  const bool open = unreported(entry).packets > 0;
  entry.window_first_ns = open ? std::min(entry.window_first_ns, begin) : begin;
  if (entry.sequence == 0 && row.first_ns < entry.first_ns) {
    entry.first_ns = row.first_ns;
    entry.first_direction = row.first_direction & 1U;
  }

  const bool tcp = entry.key.protocol == IPPROTO_TCP;
  for (const unsigned side : {0U, 1U}) add_direction(entry.side[side], row.direction[side], row.last_ns, tcp);
  note_owners(entry, row);

  if (entry.recent_drain != drain_number) {
    entry.recent_drain = drain_number;
    entry.recent_bytes = 0;
  }
  entry.recent_bytes += row_counts(row).l2_bytes;
}

void improve_initiator(EntryState& entry, const Listeners& listeners) {
  if (entry.initiator_by == static_cast<std::uint8_t>(InitiatorBy::handshake)) return;
  const Initiator found = choose_initiator(entry, listeners);
  if (static_cast<std::uint8_t>(found.by) >= entry.initiator_by) return;
  entry.initiator = found.side;
  entry.initiator_by = static_cast<std::uint8_t>(found.by);
}

}  // namespace rheo
