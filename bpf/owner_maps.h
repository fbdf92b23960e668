/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/owner_maps.h: where a socket's owner is noted, for those who note it and those who meter.
 */
#ifndef RHEO_BPF_OWNER_MAPS_H
#define RHEO_BPF_OWNER_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_owner);
} socket_owners SEC(".maps");

/* A socket is noted by one CPU while another one sends for it: both numbers are read and written at
 * once, or an acceptor's readiness could be seen with the listener's number. */
union socket_owner_word {
	struct socket_owner owner;
	__u64 word;
};

static inline __attribute__((always_inline)) struct socket_owner
load_owner(const struct socket_owner *from)
{
	const union socket_owner_word whole = { .word = *(
							const volatile __u64 *)(const void *)from };

	return whole.owner;
}

static inline __attribute__((always_inline)) void store_owner(struct socket_owner *to, __u32 number,
							      __u32 awaits_accept)
{
	const union socket_owner_word whole = { .owner = { number, awaits_accept } };

	*(volatile __u64 *)(void *)to = whole.word;
}

enum {
	RECENT_BITS = 18,
	RECENT_SOCKETS = 1 << RECENT_BITS,
};

/* Owners of TCP sockets that have no storage yet, which costs more than most connections are worth:
 * by the low bits of the socket's cookie, until another takes the place. A word has the cookie's
 * next 32 bits, then the number: it is written at once, and no two sockets have the same until
 * 2^50 were made. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RECENT_SOCKETS);
	__type(key, __u32);
	__type(value, __u64);
} recent_owners SEC(".maps");

/* 0: who accepts is not known yet. */
static inline __attribute__((always_inline)) void note_recent(__u64 cookie, __u32 number)
{
	const __u32 place = cookie & (RECENT_SOCKETS - 1);
	volatile __u64 *word = bpf_map_lookup_elem(&recent_owners, &place);

	if (cookie && word)
		*word = cookie >> RECENT_BITS << 32 | number;
}

/* OWNER_UNKNOWN where there is none. */
static inline __attribute__((always_inline)) __u32 recent_owner(__u64 cookie)
{
	const __u32 place = cookie & (RECENT_SOCKETS - 1);
	const volatile __u64 *word = bpf_map_lookup_elem(&recent_owners, &place);
	__u64 noted;

	if (!cookie || !word)
		return OWNER_UNKNOWN;
	noted = *word;
	return (__u32)(noted >> 32) == (__u32)(cookie >> RECENT_BITS) ? (__u32)noted
								      : OWNER_UNKNOWN;
}

#endif
