/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/flow.bpf.c: the programs that meter interfaces, for TCX and clsact alike.
 *
 * One program per direction and kind of link; `_rt` ones are for PREEMPT_RT and
 * are not loaded unless asked for. None changes a packet's fate.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/meter.h"
#include "bpf/fragments.h"

enum {
	VERDICT_NEXT = -1, /* TCX_NEXT, and TC_ACT_UNSPEC for clsact */
};

BPF_INLINE struct scratch *scratch_at(__u32 place)
{
	return bpf_map_lookup_elem(&scratch_places, &place);
}

/* A place for a copy on this CPU, SCRATCH_PLACES where all are in use. */
BPF_INLINE __u32 take_scratch(const __u32 mode)
{
	__u32 place;

	if (!(mode & METER_RT))
		return 0;
	for (place = 0; place < SCRATCH_PLACES; place++) {
		struct scratch *scratch = scratch_at(place);

		if (scratch && !__sync_lock_test_and_set(&scratch->taken, 1))
			break;
	}
	return place;
}

BPF_INLINE void free_scratch(__u32 place, const __u32 mode)
{
	struct scratch *scratch = mode & METER_RT ? scratch_at(place) : 0;

	if (scratch)
		__sync_lock_test_and_set(&scratch->taken, 0);
}

BPF_INLINE void drop_unparsed(struct cpu_counters *counters, const struct parse_input *in,
			      int reason, const __u32 mode)
{
	const __u64 octets = unparsed_octets(in);

	BUMP(counters->seen_packets, 1, mode);
	BUMP(counters->seen_bytes, octets, mode);
	count_drop(counters, reason, 1, octets, mode);
}

/* At most what the parser may look at, and, for verifiers, never nothing. */
BPF_INLINE __u64 copied_bytes(__u64 length)
{
	if (length > MAX_HEADER_BYTES)
		length = MAX_HEADER_BYTES;
	__asm__ volatile("" : "+r"(length)); /* so that what follows stays */
	return ((length - 1) & (MAX_HEADER_BYTES - 1)) + 1;
}

/* Copies as much of the packet as the parser may look at. */
BPF_INLINE __u32 copy_headers(struct scratch *scratch, const struct __sk_buff *skb)
{
	const __u64 bytes = copied_bytes(skb->len);

	return bpf_skb_load_bytes(skb, 0, scratch->header, bytes) ? 0 : bytes;
}

/* Does data begin at the IP header, as it should on a link without a link layer? Before Linux 5.14
 * the packets that a tunnel received began at the outer header, on GRE they still do; and what GRE
 * without a remote sends has an outer header that is not finished. The network header is right on
 * all of them. */
BPF_INLINE int begins_at_network(const struct __sk_buff *skb)
{
	__u64 network[2], data[2];

	if (bpf_skb_load_bytes_relative(skb, 0, network, sizeof(network), BPF_HDR_START_NET) ||
	    bpf_skb_load_bytes(skb, 0, data, sizeof(data)))
		return 1; /* not linear, or too short for either: data is what there is */
	return network[0] == data[0] && network[1] == data[1];
}

/* copy_headers() from the network header. How long the packet is from there, its IP header says. */
BPF_INLINE __u32 copy_network_headers(struct scratch *scratch, const struct __sk_buff *skb)
{
	__u32 length;
	__u64 bytes;

	if (bpf_skb_load_bytes_relative(skb, 0, scratch->header, 8, BPF_HDR_START_NET))
		return 0;
	if (scratch->header[0] >> 4 == 6)
		length = load_be16(scratch->header + 4) + 40;
	else
		length = load_be16(scratch->header + 2);
	if (!length || length > skb->len)
		length = skb->len;
	scratch->in.length = length;
	bytes = copied_bytes(length);
	return bpf_skb_load_bytes_relative(skb, 0, scratch->header, bytes, BPF_HDR_START_NET)
		       ? 0
		       : bytes;
}

/* Packets that the short path does not know are parsed from a copy, in three
 * functions. None is inlined or static, so that each is verified by itself and
 * once; what they share is in scratch_at(place). */

