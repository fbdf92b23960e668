/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/clock.h: the time of a packet. */
#ifndef RHEO_BPF_CLOCK_H
#define RHEO_BPF_CLOCK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "bpf/maps.h"

/* CLOCK_MONOTONIC as of the last tick; the time itself before Linux 5.11, which has no such
 * helper. The loader says which: to ask by CO-RE takes a kernel with BTF. */
BPF_INLINE __u64 read_clock(void)
{
	return settings.has_coarse_clock ? bpf_ktime_get_coarse_ns() : bpf_ktime_get_ns();
}

/* CLOCK_MONOTONIC as of about the last tick: the helper is called once a tick, since
 * a load of jiffies is all that the JIT makes of the other. At most two ticks (20 ms)
 * late, where another CPU is between counting a tick and turning its clock.
 * `is_shared`: others may be at the CPU's counters meanwhile (PREEMPT_RT). */
BPF_INLINE __u64 coarse_ns(struct cpu_counters *counters, const int is_shared)
{
	__u64 jiffies;

	if (is_shared)
		return read_clock();
	jiffies = bpf_jiffies64();
	if (BPF_UNLIKELY(counters->clock_jiffies != jiffies)) {
		counters->clock_ns = read_clock();
		counters->clock_jiffies = jiffies;
	}
	return counters->clock_ns;
}

#endif
