/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bpf/clock.h: the time of a packet. */
#ifndef RHEO_BPF_CLOCK_H
#define RHEO_BPF_CLOCK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "bpf/cursor.h"

/* The kernel's list of helpers, as far as this object asks about it. */
enum bpf_func_id___rheo {
	BPF_FUNC_ktime_get_coarse_ns___rheo = 160,
};

/* CLOCK_MONOTONIC as of the last tick, up to 10 ms ago; the time itself before
 * Linux 5.11, which has no such helper. */
BPF_INLINE __u64 coarse_ns(void)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id___rheo,
				       BPF_FUNC_ktime_get_coarse_ns___rheo))
		return bpf_ktime_get_coarse_ns();
	return bpf_ktime_get_ns();
}

#endif
