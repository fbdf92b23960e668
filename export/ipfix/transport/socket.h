// SPDX-License-Identifier: Apache-2.0
// Connected, non-blocking sockets as every transport needs them: made with DSCP and source address, connected
// and written to within a deadline, never with a SIGPIPE. Plain functions, the lane's thread.
#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "export/ipfix/transport/deadline.h"
#include "export/ipfix/transport/resolver.h"

namespace rheo {

struct SocketOptions {
  std::string endpoint;  // for sentences
  int type = SOCK_STREAM;
  int protocol = IPPROTO_TCP;
  std::uint8_t dscp = 0;
  std::optional<SocketAddress> source;
  // TCP, SCTP: data, or a probe of an idle connection, that is not acknowledged for this long ends it; 0:
  // when the kernel thinks fit.
  std::chrono::nanoseconds dead_peer_timeout{0};
};

struct ConnectedSocket {
  UniqueFd fd;
  SocketAddress peer;
};

/// Connects to the first of the addresses that answers; each has an equal share of the time that is left.
/// The error is that of the last one.
Result<ConnectedSocket> connect_socket(const std::vector<SocketAddress>& addresses,
                                       const SocketOptions& options, const Deadline& deadline);

/// Sends all of it on a connected stream. Adds to `written` what the kernel took, also on failure.
Status send_all(int fd, std::span<const std::byte> bytes, const Deadline& deadline, std::uint64_t& written);

/// Octets that a TCP socket was given and its peer has not acknowledged; of one that broke, when it did.
std::uint64_t unacknowledged(int fd);

/// Waits until that is nothing. `check` says whether the connection is still good.
Status wait_until_acknowledged(int fd, const Deadline& deadline, const std::function<Status()>& check);

/// Fails if a stream's other end has closed it or reset it. What it said is thrown away: collectors have
/// nothing to say.
Status check_peer(int fd);

/// Closes at once: unsent bytes are thrown away, and the peer sees a reset. Keeps the kernel's memory from a
/// peer that does not read.
void abort_connection(UniqueFd& fd);

/// Takes the ICMP errors off a datagram socket. True if there was one.
bool take_icmp_errors(int fd);

/// Bytes of a datagram that fit the route's path MTU behind IP and UDP headers, of a jumbo frame at most.
std::size_t datagram_room(int fd, int family);

/// Bytes of the headers of IP and UDP, without options.
std::size_t datagram_overhead(int family);

}  // namespace rheo
