/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/abi.h: everything the kernel side and the daemon say to each other.
 *
 * Included by bpf/, daemon/datapath/, daemon/replay/ and the flow table's
 * merge, nowhere else. Addresses and ports are big-endian, as on the wire;
 * everything else is host order. Padding is spelled out and zero, so no struct
 * here is packed. A change of any layout here is a change of ABI_SCHEMA.
 */
#ifndef RHEO_BPF_ABI_H
#define RHEO_BPF_ABI_H

#include <linux/types.h>

#ifdef __cplusplus
namespace rheo::abi
{
#define ABI_ASSERT(condition) static_assert(condition)
#else
#define ABI_ASSERT(condition) _Static_assert(condition, #condition)
#endif

/* The version in /sys/fs/bpf/rheo/v<schema> and in the flow table's header. */
enum { ABI_SCHEMA = 4 };

/* What a row's addresses are and what they were carried in (flow_key.kind). */
enum flow_kind {
	KIND_TUNNEL_MASK = 0x0f, /* enum tunnel_type */
	KIND_IPV6 = 0x80,	 /* addresses are IPv6; else ::ffff:a.b.c.d */
	KIND_FREED = 0x0f,	 /* no packet's: see flow_set */
};

enum tunnel_type {
	TUNNEL_NONE,
	TUNNEL_VXLAN,
	TUNNEL_GENEVE,
	TUNNEL_GRE,
	TUNNEL_NVGRE,
	TUNNEL_IPIP,	   /* IPv4 in IPv4 */
	TUNNEL_6IN4,	   /* IPv6 in IPv4 */
	TUNNEL_4IN6,	   /* ip6tnl, IPv4 in IPv6 */
	TUNNEL_6IN6,	   /* ip6tnl, IPv6 in IPv6 */
	TUNNEL_TYPE_COUNT, /* keep last */
};

/* Which biflow a packet belongs to, the same for both directions.
 *
 * address[0] <= address[1] as byte strings; where they are equal, port[0] <=
 * port[1] as big-endian numbers. Direction 0 is a packet whose source is
 * address[0]/port[0].
 *
 * ICMP and ICMPv6 have no ports: port[0] holds type and code (type in the first
 * byte on the wire, code in the second), where an echo, timestamp, information,
 * address mask, router, neighbour, multicast-listener or node query has its
 * *request's* type in both directions; port[1] is the echo (or timestamp,
 * information, mask) identifier, else 0. They are not sorted.
 */
struct flow_key {
	__u8 address[2][16];
	__be16 port[2];
	__u32 link;	 /* ifindex in the low 24 bits, network namespace number in the high 8 */
	__u32 tunnel_id; /* VNI, GRE key, VSID; 0 where there is none */
	__u16 vlan;	 /* VLAN id of the outermost tag, 0 untagged (priority tags too) */
	__u8 protocol;	 /* IP protocol number, of the inner packet in a tunnel */
	__u8 kind;	 /* enum flow_kind | enum tunnel_type */
};
ABI_ASSERT(sizeof(struct flow_key) == 48);

/* direction_counts.flags: the wire's nine TCP flags in bits 0 to 8 (RFC 9293;
 * AE/NS is bit 8), and two sums that single packets show. For ICMP and ICMPv6
 * it is instead the type (high byte) and code of the direction's first packet. */
enum flow_flags {
	FLAG_FIN = 0x001,
	FLAG_SYN = 0x002,
	FLAG_RST = 0x004,
	FLAG_PSH = 0x008,
	FLAG_ACK = 0x010,
	FLAG_URG = 0x020,
	FLAG_ECE = 0x040,
	FLAG_CWR = 0x080,
	FLAG_AE = 0x100,
	FLAG_SYN_ONLY = 0x200, /* a packet had SYN and not ACK */
	FLAG_SYN_ACK = 0x400,  /* a packet had SYN and ACK */
};

/* direction_counts.hooks */
enum flow_hooks {
	HOOK_INGRESS = 0x01,
	HOOK_EGRESS = 0x02,
};

/* direction_counts.marks */
enum flow_marks {
	MARK_FRAGMENT = 0x01,  /* a fragment was among the packets */
	MARK_TRUNCATED = 0x02, /* a packet ended before its transport header did */
	MARK_WIREGUARD = 0x04, /* a WireGuard message by port, type and reserved bytes */
	MARK_UNDECODED = 0x08, /* a tunnel whose inner packet could not be parsed */
};

/* What was counted in one direction. Octets at layer 2 are l3_bytes + l2_surplus. */
struct direction_counts {
	__u64 l3_bytes; /* of the outermost IP packets, padding excluded */
	__u32 packets;
	__u32 l2_surplus;
	__u16 flags; /* enum flow_flags, or ICMP type and code */
	__u8 ttl;    /* of the direction's first packet in this row */
	__u8 tos;    /* likewise: DSCP and ECN */
	__u8 hooks;  /* enum flow_hooks */
	__u8 marks;  /* enum flow_marks */
	__u16 zero;
};
ABI_ASSERT(sizeof(struct direction_counts) == 24);
/* packets with l2_surplus, and flags to zero, are words of 8 bytes. */
ABI_ASSERT(__builtin_offsetof(struct direction_counts, packets) == 8);
ABI_ASSERT(__builtin_offsetof(struct direction_counts, flags) == 16);

/* hot_row.tcp_notes */
enum tcp_notes {
	TCP_AWAITS_ACK = 0x01, /* of direction 0; of 1 one bit further */
	TCP_NOTED = 0x04,      /* the row has a tcp_row; else what is in its place is nothing */
};

/* A row of the flow cache, the part that every packet touches. Times are
 * CLOCK_MONOTONIC nanoseconds (the capture's own clock in a replay). */
struct hot_row {
	struct flow_key key;
	struct direction_counts direction[2];
	__u64 first_ns;
	__u64 last_ns;	/* >= first_ns */
	__u32 owner[2]; /* by direction: owner_slot.number of the sender here, 0 or OWNER_UNKNOWN */
	__u8 first_direction; /* of the row's first packet: 0 or 1 */
	__u8 tcp_notes;	      /* enum tcp_notes */
	__u16 tcp_sampled[2]; /* by direction: when a socket last told a time, as tcp_time() */
	__u16 zero;
};
ABI_ASSERT(sizeof(struct hot_row) == 128);

/* The part that is written once, when the row is made, from its first packet.
 * Source and destination here are that packet's. */
struct cold_row {
	__u8 source_mac[6]; /* zero on links without a link layer; of the outer frame */
	__u8 destination_mac[6];
	__u32 flow_label;      /* 20 bits, host order; of the inner packet in a tunnel */
	__u8 outer_source[16]; /* tunnel end points, zero where there is no tunnel */
	__u8 outer_destination[16];
	__be16 outer_source_port; /* 0 for tunnels without ports */
	__be16 outer_destination_port;
	__u16 inner_vlan; /* VLAN id of the second tag, or the inner frame's; 0 where there is none
			   */
	__u8 outer_protocol; /* IP protocol that carried the tunnel, else 0 */
	__u8 mpls_count;     /* labels met, 0 to 4 */
	__u16 mpls_top_high; /* label of the top entry >> 4 */
	__u8 mpls_top_low;   /* its low 4 bits */
	__u8 zero[5];
};
ABI_ASSERT(sizeof(struct cold_row) == 64);

/* What a TCP socket of this host says of the connection, last when it sent a packet. */
struct tcp_sample {
	__u32 srtt_us;		 /* smoothed round-trip time; 0: none measured yet */
	__u32 min_rtt_us;	 /* of the last 5 minutes, by default; 0: likewise */
	__u32 retransmits;	 /* segments that it has sent again since the connection began */
	__u32 congestion_window; /* segments, at least 1; 0: it was not asked */
	__u32 time;		 /* tcp_time(), which of two samples is the later one */
};

/* What is noted of TCP, where hot_row.tcp_notes says so. A row has what passed its CPU: of a
 * connection the SYN may be in one, what answers it in another. Times as in hot_row, exact. */
struct tcp_row {
	struct tcp_sample sample[2]; /* by direction: of the socket that sends, if it is here */
	__u64 syn_ns;		     /* the first SYN without ACK; 0: there was none */
	__u64 syn_ack_ns;	     /* the first with ACK */
	/* The first ACK in the direction of that SYN, where the row has either. Else, if the row's
	 * first packet was one, that: it may be what answers a SYN and ACK in another row. */
	__u64 ack_ns;
};
ABI_ASSERT(sizeof(struct tcp_row) == 64);

/* Units of 1.05 ms, as many as a place has bits for. */
static inline __u64 tcp_time(__u64 ns)
{
	return ns >> 20;
}

/* A set of the flow cache: one line of tags, then the rows.
 *
 * tag[w] == 0: way w is free. The kernel sets it after writing the row; when the row has been
 * merged the daemon makes its kind KIND_FREED and then clears the tag, in a generation that no
 * program uses any more. The kind is so that a packet's row can be told by its key alone: no
 * packet's key is that of a free row, nor of one that has never been used. */
enum { FLOW_CACHE_WAYS = 4 };

struct flow_set {
	__u32 tag[FLOW_CACHE_WAYS];
	__u32 zero[12];
	struct hot_row hot[FLOW_CACHE_WAYS];
	struct cold_row cold[FLOW_CACHE_WAYS];
	struct tcp_row tcp[FLOW_CACHE_WAYS];
};
ABI_ASSERT(sizeof(struct flow_set) == 1088);

/* What travels through the `evicted` ring buffer. */
struct evicted_row {
	struct hot_row hot;
	struct cold_row cold;
	struct tcp_row tcp;
};
ABI_ASSERT(sizeof(struct evicted_row) == 256);

/* Why a packet that was seen is in no row. Bytes of these are layer-2 octets. */
enum drop_reason {
	DROP_NOT_IP,	   /* ARP, LLDP, an unknown EtherType */
	DROP_TRUNCATED,	   /* the packet ends inside its link or IP header */
	DROP_MALFORMED,	   /* the IP header contradicts itself */
	DROP_TOO_DEEP,	   /* more VLAN tags, MPLS labels or extension headers than are followed */
	DROP_EVICTED_FULL, /* the flow cache's set and the ring buffer `evicted` are full */
	DROP_REASON_COUNT, /* keep last */
};

struct drop_count {
	__u64 packets;
	__u64 bytes;
};

/* One CPU's counters, written by that CPU only, never reset.
 * seen == rows + drops, in packets and in layer-2 octets. */
struct cpu_counters {
	__u64 seen_packets;
	__u64 seen_bytes; /* layer-2 octets */
	/* The CPU's last reading of the clock and the tick it was read in; not for
	 * the daemon. Here because every packet touches this line anyway. */
	__u64 clock_jiffies;
	__u64 clock_ns;
	struct drop_count drop[DROP_REASON_COUNT];
	__u64 evicted_rows;	 /* rows sent to the ring buffer */
	__u64 nonlinear_packets; /* parsed from a copy of their headers */
	__u64 fragments_unknown; /* later fragments whose first was not seen: ports 0/0 */
	__u64 claimed;		 /* PREEMPT_RT: the partition's owner flag */
	__u64 zero[14];
};
ABI_ASSERT(sizeof(struct cpu_counters) == 256);
ABI_ASSERT(DROP_REASON_COUNT == 5);

/* Limits that both sides know. */
enum {
	MAX_TUNNEL_PORTS = 8,	/* per kind of tunnel */
	MAX_HEADER_BYTES = 256, /* of a packet that the parser looks at */
};

/* What the parser needs to know. A port of 0 is an unused place; ports are in
 * host order. */
struct parse_settings {
	/* tunnel_port_bit() of every port below that is not 0: most packets are
	 * known not to be tunnels by one test. */
	__u64 tunnel_port_filter;
	__u16 vxlan_ports[MAX_TUNNEL_PORTS];
	__u16 geneve_ports[MAX_TUNNEL_PORTS];
	__u16 wireguard_ports[MAX_TUNNEL_PORTS];
	__u8 decapsulate_gre;
	__u8 decapsulate_ipip;
	__u8 zero[6];
};
ABI_ASSERT(sizeof(struct parse_settings) == 64);

/* A port's place in parse_settings.tunnel_port_filter is the low 6 bits of this, host order. Of
 * two ports in one word the upper's is in bits 16 to 21. DNS and QUIC share none of VXLAN's,
 * Geneve's and WireGuard's places. */
static inline __u32 tunnel_port_place(__u32 ports)
{
	return ports >> 2 ^ ports >> 8;
}

static inline __u64 tunnel_port_bit(__u16 port)
{
	return 1ULL << (tunnel_port_place(port) & 63);
}

/* Whose a socket is. */
enum {
	OWNER_UNKNOWN = 1, /* looked for and not found; no owner's number */
	OWNER_FIRST = 2,
	OWNER_TRACED = 0x80000000, /* a number given by a program that traces */
	OWNER_SLOTS = 8192,
	OWNER_NAME_BYTES = 128, /* the longest part of a path that is kept whole, with its zero */
	OWNER_PATH_BYTES = 484,
};

/* What is noted at a socket. */
struct socket_owner {
	__u32 number;	     /* 0: nothing yet */
	__u32 awaits_accept; /* 1: may listen, or made by such and not accepted yet: nobody's */
};

/* A path's parts from the leaf up, each with its zero. */
struct owner_path {
	__u16 bytes;
	__u16 complete; /* 0: parts nearest to the root are missing */
	char parts[OWNER_PATH_BYTES];
};
ABI_ASSERT(sizeof(struct owner_path) == 488);

/* A process that has had a socket, in the place owner_place(number) until a later one takes it. */
struct owner_slot {
	__u32 number;	/* 0 while it is written; other than 0 and OWNER_UNKNOWN */
	__u32 pid;	/* in rheod's pid namespace, 0: not there */
	__u64 start_ns; /* CLOCK_BOOTTIME */
	__u64 cgroup_id;
	__u32 uid; /* effective */
	__u32 zero;
	char comm[16];
	struct owner_path cgroup;
	struct owner_path executable; /* in its own mount namespace */
};
ABI_ASSERT(sizeof(struct owner_slot) == 1024);

/* How many numbers were given, beside their lock: a struct bpf_spin_lock to the kernel. */
struct owner_counts {
	__u32 lock;
	__u32 given;
	__u32 given_traced;
};
ABI_ASSERT(sizeof(struct owner_counts) == 12);

/* Numbers of both kinds have places of their own: they are given at the same time. */
static inline __u32 owner_place(__u32 number)
{
	const __u32 half = OWNER_SLOTS / 2;

	return number % half + (number & OWNER_TRACED ? half : 0);
}

/* Constants of the programs that note owners. */
struct owner_settings {
	__u64 cgroup_root;     /* inode number of the cgroup that rheod sees as the root */
	__u32 pid_namespace;   /* inode number of rheod's */
	__u32 follows_accept;  /* 1: there is a program that does */
	__u32 notes_tcp_later; /* 1: binding and connecting are noted, creating need not be */
	__u32 zero;
};

/* Constants of a loaded program, written between open and load into its
 * read-only data (`const volatile struct meter_settings settings`). */
struct meter_settings {
	__u64 hash_seed[7];	 /* random, each odd */
	__u32 partition_sets;	 /* sets of one CPU's partition, a power of two */
	__u32 partition_count;	 /* a CPU with a number from here on has no partition */
	__u32 ring_wakeup_bytes; /* wake the collector when `evicted` holds more */
	__u8 netns_number;	 /* high 8 bits of flow_key.link */
	__u8 claim_partition;	 /* PREEMPT_RT: claim before use */
	__u8 note_owners;	 /* of the sockets that send; else they are not looked at for it */
	__u8 has_coarse_clock;	 /* the kernel's helper, from Linux 5.11 on */
	__u8 note_tcp;		 /* fill tcp_row */
	__u8 zero[7];
	struct parse_settings parse;
};
ABI_ASSERT(sizeof(struct meter_settings) == 144);

#ifdef __cplusplus
} // namespace rheo::abi
#endif

#endif
