/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/parse_transport.h: the part of bpf/parse.h that reads transport headers
 * and makes the key of a flow. */
#ifndef RHEO_BPF_PARSE_TRANSPORT_H
#define RHEO_BPF_PARSE_TRANSPORT_H

#include "bpf/parse_network.h"

#ifdef __cplusplus
namespace rheo::abi
{
#endif

enum {
	PROTOCOL_ICMP = 1,
	PROTOCOL_IPV4 = 4,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_DCCP = 33,
	PROTOCOL_IPV6 = 41,
	PROTOCOL_GRE = 47,
	PROTOCOL_ICMPV6 = 58,
	PROTOCOL_SCTP = 132,
	PROTOCOL_UDPLITE = 136,
};

struct transport_header {
	__u64 payload;	/* offset in the packet */
	__be16 port[2]; /* of source and destination; of ICMP as in flow_key */
	__u16 tcp_flags;
	__u16 icmp;
	__u8 marks;
	__u8 is_icmp;
	__u8 is_reply; /* of ICMP, by type */
	__u8 may_be_tunnel;
};

/* A query's type for its reply, any other type as it is. */
BPF_INLINE __u8 icmp_request(__u8 type, int is_ipv6)
{
	if (is_ipv6) {
		switch (type) {
		case 129: /* echo */
		case 131: /* multicast listener */
		case 140: /* node information */
		case 134: /* router */
		case 136: /* neighbour */
			return (__u8)(type - 1);
		}
		return type;
	}
	switch (type) {
	case 0:
		return 8; /* echo */
	case 9:
		return 10; /* router */
	case 14:	   /* timestamp */
	case 16:	   /* information */
	case 18:	   /* address mask */
		return (__u8)(type - 1);
	}
	return type;
}

BPF_INLINE int icmp_has_id(__u8 request, int is_ipv6)
{
	if (is_ipv6)
		return request == 128;
	return request == 8 || request == 13 || request == 15 || request == 17;
}

BPF_INLINE void read_icmp(const __u8 *header, int is_ipv6, struct transport_header *transport)
{
	const __u8 request = icmp_request(header[0], is_ipv6);

	transport->is_icmp = 1;
	transport->is_reply = request != header[0];
	transport->icmp = (__u16)(header[0] << 8 | header[1]);
	transport->port[0] = WORD16(request, header[1]);
	transport->port[1] = icmp_has_id(request, is_ipv6) ? LOAD_AS(__u16, header + 4) : 0;
}

/* The length of a TCP header; writes its enum flow_flags. */
BPF_INLINE __u32 read_tcp(const __u8 *header, __u16 *tcp_flags)
{
	const __u32 word = load_be16(header + 12);
	const __u32 header_bytes = word >> 12 << 2;
	__u32 flags = word & 0x1ff;

	if (BPF_UNLIKELY(flags & FLAG_SYN))
		flags |= flags & FLAG_ACK ? FLAG_SYN_ACK : FLAG_SYN_ONLY;
	*tcp_flags = (__u16)flags;
	return header_bytes < 20 ? 20 : header_bytes;
}

BPF_INLINE int is_one_of(const volatile __u16 *ports, __u16 port)
{
	int i;

#ifdef __bpf__
#pragma unroll
#endif
	for (i = 0; i < MAX_TUNNEL_PORTS; i++) {
		if (ports[i] == port)
			return port != 0;
	}
	return 0;
}

/* tunnel_port_place() of two ports as they are in memory: the source's in the low 6 bits, the
 * destination's in bits 16 to 21. */
BPF_INLINE __u32 tunnel_port_places(__u32 ports)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return ports ^
	       ports >> 10; /* the same bits, the bytes of each port having changed places */
#else
	const __u32 places = tunnel_port_place(ports);

	return places << 16 | places >> 16;
#endif
}

/* May a UDP packet of these ports, as they are in memory, be a tunnel's, or WireGuard's? Its bytes
 * may differ. */
BPF_INLINE int may_be_tunnel(const volatile struct parse_settings *settings, __u32 ports)
{
	const __u64 filter = settings->tunnel_port_filter;
	const __u32 bits = tunnel_port_places(ports);
	const __u16 source = (__u16)(FROM_BE32(ports) >> 16);
	const __u16 destination = (__u16)FROM_BE32(ports);

	if (BPF_LIKELY(!((filter >> (bits & 63) | filter >> (bits >> 16 & 63)) & 1)))
		return 0;
	return is_one_of(settings->vxlan_ports, destination) ||
	       is_one_of(settings->geneve_ports, destination) ||
	       is_one_of(settings->wireguard_ports, destination) ||
	       is_one_of(settings->wireguard_ports, source);
}

/* Length of a transport header that has ports or, for ICMP, type and code; 0 of any other. */
BPF_INLINE __u32 transport_bytes(const struct ip_header *ip)
{
	switch (ip->protocol) {
	case PROTOCOL_TCP:
		return 20;
	case PROTOCOL_UDP:
	case PROTOCOL_UDPLITE:
		return 8;
	case PROTOCOL_SCTP:
	case PROTOCOL_DCCP:
		return 12;
	case PROTOCOL_ICMP:
		return ip->is_ipv6 ? 0 : 8;
	case PROTOCOL_ICMPV6:
		return ip->is_ipv6 ? 8 : 0;
	}
	return 0;
}

