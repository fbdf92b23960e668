// SPDX-License-Identifier: Apache-2.0
// Listeners: the sockets of the calling thread's network namespace that wait for others to speak first, and
// the host's addresses, as values. Keeps no state; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "daemon/base/result.h"
#include "daemon/model/listeners.h"

namespace rheo {

/// Asks the kernel for listening TCP and SCTP sockets, bound and unconnected UDP and UDP-Lite sockets, and
/// the host's addresses and ephemeral ports. A protocol that the kernel cannot list (no such module) has no
/// sockets in the answer. Each of at most nine dumps answers within 2 seconds of the last message received,
/// or fails.
Result<Listeners> dump_listeners();

/// What one sock_diag answer says of a waiting socket.
struct WaitingSocket {
  SocketAddress address;
  bool any_v6_only = false;  // the wildcard address of IPv6, and no IPv4
};

/// One inet_diag message (its netlink header included), of a socket of the protocol that was asked for.
/// Nothing if it is about something else, is malformed, or the socket has no port or a peer. Pure.
std::optional<WaitingSocket> read_socket_message(std::span<const std::byte> message, std::uint8_t protocol);

/// The local address of one RTM_NEWADDR message (its header included). Nothing if it is about something else,
/// or is malformed. Pure.
std::optional<Address> read_address_message(std::span<const std::byte> message);

}  // namespace rheo
