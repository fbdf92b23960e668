// SPDX-License-Identifier: Apache-2.0
// Refusal: why the kernel would not do something with BPF, in one sentence that says what to change.
// Any thread.
#pragma once

#include <string_view>

#include "daemon/base/result.h"

namespace rheo {

/// libbpf prints to standard error by itself; from here on its last lines are kept for bpf_error().
/// Idempotent.
void capture_libbpf_log();

/// An Error from a positive errno value of bpf() or libbpf. No privilege, no bpf(), a small RLIMIT_MEMLOCK
/// have sentences of their own; others get libbpf's last lines of this thread, which are forgotten.
std::unexpected<Error> bpf_error(std::string_view doing, int number);

}  // namespace rheo
