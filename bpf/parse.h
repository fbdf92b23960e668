/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/parse.h: from a packet's bytes to the key of its flow and its octets.
 *
 * No maps, no helpers, no globals, so that the same file is compiled into the
 * BPF object, the unit tests, the fuzzer and the replay of captures (as C++, in
 * namespace rheo::abi). Any thread.
 *
 * parse_packet() and count_octets() are the interface. At most MAX_HEADER_BYTES
 * of a packet are looked at.
 */
#ifndef RHEO_BPF_PARSE_H
#define RHEO_BPF_PARSE_H

#include "bpf/cursor.h"

#ifdef __cplusplus
namespace rheo::abi
{
#endif

/* What parse_packet() returns: an enum drop_reason, or one of these. */
enum parse_status {
	PARSE_OK = DROP_REASON_COUNT,
	/* MEMORY_PACKET only: not a plain packet, or its headers are not in this
	 * memory. Parse a copy. */
	PARSE_COPY,
};

enum link_layer {
	LINK_ETHERNET,
	LINK_IP, /* data begins at the IP header, or at an MPLS label */
};

/* A packet, as its owner knows it. */
struct parse_input {
	const __u8 *data;
	const __u8 *end; /* MEMORY_PACKET: end of the linear part */
	__u32 available; /* MEMORY_COPY: bytes at data; more than MAX_HEADER_BYTES may be */
	__u32 length;	 /* of the packet, link header included, FCS not */
	__u32 gso_size;	 /* 0 unless the packet stands for several segments */
	__u32 gso_segs;
	__u32 vlan_present; /* 1: there is a tag that is not in data, the outermost; else 0 */
	__u16 vlan_tci;	    /* its */
	__be16 ethertype;   /* LINK_IP: tells MPLS from IP; may be 0 */
	__u8 link_layer;    /* enum link_layer */
};

enum fragment_place {
	FRAGMENT_NONE,
	FRAGMENT_FIRST,
	FRAGMENT_LATER, /* has no ports: they are those of the first with this id */
};

struct parsed_packet {
	union {
		struct flow_key key; /* link is left 0: the caller's */
		__u64 word[6];	     /* the same, for hashing and comparing */
	};
	struct cold_row cold; /* MEMORY_COPY only; else see cold_start() */
	__u32 flow_label;     /* as in cold_row */
	__u32 l3_offset;      /* of the outermost IP header */
	__u32 l3_length;      /* of the outermost IP packet by its header */
	__u32 payload_offset; /* of what follows all headers */
	__u32 fragment_id;    /* host order */
	__u16 tcp_flags;      /* enum flow_flags */
	__u16 icmp;	      /* type in the high byte, code */
	__u8 direction;	      /* index into hot_row.direction */
	__u8 ttl;	      /* of the inner packet in a tunnel, like all below */
	__u8 tos;
	__u8 marks;		/* enum flow_marks */
	__u8 fragment;		/* enum fragment_place */
	__u8 fragment_protocol; /* as the fragment's header has it */
};

/* What a packet counts for. */
struct octets {
	__u32 packets; /* on the wire */
	__u64 l2;
	__u64 l3; /* <= l2 */
};

#ifdef __cplusplus
}
#endif

#include "bpf/parse_network.h"
#include "bpf/parse_transport.h"
#include "bpf/parse_tunnel.h"
#include "bpf/parse_plain.h"

#ifdef __cplusplus
namespace rheo::abi
{
#endif

/* Octets of a packet whose headers were not understood. */
BPF_INLINE __u64 unparsed_octets(const struct parse_input *in)
{
	return (__u64)in->length + (in->vlan_present << 2);
}

/* Octets of a parsed packet. A packet with gso_size stands for segments that
 * each have all its headers, tags in metadata included. */
BPF_INLINE void count_octets(const struct parse_input *in, const struct parsed_packet *packet,
			     struct octets *octets)
{
	const __u32 tag = in->vlan_present << 2;
	__u32 segments = in->gso_segs;

