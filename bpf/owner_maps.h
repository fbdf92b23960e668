/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/owner_maps.h: where a socket's owner is noted, for those who note it and those who meter.
 */
#ifndef RHEO_BPF_OWNER_MAPS_H
#define RHEO_BPF_OWNER_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* A listener's owner goes over to the sockets that it accepts. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
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

#endif
