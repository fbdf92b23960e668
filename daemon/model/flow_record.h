// SPDX-License-Identifier: Apache-2.0
// FlowRecord: one finished record of a biflow, as every exporter gets it. A plain value of fixed layout:
// it lies in the outbox, a file that the next process reads. Any thread.
//
// "source" is the initiator and "destination" the responder; "forward" is initiator to responder.
// Addresses and ports are big-endian, as on the wire; everything else is host order.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <type_traits>

namespace rheo {

using Address = std::array<std::uint8_t, 16>;  // IPv4 as ::ffff:a.b.c.d
using MacAddress = std::array<std::uint8_t, 6>;

/// Why a record ended (RFC 5102 flowEndReason; FIN and RST are both "end of Flow detected").
enum class EndReason : std::uint8_t { idle, active, fin, rst, lack_of_resources, forced };
inline constexpr int kEndReasonCount = 6;

/// What the flags of both directions say of the connection (RFC 9293 names, the initiator's view).
enum class TcpState : std::uint8_t {
  none,  // not TCP
  closed,
  listen,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,
};
inline constexpr int kTcpStateCount = 12;

/// How the initiator was found, best first.
enum class InitiatorBy : std::uint8_t { handshake, listener, port, first_packet };
inline constexpr int kInitiatorByCount = 4;

/// What carried the flow; the same numbers as enum tunnel_type of bpf/abi.h.
enum class TunnelType : std::uint8_t { none, vxlan, geneve, gre, nvgre, ipip, sixin4, fourin6, sixin6 };
inline constexpr int kTunnelTypeCount = 9;

/// A flow's number of octets and packets. Layer-3 octets are those of the outermost IP packets.
struct FlowCounts {
  std::uint64_t packets = 0;
  std::uint64_t l3_bytes = 0;
  std::uint64_t l2_bytes = 0;

  FlowCounts& operator+=(const FlowCounts& other) {
    packets += other.packets;
    l3_bytes += other.l3_bytes;
    l2_bytes += other.l2_bytes;
    return *this;
  }
  friend FlowCounts operator-(FlowCounts a, const FlowCounts& b) {
    return {a.packets - b.packets, a.l3_bytes - b.l3_bytes, a.l2_bytes - b.l2_bytes};
  }
  friend FlowCounts operator+(FlowCounts a, const FlowCounts& b) { return a += b; }
  friend bool operator==(const FlowCounts&, const FlowCounts&) = default;
};

/// Bits of FlowDirection::tcp_flags above the wire's nine.
inline constexpr std::uint16_t kFlagSynOnly = 0x200;
inline constexpr std::uint16_t kFlagSynAck = 0x400;
inline constexpr std::uint16_t kWireTcpFlags = 0x1ff;

/// Bits of FlowDirection::hooks.
inline constexpr std::uint8_t kHookIngress = 0x01;
inline constexpr std::uint8_t kHookEgress = 0x02;

/// Bits of FlowDirection::marks.
inline constexpr std::uint8_t kMarkFragment = 0x01;
inline constexpr std::uint8_t kMarkTruncated = 0x02;
inline constexpr std::uint8_t kMarkWireGuard = 0x04;
inline constexpr std::uint8_t kMarkUndecoded = 0x08;

/// What the TCP socket of this host that sends in a direction said of the connection, when it last sent.
struct TcpSample {
  std::uint32_t srtt_us = 0;            // smoothed round-trip time; 0: none was measured yet
  std::uint32_t min_rtt_us = 0;         // the least; 0: likewise
  std::uint32_t retransmits = 0;        // segments sent again since the connection began
  std::uint32_t congestion_window = 0;  // segments, at least 1; 0: no socket said anything

