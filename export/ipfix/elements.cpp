// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/elements.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstring>
#include <utility>

#include "daemon/model/byte_order.h"
#include "daemon/model/community_id.h"
#include "daemon/model/names.h"
#include "export/ipfix/element_values.h"

namespace rheo {
namespace {

/// Writes what F returns: integers in network order, arrays as they are.
template <auto F>
void put_value(std::byte* at, const FlowView& view) {
  auto value = F(view);
  if constexpr (std::integral<decltype(value)> && sizeof value > 1) {
    if constexpr (sizeof value == 2) value = __builtin_bswap16(value);
    if constexpr (sizeof value == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof value == 8) value = __builtin_bswap64(value);
  }
  std::memcpy(at, &value, sizeof value);
}
static_assert(std::endian::native == std::endian::little);

template <auto F>
constexpr IpfixSource from = {&put_value<F>, sizeof(F(std::declval<const FlowView&>()))};

/// Options write these themselves: only the length is told here.
constexpr IpfixSource octets(std::uint16_t length) { return {nullptr, length}; }

bool anywhere(RecordKind) { return true; }
bool ipv4(RecordKind kind) { return !kind.ipv6; }
bool ipv6(RecordKind kind) { return kind.ipv6; }
bool with_ports(RecordKind kind) {
  return kind.transport == IpfixProtocol::tcp || kind.transport == IpfixProtocol::ports;
}
bool tcp(RecordKind kind) { return kind.transport == IpfixProtocol::tcp; }
bool icmp(RecordKind kind) { return kind.transport == IpfixProtocol::icmp; }
bool icmp_v4(RecordKind kind) { return icmp(kind) && !kind.ipv6; }
bool icmp_v6(RecordKind kind) { return icmp(kind) && kind.ipv6; }
bool tunnel(RecordKind kind) { return kind.carrier != IpfixCarrier::none; }
bool over_ipv4(RecordKind kind) { return kind.carrier == IpfixCarrier::ipv4; }
bool over_ipv6(RecordKind kind) { return kind.carrier == IpfixCarrier::ipv6; }

using Ipv4Bytes = std::array<std::uint8_t, 4>;

Ipv4Bytes ipv4_of(const Address& address) { return {address[12], address[13], address[14], address[15]}; }

std::uint64_t milliseconds(std::uint64_t ns) { return ns / 1'000'000; }

/// The hooks that counted packets of the direction told. One without packets is what its opposite is not.
unsigned hooks(const FlowView& v) {
  if (v.counted.hooks != 0) return v.counted.hooks;
  unsigned turned = 0;
  if ((v.opposite.hooks & kHookIngress) != 0) turned |= kHookEgress;
  if ((v.opposite.hooks & kHookEgress) != 0) turned |= kHookIngress;
  return turned;
}

/// A packet is at one interface when it is counted: where it came in, or where it leaves; the other is
/// unknown, 0.
std::uint32_t interface_if(const FlowView& v, unsigned hook) {
  return (hooks(v) & hook) != 0 ? v.record.link : 0;
}

std::uint8_t flow_direction(const FlowView& v) { return hooks(v) == kHookEgress ? 1 : 0; }

/// nfacctd takes the VLAN of packets on their way out from nowhere else.
std::uint16_t egress_vlan(const FlowView& v) {
  return flow_direction(v) == 1 ? v.record.vlan : std::uint16_t{0};
}

std::uint16_t icmp_type_code(const FlowView& v) {
  return static_cast<std::uint16_t>(v.counted.icmp_type << 8U | v.counted.icmp_code);
}

/// Encapsulation in the first octet: 1 VXLAN, 2 NVGRE, 0 for what the registry has no number for.
std::uint64_t segment_id(const FlowView& v) {
  std::uint64_t encapsulation = 0;
  if (v.record.tunnel == TunnelType::vxlan) encapsulation = 1;
  if (v.record.tunnel == TunnelType::nvgre) encapsulation = 2;
  return encapsulation << 56U | v.record.tunnel_id;
}

/// Label, 3 bits of traffic class (not kept), bottom of stack.
std::array<std::uint8_t, 3> mpls_top(const FlowView& v) {
  const std::uint32_t entry = v.record.mpls_top_label << 4U | (v.record.mpls_count == 1 ? 1U : 0U);
  return {static_cast<std::uint8_t>(entry >> 16U), static_cast<std::uint8_t>(entry >> 8U),
          static_cast<std::uint8_t>(entry)};
}

std::array<char, kCommunityIdSize> community_id_of(const FlowView& v) {
  std::array<char, kCommunityIdSize> text;
  write_community_id(v.record, v.community_id_seed, text);
  return text;
}

std::uint8_t ended_by(const FlowView& v) {
  if (v.record.end_reason == EndReason::fin) return 1;
  return v.record.end_reason == EndReason::rst ? 2 : 0;
}

using enum IpfixType;
using enum IpfixSemantics;
using Units = IpfixUnits;
using View = const FlowView&;
constexpr auto kNever = IpfixReverse::never;
constexpr auto kInFront = IpfixReverse::in_front;
constexpr auto kBeside = IpfixReverse::beside;
constexpr auto kCompact = IpfixSet::compact;
constexpr auto kStandard = IpfixSet::standard;
constexpr auto kFull = IpfixSet::full;
constexpr auto kAdded = IpfixSet::added;
constexpr auto kOptions = IpfixSet::options_only;
constexpr bool kIana = false;
constexpr bool kOwn = true;

// clang-format off: a table
constexpr std::array kElements = std::to_array<IpfixElement>({
    // The totals come before the deltas: a collector that has one place for both keeps the last.
    {"octetTotalCount", 85, kIana, unsigned64, total_counter, Units::octets, kInFront, anywhere, kFull,
     from<[](View v) { return v.counted.total.l3_bytes; }>, "layer-3 octets since the flow's first packet"},
    {"packetTotalCount", 86, kIana, unsigned64, total_counter, Units::packets, kInFront, anywhere, kFull,
     from<[](View v) { return v.counted.total.packets; }>, "packets since the flow's first packet"},
    {"layer2OctetTotalCount", 353, kIana, unsigned64, total_counter, Units::octets, kInFront, anywhere, kFull,
     from<[](View v) { return v.counted.total.l2_bytes; }>, "layer-2 octets since the flow's first packet"},
    // Keys
    {"sourceIPv4Address", 8, kIana, ipv4_address, none, Units::none, kNever, ipv4, kCompact,
     from<[](View v) { return ipv4_of(source(v)); }>, "the initiator's address; the sender's with biflow = split"},
    {"destinationIPv4Address", 12, kIana, ipv4_address, none, Units::none, kNever, ipv4, kCompact,
     from<[](View v) { return ipv4_of(destination(v)); }>, "the responder's address"},
    {"sourceIPv6Address", 27, kIana, ipv6_address, none, Units::none, kNever, ipv6, kCompact,
     from<[](View v) { return source(v); }>, "the initiator's address; the sender's with biflow = split"},
    {"destinationIPv6Address", 28, kIana, ipv6_address, none, Units::none, kNever, ipv6, kCompact,
     from<[](View v) { return destination(v); }>, "the responder's address"},
    {"sourceTransportPort", 7, kIana, unsigned16, identifier, Units::none, kNever, with_ports, kCompact,
     from<[](View v) { return host_order(v.turned ? v.record.destination_port_be : v.record.source_port_be); }>,
     "the initiator's port"},
    {"destinationTransportPort", 11, kIana, unsigned16, identifier, Units::none, kNever, with_ports, kCompact,
     from<[](View v) { return host_order(v.turned ? v.record.source_port_be : v.record.destination_port_be); }>,
     "the responder's port"},
    {"protocolIdentifier", 4, kIana, unsigned8, identifier, Units::none, kNever, anywhere, kCompact,
     from<[](View v) { return v.record.protocol; }>, "IP protocol number"},
    {"ipVersion", 60, kIana, unsigned8, identifier, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return std::uint8_t{v.record.ipv6 ? std::uint8_t{6} : std::uint8_t{4}}; }>, "4 or 6"},
    // The record's window and what was counted in it
    {"flowStartMilliseconds", 152, kIana, date_time_milliseconds, none, Units::milliseconds, kNever, anywhere, kCompact,
     from<[](View v) { return milliseconds(v.record.start_ns); }>, "first packet of this record, of either direction"},
    {"flowEndMilliseconds", 153, kIana, date_time_milliseconds, none, Units::milliseconds, kNever, anywhere, kCompact,
     from<[](View v) { return milliseconds(v.record.end_ns); }>, "last packet of this record, of either direction"},
    {"octetDeltaCount", 1, kIana, unsigned64, delta_counter, Units::octets, kBeside, anywhere, kCompact,
     from<[](View v) { return v.counted.delta.l3_bytes; }>,
     "layer-3 octets of the outermost IP packets since the flow's previous record"},
    {"packetDeltaCount", 2, kIana, unsigned64, delta_counter, Units::packets, kBeside, anywhere, kCompact,
     from<[](View v) { return v.counted.delta.packets; }>, "packets since the flow's previous record"},
    {"layer2OctetDeltaCount", 352, kIana, unsigned64, delta_counter, Units::octets, kInFront, anywhere, kStandard,
     from<[](View v) { return v.counted.delta.l2_bytes; }>,
     "layer-2 octets without frame check sequence since the flow's previous record"},
    {"tcpControlBits", 6, kIana, unsigned16, flags, Units::none, kInFront, tcp, kCompact,
     from<[](View v) { return static_cast<std::uint8_t>(v.counted.tcp_flags); }>,
     "TCP flags seen since the flow's previous record, the low eight"},
    {"ipClassOfService", 5, kIana, unsigned8, identifier, Units::none, kInFront, anywhere, kStandard,
     from<[](View v) { return v.counted.tos; }>, "DSCP and ECN of the first packet"},
    {"ipTTL", 192, kIana, unsigned8, none, Units::none, kInFront, anywhere, kStandard,
     from<[](View v) { return v.counted.ttl; }>, "TTL or hop limit of the first packet"},
    {"icmpTypeCodeIPv4", 32, kIana, unsigned16, identifier, Units::none, kInFront, icmp_v4, kCompact,
     from<[](View v) { return icmp_type_code(v); }>, "type times 256 plus code, of the first packet"},
    {"icmpTypeCodeIPv6", 139, kIana, unsigned16, identifier, Units::none, kInFront, icmp_v6, kCompact,
     from<[](View v) { return icmp_type_code(v); }>, "type times 256 plus code, of the first packet"},
    {"icmpTypeIPv4", 176, kIana, unsigned8, identifier, Units::none, kInFront, icmp_v4, kFull,
     from<[](View v) { return v.counted.icmp_type; }>, "type of the first packet"},
    {"icmpCodeIPv4", 177, kIana, unsigned8, identifier, Units::none, kInFront, icmp_v4, kFull,
     from<[](View v) { return v.counted.icmp_code; }>, "code of the first packet"},
    {"icmpTypeIPv6", 178, kIana, unsigned8, identifier, Units::none, kInFront, icmp_v6, kFull,
     from<[](View v) { return v.counted.icmp_type; }>, "type of the first packet"},
    {"icmpCodeIPv6", 179, kIana, unsigned8, identifier, Units::none, kInFront, icmp_v6, kFull,
     from<[](View v) { return v.counted.icmp_code; }>, "code of the first packet"},
    // Where it was seen
    {"dot1qVlanId", 243, kIana, unsigned16, identifier, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return v.record.vlan; }>, "VLAN of the outermost tag, 0 for none"},
    {"vlanId", 58, kIana, unsigned16, identifier, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return v.record.vlan; }>, "the same, for collectors that know only this element"},
    {"postDot1qVlanId", 254, kIana, unsigned16, identifier, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return egress_vlan(v); }>, "the same where flowDirection is egress, else 0"},
    {"dot1qCustomerVlanId", 245, kIana, unsigned16, identifier, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return v.record.inner_vlan; }>, "VLAN of the second tag, 0 for none"},
    {"sourceMacAddress", 56, kIana, mac_address, none, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return v.turned ? v.record.destination_mac : v.record.source_mac; }>,
     "the initiator's link-layer address, or its next hop's; 0 on links without"},
    {"destinationMacAddress", 80, kIana, mac_address, none, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return v.turned ? v.record.source_mac : v.record.destination_mac; }>,
     "the responder's link-layer address, or its next hop's; 0 on links without"},
    {"ingressInterface", 10, kIana, unsigned32, identifier, Units::none, kNever, anywhere, kCompact,
     from<[](View v) { return interface_if(v, kHookIngress); }>,
     "where packets from source to destination came in; 0: seen on their way out only"},
    {"egressInterface", 14, kIana, unsigned32, identifier, Units::none, kNever, anywhere, kCompact,
     from<[](View v) { return interface_if(v, kHookEgress); }>,
     "where packets from source to destination left; 0: seen on their way in only"},
    {"flowDirection", 61, kIana, unsigned8, identifier, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return flow_direction(v); }>, "0 ingress, 1 egress, of packets from source to destination"},
    {"flowEndReason", 136, kIana, unsigned8, identifier, Units::none, kNever, anywhere, kCompact,
     from<[](View v) { return ipfix_end_reason(v.record.end_reason); }>,
     "1 idle timeout, 2 active timeout, 3 end of Flow detected, 4 forced end, 5 lack of resources"},
    {"biflowDirection", 239, kIana, unsigned8, identifier, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return static_cast<std::uint8_t>(v.turned ? 2 : 1); }>,
     "1: the source is the initiator, 2: the destination is"},
    {"flowLabelIPv6", 31, kIana, unsigned32, identifier, Units::none, kNever, ipv6, kFull,
     from<[](View v) { return v.record.flow_label; }>, "of the flow's first packet"},
    {"flowId", 148, kIana, unsigned64, identifier, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return v.record.flow_id; }>, "the flow, unique to one flow table"},
    {"observationPointId", 138, kIana, unsigned64, identifier, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return std::uint64_t{v.record.link}; }>,
     "the interface: its index, plus 2^24 times the number of its network namespace"},
    {"mplsTopLabelStackSection", 70, kIana, octet_array, none, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return mpls_top(v); }>, "label, traffic class (0) and bottom of stack; 0 for none"},
    {"mplsLabelStackDepth", 202, kIana, unsigned32, quantity, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return std::uint32_t{v.record.mpls_count}; }>, "number of MPLS labels"},
    {"layer2SegmentId", 351, kIana, unsigned64, identifier, Units::none, kNever, tunnel, kStandard,
     from<[](View v) { return segment_id(v); }>,
     "first octet 1 VXLAN, 2 NVGRE, 0 others; then the VNI, VSID or GRE key"},
    // Under the private enterprise number. None has the number of an element with a reverse form: nfacctd counts
    // the elements of one number in a template, whoever defined them, and takes the second for a repetition.
    {"rheoCommunityId", 21, kOwn, string, none, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return community_id_of(v); }>, "Community ID version 1"},
    {"rheoFlowSequence", 3, kOwn, unsigned32, identifier, Units::none, kNever, anywhere, kStandard,
     from<[](View v) { return v.record.sequence; }>,
     "number of the record within its flow, from 0; with flowId it identifies the record"},
    {"rheoFlowFirstMilliseconds", 4, kOwn, date_time_milliseconds, none, Units::milliseconds, kNever, anywhere, kFull,
     from<[](View v) { return milliseconds(v.record.flow_start_ns); }>, "the flow's first packet"},
    {"rheoFlowEndedBy", 22, kOwn, unsigned8, identifier, Units::none, kNever, tcp, kFull,
     from<[](View v) { return ended_by(v); }>, "with flowEndReason 3: 1 FIN, 2 RST; else 0"},
    {"rheoTcpState", 23, kOwn, unsigned8, identifier, Units::none, kNever, tcp, kFull,
     from<[](View v) { return static_cast<std::uint8_t>(v.record.tcp_state); }>,
     "1 closed, 2 listen, 3 syn_sent, 4 syn_received, 5 established, 6 fin_wait_1, 7 fin_wait_2, 8 close_wait, "
     "9 closing, 10 last_ack, 11 time_wait"},
    {"rheoInitiatorBy", 7, kOwn, unsigned8, identifier, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return static_cast<std::uint8_t>(v.record.initiator_by); }>,
     "how the source was found: 0 handshake, 1 listener, 2 port, 3 first packet"},
    {"rheoTcpFlags", 8, kOwn, unsigned16, flags, Units::none, kInFront, tcp, kFull,
     from<[](View v) { return static_cast<std::uint16_t>(v.counted.tcp_flags & kWireTcpFlags); }>,
     "all nine TCP flags seen since the flow's previous record; AE is bit 8"},
    {"rheoObserved", 9, kOwn, unsigned8, flags, Units::none, kInFront, anywhere, kFull,
     from<[](View v) { return v.counted.hooks; }>, "hooks that counted packets: 1 ingress, 2 egress"},
    {"rheoMarks", 10, kOwn, unsigned8, flags, Units::none, kInFront, anywhere, kFull,
     from<[](View v) { return v.counted.marks; }>, "1 fragment, 2 truncated, 4 wireguard, 8 undecoded"},
    {"rheoIcmpIdentifier", 11, kOwn, unsigned16, identifier, Units::none, kNever, icmp, kFull,
     from<[](View v) { return host_order(v.record.icmp_id_be); }>, "of an echo or similar query, else 0"},
    {"rheoNetworkNamespace", 12, kOwn, unsigned8, identifier, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return static_cast<std::uint8_t>(v.record.link >> 24U); }>,
     "number of the interface's network namespace; 0: rheod's own"},
    {"rheoTunnelType", 13, kOwn, unsigned8, identifier, Units::none, kNever, tunnel, kStandard,
     from<[](View v) { return static_cast<std::uint8_t>(v.record.tunnel); }>,
     "1 vxlan, 2 geneve, 3 gre, 4 nvgre, 5 ipip, 6 6in4, 7 4in6, 8 6in6"},
    {"rheoTunnelSourceIPv4Address", 14, kOwn, ipv4_address, none, Units::none, kNever, over_ipv4, kStandard,
     from<[](View v) { return ipv4_of(outer_source(v)); }>, "tunnel end point on the source's side"},
    {"rheoTunnelDestinationIPv4Address", 15, kOwn, ipv4_address, none, Units::none, kNever, over_ipv4, kStandard,
     from<[](View v) { return ipv4_of(outer_destination(v)); }>, "tunnel end point on the destination's side"},
    {"rheoTunnelSourceIPv6Address", 16, kOwn, ipv6_address, none, Units::none, kNever, over_ipv6, kStandard,
     from<[](View v) { return outer_source(v); }>, "tunnel end point on the source's side"},
    {"rheoTunnelDestinationIPv6Address", 17, kOwn, ipv6_address, none, Units::none, kNever, over_ipv6, kStandard,
     from<[](View v) { return outer_destination(v); }>, "tunnel end point on the destination's side"},
    {"rheoTunnelSourcePort", 18, kOwn, unsigned16, identifier, Units::none, kNever, tunnel, kFull,
     from<[](View v) {
       return host_order(v.turned ? v.record.outer_destination_port_be : v.record.outer_source_port_be);
     }>, "the end point's port, 0 for tunnels without"},
    {"rheoTunnelDestinationPort", 19, kOwn, unsigned16, identifier, Units::none, kNever, tunnel, kFull,
     from<[](View v) {
       return host_order(v.turned ? v.record.outer_source_port_be : v.record.outer_destination_port_be);
     }>, "the end point's port, 0 for tunnels without"},
    {"rheoTunnelProtocol", 20, kOwn, unsigned8, identifier, Units::none, kNever, tunnel, kFull,
     from<[](View v) { return v.record.outer_protocol; }>, "IP protocol number of the outer packet"},
    {"rheoHostDirection", 24, kOwn, unsigned8, identifier, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return host_direction(v); }>,
     "1 local, 2 egress, 3 ingress, 4 forwarded, by whose addresses are this host's; 0: not known"},
    {"rheoSourceClass", 25, kOwn, unsigned16, identifier, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return class_of(v, source(v)); }>,
     "1 external, 2 internal, 3 localhost, 4 dns, 5 docker, 6 k8sPod, 7 k8sSvc; from 8 on the settings' own; 0: not "
     "known"},
    {"rheoDestinationClass", 26, kOwn, unsigned16, identifier, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return class_of(v, destination(v)); }>, "likewise"},
    {"rheoSourceAbnormal", 27, kOwn, unsigned8, identifier, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return listed(v, source(v)); }>, "1 black, 2 white: the list that it is on; else 0"},
    {"rheoDestinationAbnormal", 28, kOwn, unsigned8, identifier, Units::none, kNever, anywhere, kFull,
     from<[](View v) { return listed(v, destination(v)); }>, "1 black, 2 white: the list that it is on; else 0"},
    // Whose the sockets are
    {"rheoSourceProcessId", 29, kOwn, unsigned32, identifier, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return process_id(source_owner(v)); }>,
     "the process whose socket the source's is, its number in rheod's pid namespace; 0: not known"},
    {"rheoDestinationProcessId", 30, kOwn, unsigned32, identifier, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return process_id(destination_owner(v)); }>,
     "the process whose socket the destination's is, its number in rheod's pid namespace; 0: not known"},
    {"rheoSourceProcessName", 31, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<16>(source_owner(v), &Owner::name); }>,
     "its name"},
    {"rheoDestinationProcessName", 33, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<16>(destination_owner(v), &Owner::name); }>,
     "likewise"},
    {"rheoSourceExecutable", 34, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<64>(source_owner(v), &Owner::executable); }>,
     "the path of the file that it runs, the first 64 octets"},
    {"rheoDestinationExecutable", 35, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<64>(destination_owner(v), &Owner::executable); }>,
     "likewise"},
    {"rheoSourceUser", 36, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<32>(source_owner(v), &Owner::user); }>,
     "its user: the name, or the number"},
    {"rheoDestinationUser", 37, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<32>(destination_owner(v), &Owner::user); }>,
     "likewise"},
    {"rheoSourceUnit", 38, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_unit<64>(source_owner(v)); }>,
     "its systemd unit; of a process of a user's own systemd, that one's"},
    {"rheoDestinationUnit", 39, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_unit<64>(destination_owner(v)); }>,
     "likewise"},
    {"rheoSourceContainerId", 40, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<64>(source_owner(v), &Owner::container_id); }>,
     "its container: 64 hexadecimal digits, or the name of an LXC or nspawn one"},
    {"rheoDestinationContainerId", 41, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<64>(destination_owner(v), &Owner::container_id); }>,
     "likewise"},
    {"rheoSourceContainerName", 42, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<64>(source_owner(v), &Owner::container_name); }>,
     "what its user calls the container, where the settings ask for it"},
    {"rheoDestinationContainerName", 43, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<64>(destination_owner(v), &Owner::container_name); }>,
     "likewise"},
    {"rheoSourceContainerImage", 44, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<96>(source_owner(v), &Owner::container_image); }>,
     "the image that the container was made of, likewise; the first 96 octets"},
    {"rheoDestinationContainerImage", 45, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<96>(destination_owner(v), &Owner::container_image); }>,
     "likewise"},
    {"rheoSourceCommandLine", 46, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<128>(source_owner(v), &Owner::command_line); }>,
     "how the process was called, where the settings ask for it; the first 128 octets"},
    {"rheoDestinationCommandLine", 47, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return owner_text<128>(destination_owner(v), &Owner::command_line); }>,
     "likewise"},
    // The names of classes
    {"rheoSourceClassName", 48, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return class_name(v, source(v)); }>,
     "the name of the source's class, the first 32 octets"},
    {"rheoDestinationClassName", 49, kOwn, string, none, Units::none, kNever, anywhere, kAdded,
     from<[](View v) { return class_name(v, destination(v)); }>,
     "likewise"},
    // What TCP sockets say
    {"rheoTcpRoundTripMicroseconds", 50, kOwn, unsigned32, quantity, Units::microseconds, kInFront, tcp, kAdded,
     from<[](View v) { return v.counted.tcp.srtt_us; }>,
     "smoothed round-trip time of the socket that sends, when it last sent; 0: not known"},
    {"rheoTcpLeastRoundTripMicroseconds", 51, kOwn, unsigned32, quantity, Units::microseconds, kInFront, tcp, kAdded,
     from<[](View v) { return v.counted.tcp.min_rtt_us; }>,
     "the least that it measured; 0: not known"},
    {"rheoTcpRetransmits", 52, kOwn, unsigned32, total_counter, Units::packets, kInFront, tcp, kAdded,
     from<[](View v) { return v.counted.tcp.retransmits; }>,
     "segments that it has sent again since the connection began"},
    {"rheoTcpCongestionWindow", 53, kOwn, unsigned32, quantity, Units::packets, kInFront, tcp, kAdded,
     from<[](View v) { return v.counted.tcp.congestion_window; }>,
     "its congestion window when it last sent, in segments; 0: no socket of this host sends"},
    {"rheoTcpSynAckMicroseconds", 54, kOwn, unsigned32, quantity, Units::microseconds, kNever, tcp, kAdded,
     from<[](View v) { return microseconds(v.record.handshake.syn_ack_ns); }>,
     "from the flow's first SYN to the SYN and ACK; 0: not seen"},
    {"rheoTcpAckMicroseconds", 55, kOwn, unsigned32, quantity, Units::microseconds, kNever, tcp, kAdded,
     from<[](View v) { return microseconds(v.record.handshake.ack_ns); }>,
     "from that to the ACK that ended the handshake; 0: not seen"},
    {"rheoTcpConnectDeltaCount", 56, kOwn, unsigned8, delta_counter, Units::none, kNever, tcp, kAdded,
     from<[](View v) { return tcp_event(v, kTcpConnect); }>,
     "connections to which the responder agreed since the flow's previous record"},
    {"rheoTcpAcceptDeltaCount", 57, kOwn, unsigned8, delta_counter, Units::none, kNever, tcp, kAdded,
     from<[](View v) { return tcp_event(v, kTcpAccept); }>,
     "those whose initiator confirmed it"},
    {"rheoTcpCloseDeltaCount", 58, kOwn, unsigned8, delta_counter, Units::none, kNever, tcp, kAdded,
     from<[](View v) { return tcp_event(v, kTcpClose); }>,
     "those that both sides ended, or one reset"},
    {"rheoTcpFailedConnectDeltaCount", 59, kOwn, unsigned8, delta_counter, Units::none, kNever, tcp, kAdded,
     from<[](View v) { return tcp_event(v, kTcpFailedConnect); }>,
     "those that were refused, or not answered"},
    // Only in options
    {"rheoLossReason", 1, kOwn, string, none, Units::none, kNever, nullptr, kOptions, octets(32),
     "why packets are in no record, the names of rheod(8)"},
    {"observationDomainId", 149, kIana, unsigned32, identifier, Units::none, kNever, nullptr, kOptions, octets(4),
     "the exporter's observation domain"},
    {"exportedOctetTotalCount", 40, kIana, unsigned64, total_counter, Units::octets, kNever, nullptr, kOptions,
     octets(8), "octets of messages sent"},
    {"exportedMessageTotalCount", 41, kIana, unsigned64, total_counter, Units::messages, kNever, nullptr, kOptions,
     octets(8), "messages sent"},
    {"exportedFlowRecordTotalCount", 42, kIana, unsigned64, total_counter, Units::flows, kNever, nullptr, kOptions,
     octets(8), "flow records sent"},
    {"observedFlowTotalCount", 163, kIana, unsigned64, total_counter, Units::flows, kNever, nullptr, kOptions,
     octets(8), "flows met"},
    {"ignoredPacketTotalCount", 164, kIana, unsigned64, total_counter, Units::packets, kNever, nullptr, kOptions,
     octets(8), "packets in no record: all, or those of one rheoLossReason"},
    {"ignoredOctetTotalCount", 165, kIana, unsigned64, total_counter, Units::octets, kNever, nullptr, kOptions,
     octets(8), "their layer-2 octets"},
    {"notSentFlowTotalCount", 166, kIana, unsigned64, total_counter, Units::flows, kNever, nullptr, kOptions,
     octets(8), "records that this exporter lost"},
    {"notSentPacketTotalCount", 167, kIana, unsigned64, total_counter, Units::packets, kNever, nullptr, kOptions,
     octets(8), "the packets of these records"},
    {"notSentOctetTotalCount", 168, kIana, unsigned64, total_counter, Units::octets, kNever, nullptr, kOptions,
     octets(8), "their layer-3 octets"},
    {"samplingInterval", 34, kIana, unsigned32, quantity, Units::packets, kNever, nullptr, kOptions, octets(4),
     "one packet of so many was counted; the older form"},
    {"interfaceName", 82, kIana, string, none, Units::none, kNever, nullptr, kOptions, octets(16),
     "name of the interface"},
    {"interfaceDescription", 83, kIana, string, none, Units::none, kNever, nullptr, kOptions, octets(32),
     "name and kind: eth0 (physical), lo (loopback), veth0 (veth), blue/eth0 (veth) in the network namespace blue, …"},
    {"selectorId", 302, kIana, unsigned64, identifier, Units::none, kNever, nullptr, kOptions, octets(8),
     "number of the sampler: 1"},
    {"informationElementId", 303, kIana, unsigned16, identifier, Units::none, kNever, nullptr, kOptions, octets(2),
     "number of an element that is described"},
    {"selectorAlgorithm", 304, kIana, unsigned16, identifier, Units::none, kNever, nullptr, kOptions, octets(2),
     "1: systematic count-based sampling"},
    {"samplingPacketInterval", 305, kIana, unsigned32, quantity, Units::packets, kNever, nullptr, kOptions,
     octets(4), "packets counted in a row: 1"},
    {"samplingPacketSpace", 306, kIana, unsigned32, quantity, Units::packets, kNever, nullptr, kOptions, octets(4),
     "packets left out after them; 0: every packet is counted"},
    {"informationElementDataType", 339, kIana, unsigned8, none, Units::none, kNever, nullptr, kOptions, octets(1),
     "type of an element that is described"},
    {"informationElementDescription", 340, kIana, string, none, Units::none, kNever, nullptr, kOptions,
     octets(65'535), "its meaning; of variable length"},
    {"informationElementName", 341, kIana, string, none, Units::none, kNever, nullptr, kOptions, octets(65'535),
     "its name; of variable length"},
    {"informationElementRangeBegin", 342, kIana, unsigned64, quantity, Units::none, kNever, nullptr, kOptions,
     octets(8), "its smallest value; 0: its range is its type's"},
    {"informationElementRangeEnd", 343, kIana, unsigned64, quantity, Units::none, kNever, nullptr, kOptions,
     octets(8), "its largest value; 0: its range is its type's"},
    {"informationElementSemantics", 344, kIana, unsigned8, none, Units::none, kNever, nullptr, kOptions, octets(1),
     "its semantics"},
    {"informationElementUnits", 345, kIana, unsigned16, none, Units::none, kNever, nullptr, kOptions, octets(2),
     "its units"},
    {"privateEnterpriseNumber", 346, kIana, unsigned32, identifier, Units::none, kNever, nullptr, kOptions,
     octets(4), "whose element it is"},
});
// clang-format on

/// "" when every name is one of the table that records may have.
std::string unknown_name(std::string_view list, std::span<const std::string> names) {
  for (const std::string& name : names) {
    const IpfixElement* element = find_ipfix_element(name);
    if (element == nullptr)
      return fmt::format("{}: \"{}\" is no information element; rheo-ipfix(5) lists them", list, name);
    if (element->set == IpfixSet::options_only)
      return fmt::format("{}: \"{}\" stands only in options, not in flow records", list, name);
  }
  return "";
}

bool contains(std::span<const std::string> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

std::span<const IpfixElement> ipfix_elements() { return kElements; }

const IpfixElement* find_ipfix_element(std::string_view name) {
  const auto found = std::ranges::find(kElements, name, &IpfixElement::name);
  return found == kElements.end() ? nullptr : found;
}

std::string reverse_element_name(std::string_view name) {
  std::string text = fmt::format("reverse{}", name);
  char& first = text[7];
  if (first >= 'a' && first <= 'z') first = static_cast<char>(first - 'a' + 'A');
  return text;
}

Result<std::vector<const IpfixElement*>> choose_elements(IpfixProfile profile,
                                                         std::span<const std::string> add,
                                                         std::span<const std::string> remove) {
  if (std::string complaint = unknown_name("add", add); !complaint.empty()) return failure(complaint);
  if (std::string complaint = unknown_name("remove", remove); !complaint.empty()) return failure(complaint);
  std::vector<const IpfixElement*> chosen;
  for (const IpfixElement& element : kElements) {
    if (element.set == IpfixSet::options_only || contains(remove, element.name)) continue;
    if (static_cast<int>(element.set) <= static_cast<int>(profile) || contains(add, element.name))
      chosen.push_back(&element);
  }
  return chosen;
}

}  // namespace rheo
