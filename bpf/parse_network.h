/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/parse_network.h: the part of bpf/parse.h that reads link and IP headers. */
#ifndef RHEO_BPF_PARSE_NETWORK_H
#define RHEO_BPF_PARSE_NETWORK_H

#include "bpf/parse.h"

#ifdef __cplusplus
namespace rheo::abi
{
#endif

enum {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_VLAN = 0x8100,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_MPLS = 0x8847,
	ETHERTYPE_MPLS_MULTICAST = 0x8848,
	ETHERTYPE_SERVICE_VLAN = 0x88a8,
	ETHERTYPE_BRIDGED = 0x6558, /* transparent Ethernet bridging */

	ETHERNET_BYTES = 14,
	MAX_VLAN_TAGS = 2,
	MAX_MPLS_LABELS = 4,
	MAX_EXTENSION_HEADERS = 8,

	IPV6_HOP_BY_HOP = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_AUTHENTICATION = 51,
	IPV6_DESTINATION = 60,
};

/* An IP header, or an inner one in a tunnel. */
struct ip_header {
	__u64 source[2]; /* as key words: two halves of flow_key.address */
	__u64 destination[2];
	__u64 end;    /* offset in the packet where this IP packet ends */
	__u32 length; /* header included */
	__u32 flow_label;
	__u32 fragment_id; /* set if fragment is */
	__u8 is_ipv6;
	__u8 protocol; /* after extension headers */
	__u8 ttl;
	__u8 tos;
	__u8 fragment; /* enum fragment_place */
	__u8 fragment_protocol;
};

/* What surrounds the IP packet that is the flow. */
struct flow_context {
	__u32 tunnel_id;
	__u16 vlan;
	__u8 tunnel; /* enum tunnel_type */
	__u8 marks;
	__u8 version; /* of IP, as the layer below has it; 0 where it does not tell */
};

BPF_INLINE __u8 version_of(__u32 ethertype)
{
	return ethertype == ETHERTYPE_IPV4 ? 4 : ethertype == ETHERTYPE_IPV6 ? 6 : 0;
}

BPF_INLINE void cold_clear(struct cold_row *cold)
{
	__u64 *word = (__u64 *)(void *)cold;

	word[0] = word[1] = word[2] = word[3] = 0;
	word[4] = word[5] = word[6] = word[7] = 0;
}

/* Why bytes were not in memory, for a packet that needs them. */
BPF_INLINE int why_short(const struct cursor *c, __u64 size)
{
	if (c->offset + size > c->length || c->available < MAX_HEADER_BYTES)
		return DROP_TRUNCATED;
	return DROP_TOO_DEEP;
}

/* Follows VLAN tags; `count` of them were met before. */
BPF_INLINE int parse_tags(struct cursor *c, __u32 *ethertype, __u16 *vlan, __u16 *inner_vlan,
			  int count)
{
	int i;

	BPF_UNROLLED
	for (i = 0; i <= MAX_VLAN_TAGS; i++) {
		const __u8 *tag;
		__u16 id;

		if (*ethertype != ETHERTYPE_VLAN && *ethertype != ETHERTYPE_SERVICE_VLAN)
			return PARSE_OK;
		if (count >= MAX_VLAN_TAGS)
			return DROP_TOO_DEEP;
		tag = next_bytes(c, 4);
		if (!tag)
			return why_short(c, 4);
		id = load_be16(tag) & 0xfff;
		if (count++ == 0)
			*vlan = id;
		else
			*inner_vlan = id;
		*ethertype = load_be16(tag + 2);
		advance(c, 4);
	}
	return DROP_TOO_DEEP;
}

/* Follows MPLS labels to the IP packet that must be below them. */
BPF_INLINE int parse_labels(struct cursor *c, struct cold_row *cold)
{
	int i;

	BPF_UNROLLED
	for (i = 0; i < MAX_MPLS_LABELS; i++) {
		const __u8 *bytes = next_bytes(c, 4);
		__u32 entry;

		if (!bytes)
			return why_short(c, 4);
		entry = load_be32(bytes);
		advance(c, 4);
		cold->mpls_count = (__u8)(i + 1);
		if (i == 0) {
			cold->mpls_top_high = (__u16)(entry >> 16);
			cold->mpls_top_low = (__u8)(entry >> 12 & 0xf);
		}
		if (entry & 0x100)
			return PARSE_OK;
	}
	return DROP_TOO_DEEP;
}

BPF_INLINE void copy_macs(struct cold_row *cold, const __u8 *frame)
{
	__u32 *to = (__u32 *)(void *)cold;
	const __u16 d0 = LOAD_AS(__u16, frame), d1 = LOAD_AS(__u16, frame + 2),
		    d2 = LOAD_AS(__u16, frame + 4);
	const __u16 s0 = LOAD_AS(__u16, frame + 6), s1 = LOAD_AS(__u16, frame + 8);
	const __u16 s2 = LOAD_AS(__u16, frame + 10);

	to[0] = WORD32(s0, s1);
	to[1] = WORD32(s2, d0);
	to[2] = WORD32(d1, d2);
}

/* Moves the cursor to the outermost IP header. Only its version is checked. */
BPF_INLINE int parse_link(struct cursor *c, const struct parse_input *in,
			  struct flow_context *context, struct parsed_packet *out)
{
	__u32 ethertype = FROM_BE16(in->ethertype);
	int status, count = 0;

