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

#endif
