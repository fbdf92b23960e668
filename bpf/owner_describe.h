/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/owner_describe.h: what the kernel's own structures say of a process: which one it is, its
 * user, its cgroup, the file that it runs. No maps.
 */
#ifndef RHEO_BPF_OWNER_DESCRIBE_H
#define RHEO_BPF_OWNER_DESCRIBE_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "bpf/abi.h"

#define OWNER_INLINE static inline __attribute__((always_inline))

/* What is used of the kernel's types; where it lies, the loader finds out. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	const char *name;
	struct kernfs_node *parent;
	__u64 id;
};
struct kernfs_node___since_6_15 {
	struct kernfs_node *__parent;
};
struct cgroup {
	struct kernfs_node *kn;
};
struct css_set {
	struct cgroup *dfl_cgrp;
};
struct ns_common {
	unsigned int inum;
};
struct pid_namespace {
	struct ns_common ns;
};
struct upid {
	int nr;
	struct pid_namespace *ns;
};
struct pid {
	unsigned int level;
	struct upid numbers[1];
};
struct qstr {
	const unsigned char *name;
};
struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};
struct vfsmount {
	struct dentry *mnt_root;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file {
	struct path f_path;
};
struct mm_struct {
	struct file *exe_file;
};
struct kuid {
	__u32 val;
};
struct cred {
	struct kuid euid;
};
struct task_struct {
	int tgid;
	__u64 start_boottime;
	__u64 self_exec_id;
	char comm[16];
	struct task_struct *group_leader;
	struct pid *thread_pid;
	const struct cred *cred;
	struct css_set *cgroups;
	struct mm_struct *mm;
};
struct sock_cookie {
	__s64 counter;
};
struct sock_common {
	unsigned char skc_state;
	struct sock_cookie skc_cookie;
};
struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
};
struct socket {
	struct sock *sk;
};
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};
#pragma clang attribute pop

enum {
	PROTOCOL_TCP = 6,
	TCP_STATE_CLOSE = 7, /* of a new socket, too */
	TCP_STATE_LISTEN = 10,
	MAX_PATH_DEPTH = 20,	/* of cgroups, and of files with the mounts between */
	MAX_PID_NAMESPACES = 8, /* below which rheod may run */
};

const volatile struct owner_settings owner_settings;

/* What makes a process another one. */
struct owner_key {
	__u64 start_ns;
	__u64 cgroup_id;
	__u64 exec_id;
	__u32 tgid; /* of the kernel's own numbers */
	__u32 uid;
};

OWNER_INLINE void describe_process(struct owner_key *key, struct task_struct *leader)
{
	key->start_ns = BPF_CORE_READ(leader, start_boottime);
	key->cgroup_id = BPF_CORE_READ(leader, cgroups, dfl_cgrp, kn, id);
	key->exec_id = BPF_CORE_READ(leader, self_exec_id);
	key->tgid = BPF_CORE_READ(leader, tgid);
	key->uid = BPF_CORE_READ(leader, cred, euid.val);
}

/* A name of less than 16 bytes, to be compared. */
union short_name {
	char text[16];
	__u64 word[2];
};

OWNER_INLINE int is_same_name(const union short_name *one, const union short_name *other)
{
	return one->word[0] == other->word[0] && one->word[1] == other->word[1];
}

OWNER_INLINE int is_in_init_scope(struct task_struct *leader)
{
	const union short_name scope = { .text = "init.scope" };
	union short_name cgroup = {};

	bpf_probe_read_kernel_str(cgroup.text, sizeof(cgroup.text),
				  BPF_CORE_READ(leader, cgroups, dfl_cgrp, kn, name));
	return is_same_name(&cgroup, &scope);
}

OWNER_INLINE int is_in_socket_unit(struct task_struct *leader)
{
	const char *name = BPF_CORE_READ(leader, cgroups, dfl_cgrp, kn, name);
	const union {
		char text[8];
		__u64 word;
	} socket = { .text = ".socket" };
	char whole[OWNER_NAME_BYTES];
	const long length = bpf_probe_read_kernel_str(whole, sizeof(whole), name);
	__u64 end = 0;

	if (length < (long)sizeof(end))
		return 0;
	bpf_probe_read_kernel(&end, sizeof(end), name + length - sizeof(end));
	return end == socket.word;
}

/* systemd, the host's, a user's or a container's, or whatever else is the first process; and the
 * processes in which it listens and accepts for a socket unit, in that one's cgroup. Any process
 * may take these names, but none that it starts for others is in these cgroups. */
