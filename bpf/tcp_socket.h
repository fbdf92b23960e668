/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/tcp_socket.h: what the TCP socket that sends a packet says of its connection.
 *
 * Runs at egress on the packet's CPU: what comes in has no socket yet.
 */
#ifndef RHEO_BPF_TCP_SOCKET_H
#define RHEO_BPF_TCP_SOCKET_H

#include "bpf/flow_cache.h"
#include "bpf/maps.h"

/* A kernel's constants that its headers for programs leave out. */
enum {
	SOCKET_STREAM = 1, /* SOCK_STREAM */
	TCP_STATE_LISTEN = 10,
};

/* The TCP socket that sends the packet, if it has one that is here, for bpf_tcp_sock(). */
BPF_INLINE struct bpf_tcp_sock *sending_tcp_socket(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	/* A raw socket may have the protocol TCP, and nothing of what a TCP socket has. */
	if (!sk || sk->type != SOCKET_STREAM || sk->state == TCP_STATE_LISTEN)
		return 0;
	return bpf_tcp_sock(sk);
}

BPF_INLINE void take_sample(struct tcp_sample *sample, const struct bpf_tcp_sock *socket,
			    __u64 coarse_ns)
{
	sample->srtt_us = socket->srtt_us >> 3;
	sample->min_rtt_us = socket->rtt_min == ~0U ? 0 : socket->rtt_min;
	sample->retransmits = socket->total_retrans;
	sample->congestion_window = socket->snd_cwnd;
	sample->time = (__u32)tcp_time(coarse_ns);
}

#endif