	if (in->vlan_present) {
		context->vlan = in->vlan_tci & 0xfff;
		count = 1;
	}
	if (in->link_layer == LINK_ETHERNET) {
		const __u8 *frame = next_bytes(c, ETHERNET_BYTES);

		if (!frame)
			return why_short(c, ETHERNET_BYTES);
		ethertype = load_be16(frame + 12);
		advance(c, ETHERNET_BYTES);
		copy_macs(&out->cold, frame);
	} else if (ethertype != ETHERTYPE_MPLS && ethertype != ETHERTYPE_MPLS_MULTICAST) {
		context->version = 0;
		return PARSE_OK;
	}
	status = parse_tags(c, &ethertype, &context->vlan, &out->cold.inner_vlan, count);
	if (status != PARSE_OK)
		return status;
	if (ethertype == ETHERTYPE_MPLS || ethertype == ETHERTYPE_MPLS_MULTICAST)
		return parse_labels(c, &out->cold);
	context->version = version_of(ethertype);
	if (!context->version)
		return DROP_NOT_IP;
	return PARSE_OK;
}

/* What the header says the IP packet's length is, made to agree with the packet. */
BPF_INLINE int bound_ip(const struct cursor *c, struct ip_header *ip, __u32 length, int unknown,
			int is_gso)
{
	const __u64 rest = c->length - c->offset;

	if (unknown || (length > rest && is_gso))
		length = (__u32)rest;
	if (length > rest)
		return DROP_TRUNCATED;
	ip->length = length;
	ip->end = c->offset + length;
	return PARSE_OK;
}

BPF_INLINE int parse_ipv4(struct cursor *c, struct ip_header *ip, const __u8 *header, int is_gso)
{
	const __u32 header_bytes = (header[0] & 15u) * 4;
	const __u32 length = load_be16(header + 2);
	const __u32 fragment = load_be16(header + 6) & 0x3fff;
	/* A packet too large for the field has 0 in it (BIG TCP). */
	const int unknown = !length && (is_gso || c->length > 0xffff);
	int status;

	if (header_bytes < 20 || (length < header_bytes && !unknown))
		return DROP_MALFORMED;
	status = bound_ip(c, ip, length, unknown, is_gso);
	if (status != PARSE_OK)
		return status;
	if (c->offset + header_bytes > c->available)
		return why_short(c, header_bytes);

	ip->is_ipv6 = 0;
	ip->tos = header[1];
	ip->ttl = header[8];
	ip->protocol = header[9];
	ip->flow_label = 0;
	ip->source[0] = ip->destination[0] = 0;
	ip->source[1] = WORD64(WORD32(0, 0xffff), LOAD_AS(__u32, header + 12));
	ip->destination[1] = WORD64(WORD32(0, 0xffff), LOAD_AS(__u32, header + 16));
	ip->fragment = FRAGMENT_NONE;
	if (fragment) {
		ip->fragment = fragment & 0x1fff ? FRAGMENT_LATER : FRAGMENT_FIRST;
		ip->fragment_id = load_be16(header + 4);
		ip->fragment_protocol = ip->protocol;
	}
	advance(c, header_bytes);
	return PARSE_OK;
}

/* Follows extension headers up to the first one that is a protocol of its own. */
BPF_INLINE int parse_extensions(struct cursor *c, struct ip_header *ip)
{
	int i;

	BPF_UNROLLED
	for (i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
		const __u8 protocol = ip->protocol;
		const __u8 *header;

		if (protocol != IPV6_HOP_BY_HOP && protocol != IPV6_ROUTING &&
		    protocol != IPV6_FRAGMENT && protocol != IPV6_DESTINATION &&
		    protocol != IPV6_AUTHENTICATION)
			return PARSE_OK;
		if (i == MAX_EXTENSION_HEADERS)
			break;
		header = next_bytes(c, 8);
		if (!header)
			return why_short(c, 8);
		ip->protocol = header[0];
		if (protocol == IPV6_FRAGMENT) {
			const __u32 place = load_be16(header + 2) & 0xfff9u;

			advance(c, 8);
			if (!place)
				continue; /* an atomic fragment is a whole packet */
			ip->fragment = place & 0xfff8 ? FRAGMENT_LATER : FRAGMENT_FIRST;
			ip->fragment_id = load_be32(header + 4);
			ip->fragment_protocol = header[0];
			if (ip->fragment == FRAGMENT_LATER)
				return PARSE_OK;
		} else if (protocol == IPV6_AUTHENTICATION) {
			advance(c, (header[1] + 2u) * 4);
		} else {
			advance(c, (header[1] + 1u) * 8);
		}
	}
	return DROP_TOO_DEEP;
}

BPF_INLINE int parse_ipv6(struct cursor *c, struct ip_header *ip, const __u8 *header, int is_gso)
{
	const __u32 first = load_be32(header);
	const __u32 length = load_be16(header + 4);
	const int unknown =
		!length && (is_gso || c->length > 0xffff || header[6] == IPV6_HOP_BY_HOP);
	int status;

	status = bound_ip(c, ip, length + 40, unknown, is_gso);
	if (status != PARSE_OK)
		return status;
	ip->is_ipv6 = 1;
	ip->tos = (__u8)(first >> 20);
	ip->flow_label = first & 0xfffff;
	ip->protocol = header[6];
	ip->ttl = header[7];
	ip->source[0] = LOAD_AS(__u64, header + 8);
	ip->source[1] = LOAD_AS(__u64, header + 16);
	ip->destination[0] = LOAD_AS(__u64, header + 24);
	ip->destination[1] = LOAD_AS(__u64, header + 32);
	ip->fragment = FRAGMENT_NONE;
	advance(c, 40);
	return parse_extensions(c, ip);
}

/* Reads the IP header at the cursor and moves the cursor behind it and its
 * extensions. `version` is what the layer below says it is, 0 for either. */
BPF_INLINE int parse_ip(struct cursor *c, struct ip_header *ip, __u8 version, int is_gso)
{
	const __u8 *header = next_bytes(c, 1);
	__u32 nibble;

	if (!header)
		return why_short(c, 1);
	nibble = header[0] >> 4;
	if (version ? nibble != version : nibble != 4 && nibble != 6)
		return version ? DROP_MALFORMED : DROP_NOT_IP;
	if (nibble == 4) {
		header = next_bytes(c, 20);
		return header ? parse_ipv4(c, ip, header, is_gso) : why_short(c, 20);
	}
	header = next_bytes(c, 40);
	return header ? parse_ipv6(c, ip, header, is_gso) : why_short(c, 40);
}

#ifdef __cplusplus
}
#endif

#endif
