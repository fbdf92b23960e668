/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/meter.h: what a program does with one packet: parse, find its row, count.
 *
 * Every packet that is seen ends in a row, here or in `evicted`, or in one
 * drop_reason. Runs on the packet's CPU with bottom halves disabled; where that
 * does not exclude others (PREEMPT_RT), METER_RT claims what it writes.
 */
#ifndef RHEO_BPF_METER_H
#define RHEO_BPF_METER_H

#include "bpf/flow_cache.h"
#include "bpf/maps.h"
#include "bpf/clock.h"
#include "bpf/owner_maps.h"
#include "bpf/tcp_socket.h"

/* How a program meters. */
enum meter_mode {
	METER_INGRESS = HOOK_INGRESS,
	METER_EGRESS = HOOK_EGRESS,
	METER_HOOKS = METER_INGRESS | METER_EGRESS,
	METER_ETHERNET = 0x10, /* data begins with an Ethernet header, else with IP */
	METER_RT = 0x20, /* a constant in every program: older kernels refuse its instructions */
};

/* A packet on its way into a row. */
struct metered {
	struct __sk_buff *skb;
	const struct parse_input *in;
	const struct parsed_packet *packet;
	struct cpu_counters *counters;
	const __u8 *frame; /* see cold_start_plain(); unused when parsed from a copy */
	void *generation;  /* of the flow cache, to be used now */
	__u64 coarse_ns;
	__u32 cpu;
	__u32 owner; /* as hot_row.owner */
	int is_copy;
	int is_ipv6;   /* as the key's kind says */
	__u64 word[6]; /* the key, link included */
	struct octets octets;
};

#define BUMP(counter, value, mode)                                 \
	do {                                                       \
		if ((mode) & METER_RT)                             \
			__sync_fetch_and_add(&(counter), (value)); \
		else                                               \
			(counter) += (value);                      \
	} while (0)

/* Finds what a packet on this CPU needs, before the packet is looked at: calls, to the
 * compiler, that would make it put away what it knows of the packet. False where the
 * CPU has no counters. */
BPF_INLINE int begin(struct metered *m, const __u32 mode)
{
	__u32 cpu = bpf_get_smp_processor_id();
	__u32 index = 0;

	m->cpu = cpu;
	m->counters = bpf_map_lookup_elem(&counters, &cpu);
	if (!m->counters)
		return 0;
	m->generation = bpf_map_lookup_elem(&flow_cache, &index);
	m->coarse_ns = coarse_ns(m->counters, mode & METER_RT);
	return 1;
}

BPF_INLINE void count_drop(struct cpu_counters *counters, int reason, __u64 packets, __u64 bytes,
			   const __u32 mode)
{
	struct drop_count *drop;

	if ((__u32)reason >= DROP_REASON_COUNT)
		reason = DROP_MALFORMED; /* cannot happen; the verifier asks */
	drop = &counters->drop[reason];
	BUMP(drop->packets, packets, mode);
	BUMP(drop->bytes, bytes, mode);
}

BPF_INLINE void write_cold(struct cold_row *cold, const struct metered *m)
{
	if (m->is_copy)
		cold_start(cold, m->packet);
	else
		cold_start_plain(cold, m->packet, m->frame);
}

/* Wakes the collector only when there is much to read: it looks by itself once a drain_interval. */
BPF_INLINE void submit_row(struct evicted_row *row)
{
	const __u64 waiting = bpf_ringbuf_query(&evicted, BPF_RB_AVAIL_DATA);

	bpf_ringbuf_submit(row, waiting >= settings.ring_wakeup_bytes ? BPF_RB_FORCE_WAKEUP
								      : BPF_RB_NO_WAKEUP);
}

/* Asks the socket that sends the packet, if there is one. */
BPF_INLINE void sample_socket(struct hot_row *row, struct tcp_row *tcp, const struct metered *m)
{
	const struct bpf_tcp_sock *socket = sending_tcp_socket(m->skb);

	if (!socket)
		return;
	tcp_begin(row, tcp);
	/* As long as nothing was measured the next packet asks, too: a connection may be over
	 * within a tick of the clock. */
	if (socket->srtt_us)
		row->tcp_sampled[m->packet->direction & 1] = (__u16)tcp_time(m->coarse_ns);
	take_sample(&tcp->sample[m->packet->direction & 1], socket, m->coarse_ns);
}

