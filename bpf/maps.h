/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/maps.h: the maps and constants of the loaded object.
 *
 * Sizes marked `loader` are set between open and load.
 */
#ifndef RHEO_BPF_MAPS_H
#define RHEO_BPF_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/parse.h"

enum {
	MAX_FRAGMENTED_PACKETS = 8192,
	FRAGMENT_LIFETIME_S = 30, /* RFC 791 and 8200: of reassembly, at most 60 */
	SCRATCH_PLACES = 4,
};

const volatile struct meter_settings settings;

/* Two generations of the flow cache take turns in the one place of this map.
 * Both have the same number of sets, so that the lookup in either is inlined. */
struct flow_generation {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* loader: partition_sets * partition_count */
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct flow_set)); /* its BTF is not followed to in here */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct flow_generation);
} flow_cache SEC(".maps");

/* struct evicted_row: rows pushed out of the cache, and packets that found no place in it. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 25); /* loader: bytes */
} evicted SEC(".maps");

/* Indexed by CPU number. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* loader: possible CPUs */
	__type(key, __u32);
	__type(value, struct cpu_counters);
} counters SEC(".maps");

/* A fragmented packet; addresses in the order of the packet. */
struct fragment_key {
	__u64 source[2];
	__u64 destination[2];
	__u32 id;
	__u32 link;
	__u32 tunnel_id;
	__u8 protocol; /* as the fragments' headers have it */
	__u8 kind;
	__u16 vlan;
};

/* What its first fragment says about the others. */
struct fragment_ports {
	__be16 port[2]; /* as in flow_key */
	__u16 icmp;
	__u8 direction;
	__u8 protocol; /* as in flow_key */
	__u64 seen_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FRAGMENTED_PACKETS);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

/* Room for one packet that is parsed from a copy. */
struct scratch {
	__u8 header[MAX_HEADER_BYTES + 64]; /* the rest is what MEMORY_COPY asks for */
	struct parse_input in;
	struct parse_work work;
	struct parsed_packet packet;
	__u64 taken; /* PREEMPT_RT: somebody who was preempted here uses it */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_PLACES);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch_places SEC(".maps");

#endif