  std::uint64_t srtt_ns() const { return std::uint64_t{1'000} * srtt_us; }
  std::uint64_t min_rtt_ns() const { return std::uint64_t{1'000} * min_rtt_us; }
};

/// How long a TCP connection's handshake took where it was metered. 0: not both packets were seen.
struct TcpHandshake {
  std::uint64_t syn_ack_ns = 0;  // from the first SYN to the first SYN with ACK
  std::uint64_t ack_ns = 0;      // from that to the initiator's first ACK

  /// 0: not all of it was seen.
  std::uint64_t whole_ns() const { return syn_ack_ns != 0 && ack_ns != 0 ? syn_ack_ns + ack_ns : 0; }
};

/// Bits of FlowRecord::tcp_events: what the packets show to have happened to the connection.
inline constexpr std::uint8_t kTcpConnect = 0x01;        // the responder agreed to it
inline constexpr std::uint8_t kTcpAccept = 0x02;         // the initiator confirmed that
inline constexpr std::uint8_t kTcpClose = 0x04;          // both sides ended it, or one reset it
inline constexpr std::uint8_t kTcpFailedConnect = 0x08;  // it was refused, or not answered
inline constexpr unsigned kTcpEventCount = 4;

/// One direction of a record.
struct FlowDirection {
  FlowCounts delta;             // since the flow's previous record
  FlowCounts total;             // since the flow's first packet
  std::uint16_t tcp_flags = 0;  // seen since the previous record; 0 where not TCP
  std::uint8_t ttl = 0;         // of the first packet seen
  std::uint8_t tos = 0;
  std::uint8_t icmp_type = 0;  // of the first packet seen; 0 where not ICMP
  std::uint8_t icmp_code = 0;
  std::uint8_t hooks = 0;
  std::uint8_t marks = 0;
  TcpSample tcp;
};

using OtherLinks = std::array<std::uint32_t, 3>;  // as FlowRecord::link, 0: none

struct FlowRecord {
  // Identity: the same record sent twice has the same two numbers.
  std::uint64_t flow_id = 0;
  std::uint32_t sequence = 0;  // 0 for the flow's first record, then 1 by 1

  std::uint8_t protocol = 0;
  bool ipv6 = false;
  EndReason end_reason = EndReason::idle;
  TcpState tcp_state = TcpState::none;

  Address source{};
  Address destination{};
  std::uint16_t source_port_be = 0;  // 0 for protocols without ports
  std::uint16_t destination_port_be = 0;
  std::uint16_t icmp_id_be = 0;  // echo identifier, else 0
  std::uint16_t vlan = 0;        // 0: untagged
  std::uint32_t link = 0;        // ifindex in 24 bits, network namespace number in 8
  // Where it was seen as well, and not counted again; as many as are noted, then 0.
  OtherLinks other_links{};

  // Nanoseconds since 1970. Windows of one flow's records never overlap.
  std::uint64_t flow_start_ns = 0;  // the flow's first packet
  std::uint64_t start_ns = 0;       // first packet of this record
  std::uint64_t end_ns = 0;         // last packet of this record

  // Whose the sockets are, where they are this host's; owner.h. 0: not known.
  std::uint32_t source_owner = 0;
  std::uint32_t destination_owner = 0;

  FlowDirection forward;
  FlowDirection reverse;
  TcpHandshake handshake;  // the same in all records of a flow

  // Where the flow's first packet came in; oriented like source and destination.
  MacAddress source_mac{};
  MacAddress destination_mac{};
  std::uint32_t flow_label = 0;
  Address outer_source{};
  Address outer_destination{};
  std::uint16_t outer_source_port_be = 0;
  std::uint16_t outer_destination_port_be = 0;
  std::uint32_t tunnel_id = 0;
  TunnelType tunnel = TunnelType::none;
  std::uint8_t outer_protocol = 0;
  InitiatorBy initiator_by = InitiatorBy::first_packet;
  std::uint8_t mpls_count = 0;
  std::uint32_t mpls_top_label = 0;
  std::uint16_t inner_vlan = 0;
  std::uint8_t tcp_events = 0;  // kTcpConnect, …: those that no earlier record of the flow has told
  std::uint8_t zero[1] = {};

  // All records that the outbox ever held, this one included: what lies between two records
  // is the difference of their sums, also when the records themselves are gone.
  FlowCounts running_sum;
};
static_assert(std::is_trivially_copyable_v<FlowRecord>);
static_assert(sizeof(FlowRecord) % 8 == 0);

/// What a flow record counts for in the conservation equation: both directions' deltas.
inline FlowCounts record_counts(const FlowRecord& record) {
  return record.forward.delta + record.reverse.delta;
}

}  // namespace rheo