/* What of a TCP packet is noted when it is its row's first. */
BPF_INLINE void begin_tcp(struct hot_row *row, struct tcp_row *tcp, const struct metered *m,
			  const __u32 mode)
{
	if (!settings.note_tcp || !m->packet->tcp_flags)
		return;
	row_note_handshake(row, tcp, m->packet, row->first_ns);
	if (mode & METER_EGRESS)
		sample_socket(row, tcp, m);
}

/* What of a TCP packet is noted when it is added to its row. */
BPF_INLINE void note_tcp(struct hot_row *row, struct tcp_row *tcp, const struct metered *m,
			 const __u32 mode)
{
	if (!settings.note_tcp || !m->packet->tcp_flags)
		return;
	if (BPF_UNLIKELY(is_handshake(row, m->packet)))
		row_note_handshake(row, tcp, m->packet, bpf_ktime_get_ns());
	if (mode & METER_EGRESS && BPF_UNLIKELY(row->tcp_sampled[m->packet->direction & 1] !=
						(__u16)tcp_time(m->coarse_ns)))
		sample_socket(row, tcp, m);
}

/* Sends a row of the cache away; its place is then free. False where `evicted` is full. */
BPF_INLINE int evict_row(const struct flow_set *set, __u32 way, struct cpu_counters *counters,
			 const __u32 mode)
{
	struct evicted_row *row = bpf_ringbuf_reserve(&evicted, sizeof(*row), 0);

	if (!row)
		return 0;
	__builtin_memcpy(&row->hot, &set->hot[way], sizeof(row->hot));
	__builtin_memcpy(&row->cold, &set->cold[way], sizeof(row->cold));
	__builtin_memcpy(&row->tcp, &set->tcp[way], sizeof(row->tcp));
	submit_row(row);
	BUMP(counters->evicted_rows, 1, mode);
	return 1;
}

/* Sends a packet that has no place in the cache as a row of its own. */
BPF_INLINE int evict_packet(const struct metered *m, const __u32 mode)
{
	struct evicted_row *row = bpf_ringbuf_reserve(&evicted, sizeof(*row), 0);
	__u64 now_ns;

	if (!row)
		return 0;
	now_ns = bpf_ktime_get_ns();
	row_start(&row->hot, m->word, m->packet, now_ns);
	row_add(&row->hot, m->packet, &m->octets, mode & METER_HOOKS, now_ns);
	row_note_owner(&row->hot, m->packet->direction, m->owner);
	begin_tcp(&row->hot, &row->tcp, m, mode);
	write_cold(&row->cold, m);
	submit_row(row);
	BUMP(m->counters->evicted_rows, 1, mode);
	return 1;
}

BPF_INLINE void fill_way(struct flow_set *set, __u32 way, __u32 tag, const struct metered *m,
			 const __u32 mode)
{
	const __u64 now_ns = bpf_ktime_get_ns();

	write_cold(&set->cold[way], m);
	row_start(&set->hot[way], m->word, m->packet, now_ns);
	row_add(&set->hot[way], m->packet, &m->octets, mode & METER_HOOKS, now_ns);
	row_note_owner(&set->hot[way], m->packet->direction, m->owner);
	begin_tcp(&set->hot[way], &set->tcp[way], m, mode);
	set->tag[way] = tag;
}

/* Adds the packet to the row of its flow, which the set may have yet to get.
 * False where the packet found no place. */
