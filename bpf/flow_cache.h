/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/flow_cache.h: what is done to a set of the flow cache and to its rows.
 *
 * Pure functions on memory, no maps, no helpers: compiled into the BPF object
 * and, as C++ in namespace rheo::abi, into the tests and the replay of captures.
 * A set has one writer at a time; whoever calls these sees to it.
 */
#ifndef RHEO_BPF_FLOW_CACHE_H
#define RHEO_BPF_FLOW_CACHE_H

#include "bpf/parse.h"

#ifdef __cplusplus
namespace rheo::abi
{
#endif

/* A row whose sums of 32 bits, packets and l2_surplus in one word, have come this far is
 * sent away before more is added. */
#define ROW_FULL 0x8000000080000000ULL

/* Where a key lives: the set by the high half, the tag by the low one. `is_ipv6` is
 * what the key's kind says. */
BPF_INLINE __u64 flow_hash(const __u64 *word, const volatile __u64 *seed, int is_ipv6)
{
	__u64 hash;

	/* A product carries differences upwards only, so addresses are multiplied as
	 * the numbers they are, whose low bits differ most. */
	if (is_ipv6) {
		hash = FROM_BE64(word[0]) * seed[0] + FROM_BE64(word[1]) * seed[1];
		hash += FROM_BE64(word[2]) * seed[2] + FROM_BE64(word[3]) * seed[3];
	} else {
		hash = ((__u64)FROM_BE32(UPPER32(word[1])) << 32 | FROM_BE32(UPPER32(word[3]))) *
		       seed[0];
	}
	hash += word[4] * seed[4] + word[5] * seed[5];
	return (hash ^ hash >> 32) * seed[6];
}

BPF_INLINE __u32 flow_tag(__u64 hash)
{
	return (__u32)(hash >> 8) | 1;
}

/* `sets` is a power of two. */
BPF_INLINE __u32 flow_set_index(__u64 hash, __u32 sets)
{
	return (__u32)(hash >> 40) & (sets - 1);
}

/* `is_ipv6` is what the key's kind says: of IPv4 the words 0 and 2 are 0 in any row. */
BPF_INLINE int row_has_key(const struct hot_row *row, const __u64 *word, int is_ipv6)
{
	const __u64 *key = (const __u64 *)(const void *)row;
	const __u64 differences =
		(key[1] ^ word[1]) | (key[3] ^ word[3]) | (key[4] ^ word[4]) | (key[5] ^ word[5]);

	return !(is_ipv6 ? differences | (key[0] ^ word[0]) | (key[2] ^ word[2]) : differences);
}

/* The way where a row is looked for first, without a look at the tags, and put if it is free. */
BPF_INLINE __u32 flow_way(__u64 hash)
{
	return (__u32)(hash >> 38) & (FLOW_CACHE_WAYS - 1);
}

/* The way that holds a key, or FLOW_CACHE_WAYS. */
BPF_INLINE __u32 find_way(const struct flow_set *set, const __u64 *word, __u64 hash, int is_ipv6)
{
	const __u32 tag = flow_tag(hash);
	const __u32 first = flow_way(hash);
	__u32 way;

	if (BPF_LIKELY(row_has_key(&set->hot[first], word, is_ipv6)))
		return first;
#ifdef __bpf__
#pragma unroll
#endif
	for (way = 0; way < FLOW_CACHE_WAYS; way++) {
		if (set->tag[way] == tag && BPF_LIKELY(row_has_key(&set->hot[way], word, is_ipv6)))
			return way;
	}
	return FLOW_CACHE_WAYS;
}

/* The way for a new row: a free one, else that of the least recently seen row. */
BPF_INLINE __u32 choose_way(const struct flow_set *set, __u64 hash)
{
	__u64 oldest_ns = ~0ULL;
	__u32 way, chosen = flow_way(hash);

	if (!set->tag[chosen])
		return chosen;
#ifdef __bpf__
#pragma unroll
#endif
	for (way = 0; way < FLOW_CACHE_WAYS; way++) {
		if (!set->tag[way])
			return way;
		if (set->hot[way].last_ns < oldest_ns) {
			oldest_ns = set->hot[way].last_ns;
			chosen = way;
		}
	}
	return chosen;
}

/* Must the row be sent away and begun anew before this packet is added? Its
 * connection is over and this is the next one's SYN, or the sums of its direction are full. */
BPF_INLINE int row_is_over(const struct hot_row *row, const struct parsed_packet *packet)
{
	const struct direction_counts *counts = &row->direction[packet->direction & 1];

	if (BPF_UNLIKELY(LOAD_AS(__u64, &counts->packets) & ROW_FULL))
		return 1;
	return BPF_UNLIKELY(packet->tcp_flags & FLAG_SYN_ONLY) &&
	       (row->direction[0].flags | row->direction[1].flags) & (FLAG_FIN | FLAG_RST);
}

/* Would the row's sums wrap around? */
BPF_INLINE int row_would_wrap(const struct hot_row *row, const struct parsed_packet *packet,
			      const struct octets *octets)
{
	const struct direction_counts *counts = &row->direction[packet->direction & 1];

	return counts->packets + (__u64)octets->packets > 0xffffffffULL ||
	       counts->l2_surplus + (octets->l2 - octets->l3) > 0xffffffffULL;
}

/* Begins a row without packets. `word` is its key, link included. */
BPF_INLINE void row_start(struct hot_row *row, const __u64 *word,
			  const struct parsed_packet *packet, __u64 now_ns)
{
	__u64 *to = (__u64 *)(void *)row;
	int i;

	to[0] = word[0];
	to[1] = word[1];
	to[2] = word[2];
	to[3] = word[3];
	to[4] = word[4];
	to[5] = word[5];
#ifdef __bpf__
#pragma unroll
#endif
	for (i = 6; i < 12; i++)
		to[i] = 0;
	row->first_ns = now_ns;
	row->last_ns = now_ns;
	to[14] = 0; /* owners */
	/* first_direction, and of TCP nothing yet */
	to[15] = WORD64(WORD32(WORD16(packet->direction, 0), 0), 0);
}

/* Adds a packet to its row, whose sums do not wrap (row_would_wrap()). `now_ns` may be
 * earlier than the row's last. Fields that lie together are changed together. */
BPF_INLINE void row_add(struct hot_row *row, const struct parsed_packet *packet,
			const struct octets *octets, __u8 hook, __u64 now_ns)
{
	/* & 1 tells the verifier what the type does not. */
	struct direction_counts *counts = &row->direction[packet->direction & 1];

	const __u64 sums = LOAD_AS(__u64, &counts->packets);
	__u64 seen = LOAD_AS(__u64, &counts->flags);

	if (BPF_UNLIKELY(!sums))
		seen = WORD64(WORD32(packet->icmp, WORD16(packet->ttl, packet->tos)), 0);
	seen |= WORD64(WORD32(packet->tcp_flags, 0), WORD32(WORD16(hook, packet->marks), 0));
	counts->l3_bytes += octets->l3;
	STORE_AS(__u64, &counts->packets,
		 sums + WORD64(octets->packets, (__u32)(octets->l2 - octets->l3)));
	STORE_AS(__u64, &counts->flags, seen);
	if (now_ns > row->last_ns)
		row->last_ns = now_ns;
}

/* Notes whose socket sent the packets of a direction: the last that is known. */
BPF_INLINE void row_note_owner(struct hot_row *row, __u32 direction, __u32 number)
{
	__u32 *owner = &row->owner[direction & 1];

	if (number > OWNER_UNKNOWN || !*owner)
		*owner = number;
}

/* The row's notes of TCP, begun if there are none yet. */
BPF_INLINE void tcp_begin(struct hot_row *row, struct tcp_row *tcp)
{
	__u64 *to = (__u64 *)(void *)tcp;
	int i;

	if (row->tcp_notes & TCP_NOTED)
		return;
#ifdef __bpf__
#pragma unroll
#endif
	for (i = 0; i < 8; i++)
		to[i] = 0;
	row->tcp_notes = (__u8)(row->tcp_notes | TCP_NOTED);
}

/* May the packet be of a handshake? */
BPF_INLINE int is_handshake(const struct hot_row *row, const struct parsed_packet *packet)
{
	return row->tcp_notes & (TCP_AWAITS_ACK | TCP_AWAITS_ACK << 1) ||
	       packet->tcp_flags & FLAG_SYN;
}

/* Notes when a packet of a handshake passed: one that is_handshake(), or the row's first. */
BPF_INLINE void row_note_handshake(struct hot_row *row, struct tcp_row *tcp,
				   const struct parsed_packet *packet, __u64 now_ns)
{
	const __u32 direction = packet->direction & 1;
	const __u32 flags = packet->tcp_flags;

	if (flags & FLAG_SYN_ONLY) {
		tcp_begin(row, tcp);
		if (!tcp->syn_ns) {
			tcp->syn_ns = now_ns;
			tcp->ack_ns = 0;
		}
		row->tcp_notes = (__u8)(row->tcp_notes | TCP_AWAITS_ACK << direction);
	} else if (flags & FLAG_SYN_ACK) {
		tcp_begin(row, tcp);
		if (!tcp->syn_ack_ns)
			tcp->syn_ack_ns = now_ns;
		row->tcp_notes = (__u8)(row->tcp_notes | TCP_AWAITS_ACK << (direction ^ 1));
	} else if ((flags & (FLAG_ACK | FLAG_RST)) == FLAG_ACK) {
		const int is_first = !(row->tcp_notes & TCP_NOTED);

		if (!is_first && !(row->tcp_notes & TCP_AWAITS_ACK << direction))
			return;
		tcp_begin(row, tcp);
		tcp->ack_ns = now_ns;
		row->tcp_notes = TCP_NOTED;
	}
}

/* Writes the cold row of a packet that was parsed from a copy. */
BPF_INLINE void cold_start(struct cold_row *cold, const struct parsed_packet *packet)
{
	const __u64 *from = (const __u64 *)(const void *)&packet->cold;
	__u64 *to = (__u64 *)(void *)cold;

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	to[3] = from[3];
	to[4] = from[4];
	to[5] = from[5];
	to[6] = from[6];
	to[7] = from[7];
	cold->flow_label = packet->flow_label;
}

/* The same for a packet parsed in its own memory, which has no tunnel, labels or
 * second tag. `frame` is its Ethernet header, NULL where it has none. */
BPF_INLINE void cold_start_plain(struct cold_row *cold, const struct parsed_packet *packet,
				 const __u8 *frame)
{
	cold_clear(cold);
	if (frame)
		copy_macs(cold, frame);
	cold->flow_label = packet->flow_label;
}

#ifdef __cplusplus
}
#endif

#endif