__attribute__((noinline)) int parse_copy(struct __sk_buff *skb, __u32 mode, __u32 place)
{
	struct scratch *scratch = scratch_at(place);

	if (!scratch)
		return DROP_EVICTED_FULL;
	describe_packet(skb, &scratch->in, mode);
	if (mode & METER_ETHERNET || begins_at_network(skb))
		scratch->in.available = copy_headers(scratch, skb);
	else
		scratch->in.available = copy_network_headers(scratch, skb);
	return parse_outer(&scratch->work, scratch->header, &scratch->in, &settings.parse,
			   &scratch->packet);
}

__attribute__((noinline)) int parse_copied_tunnel(__u32 place)
{
	struct scratch *scratch = scratch_at(place);

	if (scratch && scratch->work.transport.may_be_tunnel)
		parse_tunnel(&scratch->work, scratch->header, &scratch->in, &settings.parse,
			     &scratch->packet);
	return 0;
}

BPF_INLINE void account_parsed(struct scratch *scratch, struct metered *m, const __u32 mode)
{
	parse_finish(&scratch->work, &scratch->in, &scratch->packet);
	if (scratch->packet.fragment)
		resolve_fragment(&scratch->packet, m->counters, link_number(m->skb->ifindex), mode);
	m->in = &scratch->in;
	m->packet = &scratch->packet;
	m->frame = 0;
	m->is_copy = 1;
	m->is_ipv6 = scratch->packet.key.kind & KIND_IPV6;
	account(m, mode);
}

/* `status` is parse_copy()'s. */
BPF_INLINE int account_copied(struct __sk_buff *skb, const __u32 mode, __u32 place, int status)
{
	struct scratch *scratch = scratch_at(place);
	struct metered m;

	m.skb = skb;
	if (!begin(&m, mode))
		return 0;
	if (!scratch) {
		struct parse_input in;

		describe_packet(skb, &in, mode);
		drop_unparsed(m.counters, &in, DROP_EVICTED_FULL, mode);
		return 0;
	}
	if ((__u64)(long)skb->data_end - (__u64)(long)skb->data < scratch->in.length)
		BUMP(m.counters->nonlinear_packets, 1, mode);
	if (status == PARSE_OK)
		account_parsed(scratch, &m, mode);
	else
		drop_unparsed(m.counters, &scratch->in, status, mode);
	return 0;
}

__attribute__((noinline)) int account_copy(struct __sk_buff *skb, __u32 mode, __u32 place,
					   int status)
{
	return account_copied(skb, mode & ~METER_RT, place, status);
}

__attribute__((noinline)) int account_copy_rt(struct __sk_buff *skb, __u32 mode, __u32 place,
					      int status)
{
	return account_copied(skb, mode | METER_RT, place, status);
}

BPF_INLINE void meter_copy(struct __sk_buff *skb, const __u32 mode)
{
	const __u32 place = take_scratch(mode);
	const int status = parse_copy(skb, mode, place);

	if (status == PARSE_OK)
		parse_copied_tunnel(place);
	if (mode & METER_RT)
		account_copy_rt(skb, mode, place, status);
	else
		account_copy(skb, mode, place, status);
	free_scratch(place, mode);
}

/* Meters a packet of which plain_version() is `version`, unless it is not plain. Once for each
 * version: what is constant in one is neither kept, multiplied nor compared. */
BPF_INLINE int meter_plain(struct metered *m, const __u32 mode, const int version)
{
	struct parsed_packet packet;

	if (parse_plain(m->in, &settings.parse, &packet, version) != PARSE_OK)
		return 0;
	m->packet = &packet;
	m->frame = mode & METER_ETHERNET ? m->in->data : 0;
	m->is_copy = 0;
	m->is_ipv6 = version == 6;
	account(m, mode);
	return 1;
}

/* Meters any plain packet: of several segments, with a tag beside its data, with a row yet to be
 * made. False where it is not plain. */
BPF_INLINE int try_plain(struct __sk_buff *skb, const __u32 mode)
{
	struct parse_input in;
	struct metered m;

	m.skb = skb;
	if (!begin(&m, mode))
		return 1;
	describe_packet(skb, &in, mode);
	in.data = (const __u8 *)(long)skb->data;
	in.end = (const __u8 *)(long)skb->data_end;
	m.in = &in;
	if (!(mode & METER_ETHERNET) && !begins_at_network(skb))
		return 0;
	switch (plain_version(&in)) {
	case 4:
		return meter_plain(&m, mode, 4);
	case 6:
		return meter_plain(&m, mode, 6);
	}
	return 0;
}

