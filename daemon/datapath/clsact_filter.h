// SPDX-License-Identifier: Apache-2.0
// clsact filters, for kernels without TCX: programs in the interface's clsact qdisc, in direct action, at a
// configured priority and handle 0x7268 ("rh"). Ours are known by this handle and by the program's name,
// whatever their priority; nobody else's is touched. A filter belongs to the interface, not to the process.
// The main thread's.
#pragma once

#include <cstdint>

#include "daemon/base/result.h"
#include "daemon/datapath/options.h"

namespace rheo {

/// True: the interface had none and has one now. An `ingress` qdisc in its place is an error.
Result<bool> create_clsact_qdisc(std::uint32_t ifindex);

/// Needs the qdisc. Replaces a filter of ours at this priority in one step; one at another is removed first.
/// Another's filter at our priority and handle is an error.
Status attach_clsact(int program_fd, std::uint32_t ifindex, Direction direction, std::uint16_t priority);

/// Our filters only; false: there was none.
bool detach_clsact(std::uint32_t ifindex, Direction direction);

bool has_our_filter(std::uint32_t ifindex, Direction direction);

/// With every filter in it, so only if there is none: then true.
bool remove_empty_clsact_qdisc(std::uint32_t ifindex);

}  // namespace rheo
