/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/fragments.h: gives later fragments the ports of their first. */
#ifndef RHEO_BPF_FRAGMENTS_H
#define RHEO_BPF_FRAGMENTS_H

#include "bpf/clock.h"
#include "bpf/maps.h"
#include "bpf/meter.h"

BPF_INLINE void remember_first(const struct fragment_key *key, const struct parsed_packet *packet,
			       __u64 now_ns)
{
	struct fragment_ports ports;

	ports.port[0] = packet->key.port[0];
	ports.port[1] = packet->key.port[1];
	ports.icmp = packet->icmp;
	ports.direction = packet->direction;
	ports.protocol = packet->key.protocol;
	ports.seen_ns = now_ns;
	/* Where it fails, later fragments are counted as of unknown ports. */
	bpf_map_update_elem(&fragments, key, &ports, BPF_ANY);
}

/* Remembers a first fragment; makes a later one look like the first. */
BPF_INLINE void resolve_fragment(struct parsed_packet *packet, struct cpu_counters *counters,
				 __u32 link, const __u32 mode)
{
	const __u64 now_ns = coarse_ns(counters, mode & METER_RT);
	const int direction = packet->direction;
	const struct fragment_ports *ports;
	struct fragment_key key = {};

	key.source[0] = packet->word[direction ? 2 : 0];
	key.source[1] = packet->word[direction ? 3 : 1];
	key.destination[0] = packet->word[direction ? 0 : 2];
	key.destination[1] = packet->word[direction ? 1 : 3];
	key.id = packet->fragment_id;
	key.link = link;
	key.tunnel_id = packet->key.tunnel_id;
	key.protocol = packet->fragment_protocol;
	key.kind = packet->key.kind;
	key.vlan = packet->key.vlan;
	if (packet->fragment == FRAGMENT_FIRST) {
		remember_first(&key, packet, now_ns);
		return;
	}
	ports = bpf_map_lookup_elem(&fragments, &key);
	if (!ports || now_ns - ports->seen_ns > FRAGMENT_LIFETIME_S * 1000000000ULL) {
		BUMP(counters->fragments_unknown, 1, mode);
		return;
	}
	packet->key.port[0] = ports->port[0];
	packet->key.port[1] = ports->port[1];
	packet->key.protocol = ports->protocol;
	packet->icmp = ports->icmp;
	packet->direction = ports->direction & 1;
}

#endif
