/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tests/bench/bpf/datapath_bench.bpf.c: the metering program and what it is compared
 * with. With more than one flow each of these turns its packet into another flow's
 * first, the empty program too, so that the difference to it is what metering costs.
 * With one flow there is nothing to rewrite: bench_flows is a constant to the verifier,
 * which removes the rewriting from all of them alike.
 */
#include "bpf/flow.bpf.c"

enum {
  BENCH_SOURCE_OFFSET = 26, /* Ethernet, IPv4 without options */
  BENCH_PORT_OFFSET = 34,
  BENCH_BYTES = 42,
};

const volatile __u32 bench_flows = 1; /* the runner: between open and load */
__u32 bench_random = 1;
__u64 bench_sink;

struct bench_counts {
  struct direction_counts direction[2];
  __u64 first_ns;
  __u64 last_ns;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, 1 << 20);
  __type(key, struct flow_key);
  __type(value, struct bench_counts);
} bench_hash SEC(".maps");

/* In random order (xorshift): in the order in which flows began, the elements of a hash map
 * lie one behind the other, which no traffic grants it. What is stored has the width and the
 * place of what the parser loads, so that the load need not wait for several stores. */
BPF_INLINE void next_flow(struct __sk_buff* skb) {
  __u8* data = (__u8*)(long)skb->data;
  __u32 random = bench_random;
  __u32 flow;

  if (bench_flows == 1) return;
  random ^= random << 13;
  random ^= random >> 17;
  random ^= random << 5;
  bench_random = random;
  flow = (__u32)((__u64)random * bench_flows >> 32);
  if (data + BENCH_BYTES > (__u8*)(long)skb->data_end) return;
  *(__u32*)(data + BENCH_SOURCE_OFFSET) = 0x0a | flow << 8;
  *(__u16*)(data + BENCH_PORT_OFFSET) = 0x1234 + (__u16)flow;
}

BPF_INLINE int bench_parse_packet(struct __sk_buff* skb, struct parse_input* in,
                                  struct parsed_packet* packet) {
  describe_packet(skb, in, METER_INGRESS | METER_ETHERNET);
  in->data = (const __u8*)(long)skb->data;
  in->end = (const __u8*)(long)skb->data_end;
  return parse_packet(in, &settings.parse, packet, MEMORY_PACKET);
}

SEC("tc")
int bench_empty(struct __sk_buff* skb) {
  next_flow(skb);
  return VERDICT_NEXT;
}

SEC("tc")
int bench_parse(struct __sk_buff* skb) {
  struct parse_input in;
  struct parsed_packet packet;

  struct metered m;

  next_flow(skb);
  if (!begin(&m, METER_INGRESS)) return VERDICT_NEXT;
  if (bench_parse_packet(skb, &in, &packet) == PARSE_OK)
    bench_sink = packet.word[0] ^ packet.word[1] ^ packet.word[2] ^ packet.word[3] ^ packet.word[4] ^
                 packet.word[5] ^ packet.direction ^ packet.l3_length ^ packet.payload_offset ^ packet.ttl ^
                 packet.tos ^ m.coarse_ns;
  return VERDICT_NEXT;
}

BPF_INLINE void bench_count(struct bench_counts* row, const struct parsed_packet* packet,
                            const struct octets* octets, __u64 now_ns) {
  struct direction_counts* counts = &row->direction[packet->direction & 1];

  counts->l3_bytes += octets->l3;
  counts->packets += octets->packets;
  counts->l2_surplus += (__u32)(octets->l2 - octets->l3);
  counts->flags |= packet->tcp_flags;
  counts->hooks |= HOOK_INGRESS;
  row->last_ns = now_ns;
}

SEC("tc")
int bench_percpu_hash(struct __sk_buff* skb) {
  const __u64 now_ns = bpf_ktime_get_ns();
  struct parse_input in;
  struct parsed_packet packet;
  struct octets octets;
  struct bench_counts* row;
  struct bench_counts first = {};

  next_flow(skb);
  if (bench_parse_packet(skb, &in, &packet) != PARSE_OK) return VERDICT_NEXT;
  count_octets(&in, &packet, &octets);
  packet.key.link = skb->ifindex;
  row = bpf_map_lookup_elem(&bench_hash, &packet.key);
  if (row) {
    bench_count(row, &packet, &octets, now_ns);
    return VERDICT_NEXT;
  }
  first.first_ns = now_ns;
  bench_count(&first, &packet, &octets, now_ns);
  bpf_map_update_elem(&bench_hash, &packet.key, &first, BPF_NOEXIST);
  return VERDICT_NEXT;
}

SEC("tc")
int bench_meter(struct __sk_buff* skb) {
  next_flow(skb);
  return meter(skb, METER_INGRESS | METER_ETHERNET);
}

SEC("tc")
int bench_egress(struct __sk_buff* skb) {
  next_flow(skb);
  return meter(skb, METER_EGRESS | METER_ETHERNET);
}

/* What a packet pays that has to look at its socket, which is the run's own: the first notes an owner there.
 */
SEC("tc")
int bench_owner(struct __sk_buff* skb) {
  struct socket_owner* owner;
  struct bpf_sock* sk;

  next_flow(skb);
  bench_sink = (__u32)socket_owner_number(skb, 0);
  if (BPF_LIKELY(bench_sink != OWNER_UNKNOWN) || !skb->sk) return VERDICT_NEXT;
  sk = bpf_sk_fullsock(skb->sk);
  owner = sk ? bpf_sk_storage_get(&socket_owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE) : 0;
  if (owner) owner->number = OWNER_FIRST;
  return VERDICT_NEXT;
}
