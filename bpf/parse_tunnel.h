/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/parse_tunnel.h: the part of bpf/parse.h that looks into tunnels, one
 * level deep, and recognises WireGuard. */
#ifndef RHEO_BPF_PARSE_TUNNEL_H
#define RHEO_BPF_PARSE_TUNNEL_H

#include "bpf/parse_transport.h"

#ifdef __cplusplus
namespace rheo::abi
{
#endif

/* What a tunnel's own header says. */
struct tunnel_header {
	__u64 inner;	 /* offset of the inner frame or packet */
	__u32 ethertype; /* of what is inside */
	__u32 id;
	__u8 type; /* enum tunnel_type; TUNNEL_NONE where it could not be read */
};

/* What the parser keeps while it reads one packet. */
struct parse_work {
	struct ip_header ip;
	struct transport_header transport;
	struct flow_context context;
	__u64 transport_offset;
	__u64 zero; /* see struct cursor */
	struct ip_header inner_ip;
	struct transport_header inner_transport;
	struct tunnel_header tunnel;
};

enum {
	VXLAN_HAS_VNI = 0x08,
	GRE_CHECKSUM = 0x8000,
	GRE_KEY = 0x2000,
	GRE_SEQUENCE = 0x1000,
	GRE_UNREADABLE = 0x4007, /* source routes, and versions other than 0 */
};

BPF_INLINE void read_vxlan(const struct cursor *c, __u64 offset, struct tunnel_header *tunnel)
{
	const __u8 *header = bytes_at(c, offset, 8);

	if (!header || !(header[0] & VXLAN_HAS_VNI))
		return;
	tunnel->type = TUNNEL_VXLAN;
	tunnel->id = load_be32(header + 4) >> 8;
	tunnel->ethertype = ETHERTYPE_BRIDGED;
	tunnel->inner = offset + 8;
}

BPF_INLINE void read_geneve(const struct cursor *c, __u64 offset, struct tunnel_header *tunnel)
{
	const __u8 *header = bytes_at(c, offset, 8);

	if (!header || header[0] >> 6)
		return;
	tunnel->type = TUNNEL_GENEVE;
	tunnel->id = load_be32(header + 4) >> 8;
	tunnel->ethertype = load_be16(header + 2);
	tunnel->inner = offset + 8 + (header[0] & 0x3fu) * 4;
}

BPF_INLINE void read_gre(const struct cursor *c, __u64 offset, struct tunnel_header *tunnel)
{
	const __u8 *header = bytes_at(c, offset, 4);
	__u32 flags;

	if (!header)
		return;
	flags = load_be16(header);
	if (flags & GRE_UNREADABLE)
		return;
	tunnel->ethertype = load_be16(header + 2);
	offset += 4;
	if (flags & GRE_CHECKSUM)
		offset += 4;
	if (flags & GRE_KEY) {
		header = bytes_at(c, offset, 4);
		if (!header)
			return;
		tunnel->id = load_be32(header);
		offset += 4;
	}
	if (flags & GRE_SEQUENCE)
		offset += 4;
	tunnel->type = TUNNEL_GRE;
	tunnel->inner = offset;
	/* RFC 7637: bridged frames with a key, of which 24 bits are the subnet and 8 the flow. */
	if (flags & GRE_KEY && tunnel->ethertype == ETHERTYPE_BRIDGED) {
		tunnel->type = TUNNEL_NVGRE;
		tunnel->id >>= 8;
	}
}

BPF_INLINE void read_ipip(__u64 offset, const struct ip_header *outer, struct tunnel_header *tunnel)
{
	const int inner_is_ipv6 = outer->protocol == PROTOCOL_IPV6;

	if (outer->is_ipv6)
		tunnel->type = inner_is_ipv6 ? TUNNEL_6IN6 : TUNNEL_4IN6;
	else
		tunnel->type = inner_is_ipv6 ? TUNNEL_6IN4 : TUNNEL_IPIP;
	tunnel->ethertype = inner_is_ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
	tunnel->inner = offset;
}

/* RFC-less, but fixed: a type from 1 to 4 and three reserved bytes. */
BPF_INLINE int is_wireguard(const struct cursor *c, __u64 offset)
{
	const __u8 *message = bytes_at(c, offset, 4);

	return message && message[0] >= 1 && message[0] <= 4 && !message[1] && !message[2] &&
	       !message[3];
}

/* Reads the packet inside, if there is one, and moves the cursor there. */
BPF_INLINE int parse_inner(struct cursor *c, struct parse_work *work, int is_gso,
			   const volatile struct parse_settings *settings, __u16 *inner_vlan)
{
	__u32 ethertype = work->tunnel.ethertype;
	__u16 first = 0, second = 0;
	int status;

	/* What is inside ends where the outer packet does. */
	c->offset = work->tunnel.inner;
	c->length = work->ip.end;
	if (c->available > c->length)
		c->available = c->length;
	if (c->offset > c->length)
		return DROP_TRUNCATED;
	if (ethertype == ETHERTYPE_BRIDGED) {
		const __u8 *frame = next_bytes(c, ETHERNET_BYTES);

		if (!frame)
			return DROP_TRUNCATED;
		ethertype = load_be16(frame + 12);
		advance(c, ETHERNET_BYTES);
		status = parse_tags(c, &ethertype, &first, &second, 0);
		if (status != PARSE_OK)
			return status;
	}
	if (!version_of(ethertype))
		return DROP_NOT_IP;
	status = parse_ip(c, &work->inner_ip, version_of(ethertype), is_gso);
	if (status != PARSE_OK)
		return status;
	if (!*inner_vlan)
		*inner_vlan = first;
	return parse_transport(c, &work->inner_ip, &work->inner_transport, settings);
}

BPF_INLINE void keep_outer(struct cold_row *cold, const struct ip_header *ip,
			   const struct transport_header *transport)
{
	__u64 *source = (__u64 *)(void *)cold->outer_source;
	__u64 *destination = (__u64 *)(void *)cold->outer_destination;

	source[0] = ip->source[0];
	source[1] = ip->source[1];
	destination[0] = ip->destination[0];
	destination[1] = ip->destination[1];
	cold->outer_source_port = transport->port[0];
	cold->outer_destination_port = transport->port[1];
	cold->outer_protocol = ip->protocol;
}

/* The tunnel's own header. False where the packet is WireGuard's, or on its port. */
BPF_INLINE int read_tunnel(const struct cursor *c, struct parse_work *work,
			   const volatile struct parse_settings *settings)
{
	const __u64 payload = work->transport.payload;
	const __u16 port = FROM_BE16(work->transport.port[1]);
	struct tunnel_header *tunnel = &work->tunnel;

	tunnel->type = TUNNEL_NONE;
	tunnel->id = 0;
	if (work->ip.protocol == PROTOCOL_GRE) {
		read_gre(c, c->offset, tunnel);
	} else if (work->ip.protocol != PROTOCOL_UDP) {
		read_ipip(c->offset, &work->ip, tunnel);
	} else if (is_one_of(settings->vxlan_ports, port)) {
		read_vxlan(c, payload, tunnel);
	} else if (is_one_of(settings->geneve_ports, port)) {
		read_geneve(c, payload, tunnel);
	} else {
		if (is_wireguard(c, payload))
			work->context.marks |= MARK_WIREGUARD;
		return 0;
	}
	return 1;
}

/* The body of parse_tunnel(), the cursor at the transport header. */
BPF_INLINE void decapsulate(struct cursor *c, struct parse_work *work, int is_gso,
			    const volatile struct parse_settings *settings, struct cold_row *cold)
{
	const __u16 outer_inner_vlan = cold->inner_vlan;

	if (!read_tunnel(c, work, settings))
		return;
	if (work->tunnel.type == TUNNEL_NONE ||
	    parse_inner(c, work, is_gso, settings, &cold->inner_vlan) != PARSE_OK) {
		cold->inner_vlan = outer_inner_vlan;
		work->context.marks |= MARK_UNDECODED;
		return;
	}
	keep_outer(cold, &work->ip, &work->transport);
	work->context.tunnel = work->tunnel.type;
	work->context.tunnel_id = work->tunnel.id;
	work->ip = work->inner_ip;
	work->transport = work->inner_transport;
}

#ifdef __cplusplus
}
#endif

#endif