/* Not inlined, so that the way of the usual packets is short and in one piece; their own functions,
 * so that none has a stack deep enough to leave the one for copies too little. */
__attribute__((noinline)) int meter_plain_packet(struct __sk_buff *skb, __u32 mode)
{
	const __u32 hooks = mode & METER_HOOKS;

	return mode & METER_ETHERNET ? try_plain(skb, hooks | METER_ETHERNET)
				     : try_plain(skb, hooks);
}

__attribute__((noinline)) int meter_plain_packet_rt(struct __sk_buff *skb, __u32 mode)
{
	const __u32 hooks = mode & METER_HOOKS;

	return mode & METER_ETHERNET ? try_plain(skb, hooks | METER_ETHERNET | METER_RT)
				     : try_plain(skb, hooks | METER_RT);
}

/* The IP version of a packet that may be usual: plain, one segment, no tag beside its data; 0 of
 * any other. Fills `in`. */
BPF_INLINE int usual_version(struct __sk_buff *skb, struct parse_input *in, const __u32 mode)
{
	in->data = (const __u8 *)(long)skb->data;
	in->end = (const __u8 *)(long)skb->data_end;
	in->link_layer = mode & METER_ETHERNET ? LINK_ETHERNET : LINK_IP;
	in->ethertype = mode & METER_ETHERNET ? 0 : (__be16)skb->protocol;
	in->gso_size = 0;
	in->vlan_present = 0;
	in->length = skb->len;
	if (BPF_UNLIKELY(skb->gso_size) || BPF_UNLIKELY(skb->vlan_present))
		return 0;
	return mode & METER_ETHERNET || begins_at_network(skb) ? plain_version(in) : 0;
}

/* Counts a usual packet whose row is there. False where it is not: nothing was done then. */
BPF_INLINE int meter_usual(struct __sk_buff *skb, struct parse_input *in, const __u32 mode,
			   const int version)
{
	struct parsed_packet packet;
	struct metered m;

	if (parse_plain(in, &settings.parse, &packet, version) != PARSE_OK || !begin(&m, mode))
		return 0;
	m.skb = skb;
	m.in = in;
	m.packet = &packet;
	m.is_ipv6 = version == 6;
	return add_to_row(&m, mode);
}

BPF_INLINE int meter(struct __sk_buff *skb, const __u32 mode)
{
	struct parse_input in;
	/* With METER_RT the partition is to be claimed first. */
	const int version = mode & METER_RT ? 0 : usual_version(skb, &in, mode);

	if (BPF_LIKELY(version == 4)) {
		if (BPF_LIKELY(meter_usual(skb, &in, mode, 4)))
			return VERDICT_NEXT;
	} else if (version == 6) {
		if (BPF_LIKELY(meter_usual(skb, &in, mode, 6)))
			return VERDICT_NEXT;
	}
	if (!(mode & METER_RT ? meter_plain_packet_rt(skb, mode) : meter_plain_packet(skb, mode)))
		meter_copy(skb, mode);
	return VERDICT_NEXT;
}

SEC("tc")
int meter_ethernet_ingress(struct __sk_buff *skb)
{
	return meter(skb, METER_INGRESS | METER_ETHERNET);
}

SEC("tc")
int meter_ethernet_egress(struct __sk_buff *skb)
{
	return meter(skb, METER_EGRESS | METER_ETHERNET);
}

SEC("tc")
int meter_ip_ingress(struct __sk_buff *skb)
{
	return meter(skb, METER_INGRESS);
}

SEC("tc")
int meter_ip_egress(struct __sk_buff *skb)
{
	return meter(skb, METER_EGRESS);
}

SEC("?tc")
int meter_ethernet_ingress_rt(struct __sk_buff *skb)
{
	return meter(skb, METER_INGRESS | METER_ETHERNET | METER_RT);
}

SEC("?tc")
int meter_ethernet_egress_rt(struct __sk_buff *skb)
{
	return meter(skb, METER_EGRESS | METER_ETHERNET | METER_RT);
}

SEC("?tc")
int meter_ip_ingress_rt(struct __sk_buff *skb)
{
	return meter(skb, METER_INGRESS | METER_RT);
}

SEC("?tc")
int meter_ip_egress_rt(struct __sk_buff *skb)
{
	return meter(skb, METER_EGRESS | METER_RT);
}

const char flow_license[] SEC("license") = "Dual BSD/GPL";
