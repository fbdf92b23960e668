// SPDX-License-Identifier: Apache-2.0
// TCX links (Linux 6.6): a program at one direction of one interface for as long as its descriptor or pin
// lives. The main thread's.
#pragma once

#include <cstdint>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/datapath/options.h"

namespace rheo {

/// True if the kernel has TCX, by asking for a link on an interface that cannot exist.
bool kernel_has_tcx(int program_fd);

/// Ahead of all programs that are there, or behind them: then what one of them gives a final verdict on is
/// not seen.
Result<UniqueFd> attach_tcx(int program_fd, std::uint32_t ifindex, Direction direction, TcxOrder order);

/// Exchanges the program of a link; each packet meets either the old or the new one.
Status update_tcx(int link_fd, int program_fd);

/// The interface of this network namespace that a link is on: 0 if it is gone, or moved to another namespace,
/// or this is no TCX link of that direction.
std::uint32_t tcx_ifindex(int link_fd, Direction direction);

/// Its interface's number in whatever namespace it is: 0 as above, but for the move.
std::uint32_t tcx_ifindex_anywhere(int link_fd, Direction direction);

/// Whether this is a TCX link of that direction, wherever its interface is now.
bool tcx_is_link(int link_fd, Direction direction);

/// At once, also while a pin or another descriptor still holds the link.
void detach_tcx(int link_fd);

}  // namespace rheo