BPF_INLINE int carries_ip(const struct ip_header *ip,
			  const volatile struct parse_settings *settings)
{
	if (ip->protocol == PROTOCOL_GRE)
		return settings->decapsulate_gre;
	return (ip->protocol == PROTOCOL_IPV4 || ip->protocol == PROTOCOL_IPV6) &&
	       settings->decapsulate_ipip;
}

/* Reads what is at `header`, `bytes` long. */
BPF_INLINE void read_transport(const struct cursor *c, const struct ip_header *ip,
			       const __u8 *header, __u32 bytes, struct transport_header *transport)
{
	transport->payload = c->offset + bytes;
	if (ip->protocol == PROTOCOL_ICMP || ip->protocol == PROTOCOL_ICMPV6) {
		read_icmp(header, ip->is_ipv6, transport);
		return;
	}
	transport->port[0] = LOAD_AS(__u16, header);
	transport->port[1] = LOAD_AS(__u16, header + 2);
	if (ip->protocol == PROTOCOL_TCP)
		transport->payload = c->offset + read_tcp(header, &transport->tcp_flags);
}

/* Reads the transport header at the cursor. One that is cut short or absent
 * leaves ports of 0 and a mark, never a drop. */
BPF_INLINE int parse_transport(const struct cursor *c, const struct ip_header *ip,
			       struct transport_header *transport,
			       const volatile struct parse_settings *settings)
{
	const __u32 bytes = transport_bytes(ip);
	const __u8 *header;

	transport->payload = c->offset;
	transport->port[0] = transport->port[1] = 0;
	transport->tcp_flags = transport->icmp = 0;
	transport->marks = ip->fragment ? MARK_FRAGMENT : 0;
	transport->is_icmp = transport->is_reply = transport->may_be_tunnel = 0;
	if (!bytes) {
		transport->may_be_tunnel = !ip->fragment && carries_ip(ip, settings);
		return PARSE_OK;
	}
	if (ip->fragment == FRAGMENT_LATER)
		return PARSE_OK;

	header = next_bytes(c, 20);
	if (!header && bytes < 20)
		header = bytes == 8 ? next_bytes(c, 8) : next_bytes(c, 12);
	if (!header || c->offset + bytes > ip->end) {
		if (c->offset + bytes <= ip->end && why_short(c, bytes) == DROP_TOO_DEEP)
			return DROP_TOO_DEEP;
		transport->marks |= MARK_TRUNCATED;
		return PARSE_OK;
	}
	read_transport(c, ip, header, bytes, transport);
	if (ip->protocol == PROTOCOL_UDP && may_be_tunnel(settings, LOAD_AS(__u32, header)))
		transport->may_be_tunnel = !ip->fragment;
	return PARSE_OK;
}

/* -1, 0 or 1: how two addresses compare as byte strings. */
BPF_INLINE int compare_addresses(const __u64 *a, const __u64 *b)
{
	const __u64 a0 = FROM_BE64(a[0]), b0 = FROM_BE64(b[0]);
	const __u64 a1 = FROM_BE64(a[1]), b1 = FROM_BE64(b[1]);

	if (a0 != b0)
		return a0 < b0 ? -1 : 1;
	return a1 == b1 ? 0 : a1 < b1 ? -1 : 1;
}

/* Is this packet's source address[1] of its key? */
BPF_INLINE __u8 direction_of(const struct ip_header *ip, const struct transport_header *transport)
{
	const int order = compare_addresses(ip->source, ip->destination);

	if (BPF_LIKELY(order))
		return order > 0;
	if (transport->is_icmp)
		return transport->is_reply;
	return FROM_BE16(transport->port[0]) > FROM_BE16(transport->port[1]);
}

/* Everything in `out` that is the flow's. The key is stored in whole words: it
 * is read back in words at once, which is slow after narrower stores. */
BPF_INLINE void compose(struct parsed_packet *out, const struct ip_header *ip,
			const struct transport_header *transport,
			const struct flow_context *context)
{
	const __u8 direction = direction_of(ip, transport);
	const __be16 source = transport->port[0], destination = transport->port[1];
	const int swap_ports = direction && !transport->is_icmp;
	const __u8 kind = (__u8)(context->tunnel | (ip->is_ipv6 ? KIND_IPV6 : 0));

	out->word[0] = direction ? ip->destination[0] : ip->source[0];
	out->word[1] = direction ? ip->destination[1] : ip->source[1];
	out->word[2] = direction ? ip->source[0] : ip->destination[0];
	out->word[3] = direction ? ip->source[1] : ip->destination[1];
	out->word[4] = WORD64(
		WORD32(swap_ports ? destination : source, swap_ports ? source : destination), 0);
	out->word[5] =
		WORD64(context->tunnel_id, WORD32(context->vlan, WORD16(ip->protocol, kind)));
	out->flow_label = ip->flow_label;
	out->tcp_flags = transport->tcp_flags;
	out->icmp = transport->icmp;
	out->direction = direction;
	out->ttl = ip->ttl;
	out->tos = ip->tos;
	out->marks = transport->marks | context->marks;
	out->fragment = ip->fragment;
	out->fragment_id = ip->fragment ? ip->fragment_id : 0;
	out->fragment_protocol = ip->fragment ? ip->fragment_protocol : 0;
}

#ifdef __cplusplus
}
#endif

#endif
