/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/parse_plain.h: the part of bpf/parse.h that reads the packets most are:
 * TCP and UDP in IPv4 without options or in IPv6 without extension headers,
 * neither fragments nor tunnels nor with tags in their data. All others are
 * PARSE_COPY's.
 *
 * It reads the packet's own memory, in few and wide loads. Which end of a flow a
 * packet comes from is computed, not branched on: no processor could foresee it.
 */
#ifndef RHEO_BPF_PARSE_PLAIN_H
#define RHEO_BPF_PARSE_PLAIN_H

#include "bpf/parse_transport.h"

#ifdef __cplusplus
namespace rheo::abi
{
#endif

enum {
	IPV4_PLAIN_BYTES = 20,
	IPV6_BYTES = 40,
	TCP_BYTES = 20,
	UDP_BYTES = 8,
};

/* Keeps the compiler from knowing a value, and so from branching on it. */
#define KEEP_UNKNOWN(variable) __asm__ volatile("" : "+r"(variable))

/* 1 where a < b, without a branch. */
BPF_INLINE __u64 is_less(__u64 a, __u64 b)
{
	__u64 borrow = (~a & b) | ((~a | b) & (a - b));

	KEEP_UNKNOWN(borrow);
	return borrow >> 63;
}

/* The IP version of a packet that may be plain, 0 of any other. Its IP header is
 * at plain_offset(), and there are as many bytes in memory as it and UDP's have. */
BPF_INLINE int plain_version(const struct parse_input *in)
{
	const __u8 *header = in->data;
	__u32 ethertype;

	if (in->link_layer == LINK_ETHERNET) {
		if (header + ETHERNET_BYTES + IPV4_PLAIN_BYTES + UDP_BYTES > in->end)
			return 0;
		ethertype = LOAD_AS(__u16, header + 12);
		if (BPF_LIKELY(ethertype == FROM_BE16(ETHERTYPE_IPV4)))
			return 4;
		header += ETHERNET_BYTES;
		return ethertype == FROM_BE16(ETHERTYPE_IPV6) &&
				       header + IPV6_BYTES + UDP_BYTES <= in->end
			       ? 6
			       : 0;
	}
	ethertype = FROM_BE16(in->ethertype);
	if (ethertype == ETHERTYPE_MPLS || ethertype == ETHERTYPE_MPLS_MULTICAST ||
	    header + IPV4_PLAIN_BYTES + UDP_BYTES > in->end)
		return 0;
	if (header[0] >> 4 == 4)
		return 4;
	return header[0] >> 4 == 6 && header + IPV6_BYTES + UDP_BYTES <= in->end ? 6 : 0;
}

/* Puts the end with the lower address and port first. `ports` as in memory. */
BPF_INLINE __u32 sort_ipv4(struct parsed_packet *out, const __u8 *addresses, __u32 ports)
{
	__u64 pair = LOAD_AS(__u64, addresses);
	const __u64 numbers = FROM_BE64(pair);
	const __u32 port = FROM_BE32(ports);
	/* Its sign is that of the comparison: ports differ by less than addresses count for here.
	 */
	__u64 difference = (((__u32)numbers - (numbers >> 32)) << 16) + (__u16)port - (port >> 16);
	__u32 turn;

	KEEP_UNKNOWN(difference);
	out->direction = (__u8)(difference >> 63);
	turn = out->direction * 32u;
	pair = pair << turn | pair >> (-turn & 63);
	out->word[0] = out->word[2] = 0;
	out->word[1] = WORD64(WORD32(0, 0xffff), LOWER32(pair));
	out->word[3] = WORD64(WORD32(0, 0xffff), UPPER32(pair));
	turn >>= 1;
	return ports << turn | ports >> (-turn & 31);
}

BPF_INLINE __u32 sort_ipv6(struct parsed_packet *out, const __u8 *addresses, __u32 ports)
{
	const __u64 source0 = LOAD_AS(__u64, addresses), source1 = LOAD_AS(__u64, addresses + 8);
	const __u64 destination0 = LOAD_AS(__u64, addresses + 16);
	const __u64 destination1 = LOAD_AS(__u64, addresses + 24);
	__u64 of_source = FROM_BE64(source0), of_destination = FROM_BE64(destination0);
	__u64 swap;
	__u32 turn;

	if (of_source == of_destination) {
		of_source = FROM_BE64(source1);
		of_destination = FROM_BE64(destination1);
		if (BPF_UNLIKELY(of_source == of_destination)) {
			of_source = FROM_BE32(ports) >> 16;
			of_destination = FROM_BE32(ports) & 0xffff;
		}
	}
	swap = is_less(of_destination, of_source);
	out->direction = (__u8)swap;
	turn = (__u32)swap * 16;
	swap = -swap;
	out->word[0] = source0 ^ ((source0 ^ destination0) & swap);
	out->word[1] = source1 ^ ((source1 ^ destination1) & swap);
	out->word[2] = destination0 ^ ((source0 ^ destination0) & swap);
	out->word[3] = destination1 ^ ((source1 ^ destination1) & swap);
	return ports << turn | ports >> (-turn & 31);
}

/* What is not the same for all packets in an IP header but its addresses. */
struct plain_ip {
	__u32 bytes;  /* of the header */
	__u32 length; /* header included */
	__u32 protocol;
};

BPF_INLINE int read_plain_ipv4(const __u8 *header, struct plain_ip *ip, struct parsed_packet *out)
{
	const __u32 start = load_be32(header), middle = load_be32(header + 8);

	if (start >> 24 != 0x45 || load_be16(header + 6) & 0x3fff)
		return 0;
	ip->bytes = IPV4_PLAIN_BYTES;
	ip->length = start & 0xffff;
	ip->protocol = middle >> 16 & 0xff;
	out->tos = (__u8)(start >> 16);
	out->ttl = (__u8)(middle >> 24);
	out->flow_label = 0;
	return 1;
}

BPF_INLINE int read_plain_ipv6(const __u8 *header, struct plain_ip *ip, struct parsed_packet *out)
{
	const __u32 start = load_be32(header), next = load_be32(header + 4);

	if (start >> 28 != 6 || !(next >> 16)) /* a length of 0 is a jumbogram's */
		return 0;
	ip->bytes = IPV6_BYTES;
	ip->length = (next >> 16) + IPV6_BYTES;
	ip->protocol = next >> 8 & 0xff;
	out->tos = (__u8)(start >> 20);
	out->ttl = (__u8)next;
	out->flow_label = start & 0xfffff;
	return 1;
}

/* Fills `out` from a packet of which plain_version() is `version`. PARSE_OK or PARSE_COPY. */
BPF_INLINE int parse_plain(const struct parse_input *in,
			   const volatile struct parse_settings *settings,
			   struct parsed_packet *out, const int version)
{
	const __u32 offset = in->link_layer == LINK_ETHERNET ? ETHERNET_BYTES : 0;
	const __u8 *header = in->data + offset, *transport;
	__u32 bytes = UDP_BYTES, payload = UDP_BYTES, ports;
	struct plain_ip ip;