OWNER_INLINE int is_service_manager(struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	const union short_name systemd = { .text = "systemd" }, listens = { .text = "(sd-listen)" },
			       accepts = { .text = "(sd-accept)" };
	union short_name comm = {};

	if (BPF_CORE_READ(leader, tgid) == 1)
		return 1;
	bpf_core_read_str(comm.text, sizeof(comm.text), &leader->comm);
	if (is_same_name(&comm, &systemd))
		return is_in_init_scope(leader);
	return (is_same_name(&comm, &listens) || is_same_name(&comm, &accepts)) &&
	       is_in_socket_unit(leader);
}

/* The process's number in rheod's own pid namespace, 0 where it has none there. */
OWNER_INLINE __u32 visible_pid(struct task_struct *leader)
{
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	const __u32 level = BPF_CORE_READ(pid, level);
	const struct upid *at = (void *)pid + bpf_core_field_offset(pid->numbers);
	__u32 i;

	for (i = 0; i < MAX_PID_NAMESPACES && i <= level; i++) {
		if (BPF_CORE_READ(at, ns, ns.inum) == owner_settings.pid_namespace)
			return BPF_CORE_READ(at, nr);
		at = (const void *)at + bpf_core_type_size(struct upid);
	}
	return 0;
}

OWNER_INLINE struct kernfs_node *parent_of(struct kernfs_node *node)
{
	const struct kernfs_node___since_6_15 *newer = (const void *)node;

	if (bpf_core_field_exists(newer->__parent))
		return BPF_CORE_READ(newer, __parent);
	return BPF_CORE_READ(node, parent);
}

/* Adds a name in front of what the path has. False where there is no room. */
OWNER_INLINE int add_part(struct owner_path *path, const void *name)
{
	const __u32 used = path->bytes;
	long length;

	if (used > OWNER_PATH_BYTES - OWNER_NAME_BYTES)
		return 0;
	length = bpf_probe_read_kernel_str(path->parts + used, OWNER_NAME_BYTES, name);
	if (length <= 0 || length > OWNER_NAME_BYTES)
		return 0;
	path->bytes = used + length;
	return 1;
}

/* In a container the path begins at the container's root, as rheod sees it. */
OWNER_INLINE void describe_cgroup(struct owner_path *path, struct task_struct *leader)
{
	struct kernfs_node *node = BPF_CORE_READ(leader, cgroups, dfl_cgrp, kn);
	struct kernfs_node *parent;
	int depth;

	path->bytes = 0;
	path->complete = 0;
	for (depth = 0; depth < MAX_PATH_DEPTH; depth++) {
		parent = parent_of(node);
		if (!parent || BPF_CORE_READ(node, id) == owner_settings.cgroup_root) {
			path->complete = 1;
			return;
		}
		if (!add_part(path, BPF_CORE_READ(node, name)))
			return;
		node = parent;
	}
}

OWNER_INLINE struct mount *mount_of(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

OWNER_INLINE void describe_executable(struct owner_path *path, struct task_struct *leader)
{
	struct file *file = BPF_CORE_READ(leader, mm, exe_file);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct mount *mount = mount_of(BPF_CORE_READ(file, f_path.mnt));
	struct mount *below;
	int depth;

	path->bytes = 0;
	path->complete = 0;
	if (!dentry)
		return;
	for (depth = 0; depth < MAX_PATH_DEPTH; depth++) {
		if (dentry != BPF_CORE_READ(mount, mnt.mnt_root)) {
			if (!add_part(path, BPF_CORE_READ(dentry, d_name.name)))
				return;
			dentry = BPF_CORE_READ(dentry, d_parent);
			continue;
		}
		below = BPF_CORE_READ(mount, mnt_parent);
		if (below == mount) {
			path->complete = 1;
			return;
		}
		dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		mount = below;
	}
}

OWNER_INLINE void fill_slot(struct owner_slot *slot, const struct owner_key *key, __u32 number,
			    struct task_struct *leader)
{
	slot->number = 0; /* readers look before and after */
	__asm__ volatile("" ::: "memory");
	slot->start_ns = key->start_ns;
	slot->cgroup_id = key->cgroup_id;
	slot->uid = key->uid;
	slot->pid = visible_pid(leader);
	bpf_core_read_str(slot->comm, sizeof(slot->comm), &leader->comm);
	describe_cgroup(&slot->cgroup, leader);
	describe_executable(&slot->executable, leader);
	__asm__ volatile("" ::: "memory");
	slot->number = number;
}

#endif
