/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/owner.bpf.c: the programs that note whose a socket is: the process that created it,
 * bound it, connected it, sent with it or accepted it last, in this order in time.
 *
 * A process becomes an owner_slot with a number of its own when it first has a socket, and again
 * when its program, user or cgroup is another one. Each program is loaded and attached by itself:
 * what a kernel does not have is left out.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/abi.h"
#include "bpf/owner_describe.h"
#include "bpf/owner_maps.h"

/* struct owner_slot by number modulo OWNER_SLOTS. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, OWNER_SLOTS);
	__type(key, __u32);
	__type(value, struct owner_slot);
} owners SEC(".maps");

/* The numbers of processes that have one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OWNER_SLOTS);
	__type(key, struct owner_key);
	__type(value, __u32);
} owner_numbers SEC(".maps");

/* struct owner_counts with the kernel's own lock. It is for programs on kernels without atomic
 * reads (before 5.12), and may not be taken by those that trace: they have numbers of their own. */
struct owner_sequence {
	struct bpf_spin_lock lock;
	__u32 given;
	__u32 given_traced;
};
ABI_ASSERT(sizeof(struct owner_sequence) == sizeof(struct owner_counts));
ABI_ASSERT(__builtin_offsetof(struct owner_sequence, given) ==
	   __builtin_offsetof(struct owner_counts, given));
ABI_ASSERT(__builtin_offsetof(struct owner_sequence, given_traced) ==
	   __builtin_offsetof(struct owner_counts, given_traced));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct owner_sequence);
} owner_sequence SEC(".maps");

OWNER_INLINE __u32 next_number(struct owner_sequence *sequence, const int traced)
{
	__u32 given;

	if (traced) {
		given = __sync_fetch_and_add(&sequence->given_traced, 1);
	} else {
		bpf_spin_lock(&sequence->lock);
		given = sequence->given++;
		bpf_spin_unlock(&sequence->lock);
	}
	return (OWNER_FIRST + given % (OWNER_TRACED - OWNER_FIRST)) | (traced ? OWNER_TRACED : 0);
}

/* The number of the process, which is new where it has none yet; OWNER_UNKNOWN where none is to
 * be had. */
OWNER_INLINE __u32 number_of(struct task_struct *task, const int traced)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct owner_key key;
	struct owner_sequence *sequence;
	struct owner_slot *slot;
	__u32 *known, number, index = 0;

	describe_process(&key, leader);
	known = bpf_map_lookup_elem(&owner_numbers, &key);
	if (known) {
		number = *known;
		index = owner_place(number);
		slot = bpf_map_lookup_elem(&owners, &index);
		if (slot && slot->number == number)
			return number;
		index = 0;
	}
	sequence = bpf_map_lookup_elem(&owner_sequence, &index);
	if (!sequence)
		return OWNER_UNKNOWN;
	number = next_number(sequence, traced);
	index = owner_place(number);
	slot = bpf_map_lookup_elem(&owners, &index);
	if (!slot)
		return OWNER_UNKNOWN;
	fill_slot(slot, &key, number, leader);
	bpf_map_update_elem(&owner_numbers, &key, &number, BPF_ANY);
	return number;
}

OWNER_INLINE int note(struct socket_owner *owner, __u32 number, __u32 awaits_accept)
{
	if (owner)
		store_owner(owner, number, awaits_accept);
	return 1;
}

OWNER_INLINE int note_current(struct bpf_sock *sk)
{
	if (!sk)
		return 1;
	return note(bpf_sk_storage_get(&socket_owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE),
		    number_of((void *)bpf_get_current_task(), 0), 0);
}

/* The service manager creates sockets, and binds them, for those whom it starts. */
OWNER_INLINE int note_creator(struct bpf_sock *sk, __u32 awaits_accept)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return note(bpf_sk_storage_get(&socket_owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE),
		    is_service_manager(task) ? OWNER_UNKNOWN : number_of(task, 0), awaits_accept);
}