BPF_INLINE int count_in_set(struct flow_set *set, __u64 hash, const struct metered *m,
			    const __u32 mode)
{
	__u32 way = find_way(set, m->word, hash, m->is_ipv6);
	const int found = way < FLOW_CACHE_WAYS;
	struct hot_row *row;

	if (BPF_UNLIKELY(!found))
		way = choose_way(set, hash);
	/* Else there is a copy of what follows for each way: the verifier would follow
	 * each, and the processor's caches hold them. */
	KEEP_UNKNOWN(way);
	way &= FLOW_CACHE_WAYS - 1;
	row = &set->hot[way];
	KEEP_UNKNOWN(row);
	if (BPF_LIKELY(found) && BPF_LIKELY(!row_is_over(row, m->packet))) {
		row_add(row, m->packet, &m->octets, mode & METER_HOOKS, m->coarse_ns);
		row_note_owner(row, m->packet->direction, m->owner);
		note_tcp(row, &set->tcp[way], m, mode);
		return 1;
	}
	if (!set->tag[way] || evict_row(set, way, m->counters, mode)) {
		fill_way(set, way, flow_tag(hash), m, mode);
		return 1;
	}
	if (!found || row_would_wrap(row, m->packet, &m->octets))
		return 0;
	row_add(row, m->packet, &m->octets, mode & METER_HOOKS, m->coarse_ns);
	return 1;
}

/* The set for a hash in this CPU's partition, NULL where the CPU has none. */
BPF_INLINE struct flow_set *set_for(__u64 hash, const struct metered *m)
{
	const __u32 sets = settings.partition_sets;
	__u32 index;

	if (!m->generation || m->cpu >= settings.partition_count)
		return 0;
	index = m->cpu * sets + flow_set_index(hash, sets);
	return bpf_map_lookup_elem(m->generation, &index);
}

/* False where the packet found no place. */
BPF_INLINE int count_packet(const struct metered *m, const __u32 mode)
{
	const __u64 hash = flow_hash(m->word, settings.hash_seed, m->is_ipv6);
	struct flow_set *set;
	int counted;

	if ((mode & METER_RT) && __sync_lock_test_and_set(&m->counters->claimed, 1))
		return evict_packet(m, mode);
	set = set_for(hash, m);
	counted = set ? count_in_set(set, hash, m, mode) : evict_packet(m, mode);
	if (mode & METER_RT)
		__sync_lock_test_and_set(&m->counters->claimed, 0);
	return counted;
}

/* flow_key.link of an interface in the namespace of this copy of the program. */
BPF_INLINE __u32 link_number(__u32 ifindex)
{
	return (ifindex & 0xffffff) | (__u32)settings.netns_number << 24;
}

/* What is counted, and under which key. */
BPF_INLINE void describe_count(struct metered *m)
{
	const __u32 link = link_number(m->skb->ifindex);

	count_octets(m->in, m->packet, &m->octets);
	m->word[0] = m->packet->word[0];
	m->word[1] = m->packet->word[1];
	m->word[2] = m->packet->word[2];
	m->word[3] = m->packet->word[3];
	m->word[4] = m->packet->word[4] | WORD64(0, link);
	m->word[5] = m->packet->word[5];
}

/* A connection that is answered has no socket yet, but the cookie that its socket will have: it is
 * noted that it is the listener's. */
BPF_INLINE __u32 owner_of_answer(struct bpf_sock *listener, struct __sk_buff *skb)
{
	const struct socket_owner *owner = bpf_sk_storage_get(&socket_owners, listener, 0, 0);
	struct socket_owner noted;
	__u32 number;

	if (!owner)
		return 0;
	noted = load_owner(owner);
	number = noted.number ? noted.number : OWNER_UNKNOWN;
	if (noted.awaits_accept)
		number = 0;
	note_recent(bpf_get_socket_cookie(skb), number);
	return number;
}

/* The owner of a socket without storage. It gets one, so that the owner is not forgotten, when it
 * is asked for at another packet than the first, of which connections that end at once have one. */