	if (!(version == 4 ? read_plain_ipv4(header, &ip, out) : read_plain_ipv6(header, &ip, out)))
		return PARSE_COPY;
	transport = header + ip.bytes;
	ports = LOAD_AS(__u32, transport);
	out->tcp_flags = out->icmp = 0;
	if (ip.protocol == PROTOCOL_TCP) {
		if (transport + TCP_BYTES > in->end)
			return PARSE_COPY;
		payload = read_tcp(transport, &out->tcp_flags);
		if (BPF_UNLIKELY(payload + ip.bytes + offset > in->length))
			return PARSE_COPY;
		bytes = TCP_BYTES;
	} else if (ip.protocol != PROTOCOL_UDP || may_be_tunnel(settings, ports)) {
		return PARSE_COPY;
	}
	if (ip.length < ip.bytes + bytes || (__u64)ip.length + offset > in->length)
		return PARSE_COPY;

	ports = version == 4 ? sort_ipv4(out, header + 12, ports)
			     : sort_ipv6(out, header + 8, ports);
	out->word[4] = WORD64(ports, 0);
	out->word[5] = WORD64(0, WORD32(in->vlan_present ? in->vlan_tci & 0xfff : 0,
					WORD16(ip.protocol, version == 4 ? 0 : KIND_IPV6)));
	out->l3_offset = offset;
	out->l3_length = ip.length;
	out->payload_offset = offset + ip.bytes + payload;
	out->marks = 0;
	out->fragment = FRAGMENT_NONE;
	out->fragment_id = 0;
	out->fragment_protocol = 0;
	return PARSE_OK;
}

#ifdef __cplusplus
}
#endif

#endif