/* A TCP socket sends nothing before it is bound or connected: it is not noted twice then. */
SEC("cgroup/sock_create")
int owner_created(struct bpf_sock *sk)
{
	return owner_settings.notes_tcp_later && sk->protocol == PROTOCOL_TCP ? 1
									      : note_creator(sk, 0);
}

/* Whose a listener is, the meter asks when it sees the answer to a SYN. A program of "sockops"
 * would see it listen, and be called ten times a connection. */
OWNER_INLINE int note_binder(struct bpf_sock *sk)
{
	return sk->protocol == PROTOCOL_TCP ? note_creator(sk, owner_settings.follows_accept) : 1;
}

SEC("cgroup/post_bind4")
int owner_binds4(struct bpf_sock *sk)
{
	return note_binder(sk);
}

SEC("cgroup/post_bind6")
int owner_binds6(struct bpf_sock *sk)
{
	return note_binder(sk);
}

/* Most connections end before they are worth a storage: one that lives gets it from the meter. */
OWNER_INLINE int note_connector(struct bpf_sock_addr *call)
{
	struct bpf_sock *sk = call->sk;
	struct socket_owner *owner;
	__u32 number;

	if (!sk)
		return 1;
	if (call->protocol != PROTOCOL_TCP)
		return note_current(sk);
	number = number_of((void *)bpf_get_current_task(), 0);
	owner = bpf_sk_storage_get(&socket_owners, sk, 0, 0);
	if (owner)
		return note(owner, number, 0);
	note_recent(bpf_get_socket_cookie(call), number);
	return 1;
}

SEC("cgroup/connect4")
int owner_connects4(struct bpf_sock_addr *call)
{
	return note_connector(call);
}

SEC("cgroup/connect6")
int owner_connects6(struct bpf_sock_addr *call)
{
	return note_connector(call);
}

SEC("cgroup/sendmsg4")
int owner_sends4(struct bpf_sock_addr *call)
{
	return note_current(call->sk);
}

SEC("cgroup/sendmsg6")
int owner_sends6(struct bpf_sock_addr *call)
{
	return note_current(call->sk);
}

/* Who accepts: where the kernel lets its functions be followed. The service manager does it for
 * those whom it starts. */
SEC("fexit/inet_accept")
int BPF_PROG(owner_accepts, struct socket *listening, struct socket *accepted)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct sock *sk = accepted->sk;

	(void)ctx;
	(void)listening;
	if (sk)
		note(bpf_sk_storage_get(&socket_owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE),
		     is_service_manager(task) ? OWNER_UNKNOWN : number_of(task, 1), 0);
	return 0;
}

OWNER_INLINE int is_owner(__u32 number)
{
	const __u32 index = owner_place(number);
	const struct owner_slot *slot = bpf_map_lookup_elem(&owners, &index);

	return number > OWNER_UNKNOWN && slot && slot->number == number;
}

/* Sockets that are older than these programs, and those that were accepted unseen. Of several
 * processes that have one open, the first to be visited is its owner. */
SEC("iter/task_file")
int owner_of_older(struct bpf_iter__task_file *visit)
{
	struct task_struct *task = visit->task;
	struct file *file = visit->file;
	struct socket_owner *owner, noted;
	struct socket *socket;
	struct sock *sk;
	int state, may_listen;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	owner = bpf_sk_storage_get(&socket_owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!owner)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	may_listen = state == TCP_STATE_LISTEN ||
		     (state == TCP_STATE_CLOSE && BPF_CORE_READ(sk, sk_protocol) == PROTOCOL_TCP);
	noted = load_owner(owner);
	if (!noted.number)
		noted.number = recent_owner(BPF_CORE_READ(sk, __sk_common.skc_cookie.counter));
	if (!is_service_manager(task) &&
	    (!is_owner(noted.number) || (noted.awaits_accept && !may_listen)))
		noted.number = number_of(task, 1);
	store_owner(owner, noted.number, may_listen && owner_settings.follows_accept);
	return 0;
}

const char owner_license[] SEC("license") = "Dual BSD/GPL";