	octets->packets = 1;
	octets->l2 = (__u64)in->length + tag;
	octets->l3 = packet->l3_length;
	if (BPF_LIKELY(!in->gso_size))
		return;

	if (in->gso_size != 0xffff) /* GSO_BY_FRAGS: segments of unequal size, as SCTP's */
		segments = (in->length - packet->payload_offset + in->gso_size - 1) / in->gso_size;
	if (!segments)
		segments = 1;
	octets->packets = segments;
	octets->l2 += (__u64)(segments - 1) * (packet->payload_offset + tag);
	octets->l3 = octets->l2 - (__u64)segments * (packet->l3_offset + tag);
}

/* The three steps of parse_packet() in MEMORY_COPY. A BPF stack has no room for what MEMORY_COPY
 * works with, and a verifier not the patience for all of it at once; so `work`
 * may lie in a map, and each step may be a program of its own. `data` is apart
 * because a pointer that was stored in a map is one no more. */

/* The outer headers, all there are unless it is a tunnel. */
BPF_INLINE int parse_outer(struct parse_work *work, const __u8 *data, const struct parse_input *in,
			   const volatile struct parse_settings *settings,
			   struct parsed_packet *out)
{
	struct cursor c = { data, in->available, 0, in->length, work->zero };
	int status;

	if (c.available > MAX_HEADER_BYTES)
		c.available = MAX_HEADER_BYTES;
	cold_clear(&out->cold);
	work->context.tunnel_id = 0;
	work->context.vlan = 0;
	work->context.tunnel = TUNNEL_NONE;
	work->context.marks = 0;
	work->context.version = 0;

	status = parse_link(&c, in, &work->context, out);
	if (status != PARSE_OK)
		return status;
	out->l3_offset = (__u32)c.offset;
	status = parse_ip(&c, &work->ip, work->context.version, in->gso_size != 0);
	if (status != PARSE_OK)
		return status;
	out->l3_length = work->ip.length;
	work->transport_offset = c.offset;
	return parse_transport(&c, &work->ip, &work->transport, settings);
}

/* Looks into what may be a tunnel (work->transport.may_be_tunnel). Where there
 * is a packet inside, it becomes the packet of the flow; else only a mark is left. */
BPF_INLINE void parse_tunnel(struct parse_work *work, const __u8 *data,
			     const struct parse_input *in,
			     const volatile struct parse_settings *settings,
			     struct parsed_packet *out)
{
	struct cursor c = { data, in->available, work->transport_offset, in->length, work->zero };

	if (c.available > MAX_HEADER_BYTES)
		c.available = MAX_HEADER_BYTES;
	decapsulate(&c, work, in->gso_size != 0, settings, &out->cold);
}

/* Everything in `out` that the headers were read for. */
BPF_INLINE void parse_finish(const struct parse_work *work, const struct parse_input *in,
			     struct parsed_packet *out)
{
	const __u64 payload = work->transport.payload;

	compose(out, &work->ip, &work->transport, &work->context);
	out->payload_offset = payload < in->length ? (__u32)payload : in->length;
}

/* Fills `out`, which needs no initialisation, from a packet. Unless PARSE_OK is
 * returned, `out` is unspecified. */
BPF_INLINE int parse_packet(const struct parse_input *in,
			    const volatile struct parse_settings *settings,
			    struct parsed_packet *out, const int memory)
{
	struct parse_work work;
	int status;

	if (memory == MEMORY_PACKET) {
		switch (plain_version(in)) {
		case 4:
			return parse_plain(in, settings, out, 4);
		case 6:
			return parse_plain(in, settings, out, 6);
		}
		return PARSE_COPY;
	}
	work.zero = 0;
	status = parse_outer(&work, in->data, in, settings, out);
	if (status != PARSE_OK)
		return status;
	if (work.transport.may_be_tunnel)
		parse_tunnel(&work, in->data, in, settings, out);
	parse_finish(&work, in, out);
	return PARSE_OK;
}

#ifdef __cplusplus
}
#endif

#endif