BPF_INLINE __u32 owner_of_recent(struct bpf_sock *sk, struct __sk_buff *skb, int is_first)
{
	const __u32 number = recent_owner(bpf_get_socket_cookie(skb));
	struct socket_owner *owner;

	if (is_first || number <= OWNER_UNKNOWN)
		return number;
	owner = bpf_sk_storage_get(&socket_owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (owner && !owner->number)
		store_owner(owner, number, 0);
	return number;
}

/* The number of the owner of the socket that sends the packet. 0: it has none (yet), as what is
 * forwarded. Not inlined: few packets come here. */
__attribute__((noinline)) int socket_owner_number(struct __sk_buff *skb, __u32 tcp_flags)
{
	const struct socket_owner *owner;
	struct socket_owner noted = {};
	struct bpf_sock *sk, *full;

	if (!settings.note_owners || !skb)
		return 0;
	sk = skb->sk;
	if (!sk)
		return 0;
	full = bpf_sk_fullsock(sk);
	if (!full) {
		full = bpf_get_listener_sock(sk);
		return full ? (int)owner_of_answer(full, skb) : 0;
	}
	owner = bpf_sk_storage_get(&socket_owners, full, 0, 0);
	if (owner)
		noted = load_owner(owner);
	if (!noted.number)
		return (int)owner_of_recent(full, skb, tcp_flags & FLAG_SYN);
	return noted.awaits_accept ? 0 : (int)noted.number;
}

/* At egress alone: what comes in has no socket yet, and its owner sends, too. */
BPF_INLINE int notes_owners(const __u32 mode)
{
	return mode & METER_EGRESS && settings.note_owners;
}

/* Counts a parsed packet: what begin() sets, skb, input, packet, frame,
 * is_copy and is_ipv6 are set. */
BPF_INLINE void account(struct metered *m, const __u32 mode)
{
	describe_count(m);
	m->owner =
		notes_owners(mode) ? (__u32)socket_owner_number(m->skb, m->packet->tcp_flags) : 0;
	BUMP(m->counters->seen_packets, m->octets.packets, mode);
	BUMP(m->counters->seen_bytes, m->octets.l2, mode);
	if (BPF_UNLIKELY(!count_packet(m, mode)))
		count_drop(m->counters, DROP_EVICTED_FULL, m->octets.packets, m->octets.l2, mode);
}

/* Adds a packet to the row of its flow, and counts it as seen, if there is a row that takes it.
 * False where there is none: nothing was done then. What begin() sets, skb, input, packet and
 * is_ipv6 are set. */
BPF_INLINE int add_to_row(struct metered *m, const __u32 mode)
{
	struct flow_set *set;
	struct hot_row *row;
	__u64 hash;
	__u32 way;

	describe_count(m);
	hash = flow_hash(m->word, settings.hash_seed, m->is_ipv6);
	set = set_for(hash, m);
	if (BPF_UNLIKELY(!set))
		return 0;
	way = find_way(set, m->word, hash, m->is_ipv6);
	if (BPF_UNLIKELY(way >= FLOW_CACHE_WAYS))
		return 0;
	KEEP_UNKNOWN(way);
	way &= FLOW_CACHE_WAYS - 1;
	row = &set->hot[way];
	KEEP_UNKNOWN(row);
	if (BPF_UNLIKELY(row_is_over(row, m->packet)))
		return 0;
	BUMP(m->counters->seen_packets, m->octets.packets, mode);
	BUMP(m->counters->seen_bytes, m->octets.l2, mode);
	row_add(row, m->packet, &m->octets, mode & METER_HOOKS, m->coarse_ns);
	if (notes_owners(mode) && BPF_UNLIKELY(!row->owner[m->packet->direction & 1]))
		row_note_owner(row, m->packet->direction,
			       (__u32)socket_owner_number(m->skb, m->packet->tcp_flags));
	note_tcp(row, &set->tcp[way], m, mode);
	return 1;
}

BPF_INLINE void describe_packet(const struct __sk_buff *skb, struct parse_input *in,
				const __u32 mode)
{
	in->length = skb->len;
	in->available = 0;
	in->gso_size = skb->gso_size;
	in->gso_segs = in->gso_size ? skb->gso_segs : 0;
	in->ethertype = (__be16)skb->protocol;
	in->vlan_present = skb->vlan_present;
	in->vlan_tci = (__u16)skb->vlan_tci;
	in->link_layer = mode & METER_ETHERNET ? LINK_ETHERNET : LINK_IP;
}

#endif
