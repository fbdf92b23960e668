// SPDX-License-Identifier: Apache-2.0
#include "export/flow_fields.h"

namespace rheo {

using enum FieldType;

constinit const std::array<FlowField, kFieldCount> kFlowFields = {{
    // Identity
    {"flow.id", string, "", "the flow: 16 hexadecimal digits, unique to one flow table"},
    {"flow.sequence", integer, "",
     "number of the record within its flow, from 0; with flow.id it identifies the record"},
    {"flow.community_id", string, "", "Community ID version 1, the same in every tool that sees the flow"},
    {"flow.start", time, "", "the flow's first packet"},
    {"start", time, "", "first packet of this record"},
    {"end", time, "", "last packet of this record"},
    {"flow.end_reason", string, "", "why the record ended, see END REASONS"},
    {"flow.end_by", string, "",
     "what ended the flow: fin or rst; only with the reason \"end of Flow detected\""},
    {"flow.connection.state", string, "", "TCP state as the flags of both directions tell it; only TCP"},
    {"flow.initiator_by", string, "", "how the source was found: handshake, listener, port or first_packet"},
    // End points
    {"network.type", string, "", "ipv4 or ipv6"},
    {"network.transport", string, "", "tcp, udp, icmp, icmpv6, sctp, …, or the IP protocol number"},
    {"source.address", string, "", "the initiator's address"},
    {"source.port", integer, "", "the initiator's port; only protocols with ports"},
    {"source.mac", string, "", "the initiator's link-layer address, or its next hop's"},
    {"destination.address", string, "", "the responder's address"},
    {"destination.port", integer, "", "the responder's port; only protocols with ports"},
    {"destination.mac", string, "", "the responder's link-layer address, or its next hop's"},
    // What kind of places these are
    {"network.direction", string, "",
     "egress, ingress, local or forwarded, by whose addresses are this host's"},
    {"source.class", string, "", "class of the initiator's address, see CLASSES"},
    {"source.abnormal", string, "", "black or white: the list of the settings that it is on"},
    {"destination.class", string, "", "class of the responder's address, see CLASSES"},
    {"destination.abnormal", string, "", "black or white: the list of the settings that it is on"},
    // Where it was seen
    {"network.interface.index", integer, "", "index of the network interface"},
    {"network.interface.name", string, "", "its name when the record was written, where it still has one"},
    {"network.interface.netns.id", integer, "",
     "number of the interface's network namespace; absent for rheod's own"},
    {"network.interface.netns.name", string, "",
     "its name in /run/netns when the record was written, where it still had one"},
    {"network.interface.others", strings, "",
     "names of interfaces that saw the same packets, which are not counted again"},
    {"network.vlan.id", integer, "", "VLAN of the outermost tag"},
    {"network.vlan.inner.id", integer, "", "VLAN of the second tag"},
    {"network.mpls.label.id", integer, "", "the top MPLS label"},
    {"network.mpls.depth", integer, "", "number of MPLS labels"},
    // Initiator to responder
    {"flow.bytes.delta", integer, "By",
     "layer-3 octets of the outermost IP packets from source to destination, since the flow's previous "
     "record"},
    {"flow.bytes.total", integer, "By", "the same since the flow's first packet"},
    {"flow.packets.delta", integer, "{packet}",
     "packets from source to destination, since the flow's previous record"},
    {"flow.packets.total", integer, "{packet}", "the same since the flow's first packet"},
    {"flow.layer2.bytes.delta", integer, "By",
     "layer-2 octets from source to destination, without frame check sequence, since the flow's previous "
     "record"},
    {"flow.layer2.bytes.total", integer, "By", "the same since the flow's first packet"},
    {"flow.ip.dscp.id", integer, "", "DSCP of the first packet from source to destination"},
    {"flow.ip.ecn.id", integer, "", "ECN of the first packet from source to destination"},
    {"flow.ip.ttl", integer, "", "TTL or hop limit of the first packet from source to destination"},
    {"flow.tcp.flags.bits", integer, "",
     "TCP flags seen from source to destination since the previous record, as on the wire; AE is bit 8"},
    {"flow.tcp.flags.tags", strings, "", "the same as words: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE"},
    {"flow.icmp.type.id", integer, "", "ICMP type of the first packet from source to destination"},
    {"flow.icmp.code.id", integer, "", "ICMP code of the first packet from source to destination"},
    {"flow.observed", strings, "", "hooks that counted packets from source to destination: ingress, egress"},
    {"flow.marks", strings, "", "what was odd or known of packets from source to destination, see MARKS"},
    {"flow.ip.flow_label", integer, "", "IPv6 flow label of the flow's first packet; absent when 0"},
    {"flow.icmp.id", integer, "",
     "identifier of an echo, timestamp, information or address mask query; absent when 0"},
    // Responder to initiator
    {"flow.reverse.bytes.delta", integer, "By",
     "layer-3 octets of the outermost IP packets from destination to source, since the flow's previous "
     "record"},
    {"flow.reverse.bytes.total", integer, "By", "the same since the flow's first packet"},
    {"flow.reverse.packets.delta", integer, "{packet}",
     "packets from destination to source, since the flow's previous record"},
    {"flow.reverse.packets.total", integer, "{packet}", "the same since the flow's first packet"},
    {"flow.reverse.layer2.bytes.delta", integer, "By",
     "layer-2 octets from destination to source, without frame check sequence, since the flow's previous "
     "record"},
    {"flow.reverse.layer2.bytes.total", integer, "By", "the same since the flow's first packet"},
    {"flow.reverse.ip.dscp.id", integer, "", "DSCP of the first packet from destination to source"},
    {"flow.reverse.ip.ecn.id", integer, "", "ECN of the first packet from destination to source"},
    {"flow.reverse.ip.ttl", integer, "", "TTL or hop limit of the first packet from destination to source"},
    {"flow.reverse.tcp.flags.bits", integer, "",
     "TCP flags seen from destination to source since the previous record, as on the wire; AE is bit 8"},
    {"flow.reverse.tcp.flags.tags", strings, "",
     "the same as words: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE"},
    {"flow.reverse.icmp.type.id", integer, "", "ICMP type of the first packet from destination to source"},
    {"flow.reverse.icmp.code.id", integer, "", "ICMP code of the first packet from destination to source"},
    {"flow.reverse.observed", strings, "",
     "hooks that counted packets from destination to source: ingress, egress"},
    {"flow.reverse.marks", strings, "",
     "what was odd or known of packets from destination to source, see MARKS"},
    // What carried it
    {"tunnel.type", string, "", "vxlan, geneve, gre, nvgre, ipip, 6in4, 4in6 or 6in6"},
    {"tunnel.id", integer, "", "VNI, GRE key or VSID; only tunnels that have one"},
    {"tunnel.network.type", string, "", "ipv4 or ipv6: the outer packet"},
    {"tunnel.network.transport", string, "", "what carried the tunnel: udp, gre, ipip, …"},
    {"tunnel.source.address", string, "", "tunnel end point on the initiator's side"},
    {"tunnel.source.port", integer, "", "its port; only tunnels with ports"},
    {"tunnel.destination.address", string, "", "tunnel end point on the responder's side"},
    {"tunnel.destination.port", integer, "", "its port; only tunnels with ports"},
}};

std::string_view field_type_name(FieldType type) {
  constexpr std::array<std::string_view, 4> names = {"string", "integer", "strings", "time"};
  return names.at(static_cast<std::size_t>(type));
}

}  // namespace rheo
