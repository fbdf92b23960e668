// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/transport/socket.h"

#include <linux/sctp.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <thread>

namespace rheo {
namespace {

/// A path MTU beyond jumbo frames is the loopback's; collectors receive into buffers of 10,000 bytes
/// (nfacctd).
constexpr int kMaxPathMtu = 9'000;
constexpr int kMinPathMtu = 576;  // what every IPv4 host takes (RFC 1122)
/// An idle connection is probed after the first, and then as often as the second.
constexpr int kKeepAliveSeconds = 30;
constexpr int kProbeSeconds = 5;
/// TCP: what a connection may hold that is not on its way yet. It is lost if the connection breaks, and a
/// collector that stops reading is noticed when it is full.
constexpr int kUnsentBytes = 128 * 1'024;

/// How long until an acknowledgement is looked for again: a round trip on loopback, and no more than costs
/// little of one over the world.
constexpr std::chrono::microseconds kFirstLook(20);
constexpr std::chrono::microseconds kLongestLook(2'000);

bool set(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/// Path MTU discovery keeps its default, IP_PMTUDISC_WANT: what is too large is fragmented here, never lost.
bool set_datagram_options(int fd, int family) {
  return family == AF_INET6 ? set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1) : set(fd, IPPROTO_IP, IP_RECVERR, 1);
}

/// The first time without an answer is a tenth of what there is, four more are a fifth each: the kernel's own
/// limits take minutes.
bool set_association_options(int fd, std::uint32_t dead_ms) {
  const sctp_rtoinfo times{
      .srto_assoc_id = 0, .srto_initial = dead_ms / 10, .srto_max = dead_ms / 5, .srto_min = dead_ms / 10};
  sctp_assocparams limits{};  // 0: as it is
  limits.sasoc_asocmaxrxt = 4;
  return set(fd, IPPROTO_SCTP, SCTP_NODELAY, 1) &&
         (dead_ms == 0 || (::setsockopt(fd, IPPROTO_SCTP, SCTP_RTOINFO, &times, sizeof times) == 0 &&
                           ::setsockopt(fd, IPPROTO_SCTP, SCTP_ASSOCINFO, &limits, sizeof limits) == 0));
}

bool set_stream_options(int fd, const SocketOptions& options) {
  const auto dead_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(options.dead_peer_timeout).count();
  if (options.protocol == IPPROTO_SCTP)
    return set_association_options(fd, static_cast<std::uint32_t>(dead_ms));
  return set(fd, IPPROTO_TCP, TCP_NODELAY, 1) && set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
         set(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveSeconds) &&
         set(fd, IPPROTO_TCP, TCP_KEEPINTVL, kProbeSeconds) &&
         set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentBytes) &&
         set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(dead_ms));
}

Status set_options(int fd, int family, const SocketOptions& options) {
  const int traffic_class = options.dscp << 2;
  const bool marked = family == AF_INET6 ? set(fd, IPPROTO_IPV6, IPV6_TCLASS, traffic_class)
                                         : set(fd, IPPROTO_IP, IP_TOS, traffic_class);
  if (!marked) return errno_error("set the DSCP of a socket");
  const bool datagram = options.type == SOCK_DGRAM;
  if (!(datagram ? set_datagram_options(fd, family) : set_stream_options(fd, options)))
    return errno_error("set up a socket");
  if (options.source && ::bind(fd, options.source->get(), options.source->size) != 0)
    return errno_error("send from " + options.source->text());
  return Done{};
}

Result<UniqueFd> connect_one(const SocketAddress& peer, const SocketOptions& options,
                             const Deadline& deadline) {
  UniqueFd fd(::socket(peer.family(), options.type | SOCK_NONBLOCK | SOCK_CLOEXEC, options.protocol));
  if (!fd) return errno_error("make a socket");
  if (Status done = set_options(fd.get(), peer.family(), options); !done) return forward(std::move(done));
  if (::connect(fd.get(), peer.get(), peer.size) == 0) return fd;
  if (errno != EINPROGRESS && errno != EINTR) return errno_error("no connection");
  if (!wait_for(fd.get(), POLLOUT, deadline))
    return failure("no answer within " + deadline.text(), std::errc::timed_out);
  int number = 0;
  socklen_t size = sizeof number;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &number, &size) != 0) number = errno;
  if (number != 0) return errno_error("no connection", number);
  return fd;
}

}  // namespace

Result<ConnectedSocket> connect_socket(const std::vector<SocketAddress>& addresses,
                                       const SocketOptions& options, const Deadline& deadline) {
  Result<ConnectedSocket> last =
      failure("connect to " + options.endpoint + ": it has no address of the family of " +
              (options.source ? options.source->text() : "this host"));
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const SocketAddress& peer = addresses[i];
    if (options.source && options.source->family() != peer.family()) continue;
    auto fd = connect_one(peer, options, deadline.share(addresses.size() - i));
    if (fd) return ConnectedSocket{.fd = *std::move(fd), .peer = peer};
    last = forward(std::move(fd), "connect to " + options.endpoint + " (" + peer.text() + ")");
  }
  return last;
}

std::uint64_t unacknowledged(int fd) {
  int octets = 0;
  return ::ioctl(fd, SIOCOUTQ, &octets) == 0 && octets > 0 ? static_cast<std::uint64_t>(octets) : 0;
}

/// No event tells when the last acknowledgement has come, so it is looked for: soon, then less often.
Status wait_until_acknowledged(int fd, const Deadline& deadline, const std::function<Status()>& check) {
  auto wait = kFirstLook;
  while (unacknowledged(fd) != 0) {
    if (Status good = check(); !good) return good;
    if (deadline.passed())
      return failure("the collector did not acknowledge what was sent within " + deadline.text(),
                     std::errc::timed_out);
    std::this_thread::sleep_for(wait);
    wait = std::min(wait * 2, kLongestLook);
  }
  return Done{};
}

Status send_all(int fd, std::span<const std::byte> bytes, const Deadline& deadline, std::uint64_t& written) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(count));
      written += static_cast<std::uint64_t>(count);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return errno_error("the connection broke");
    if (!wait_for(fd, POLLOUT, deadline))
      return failure("the collector did not take a message within " + deadline.text(), std::errc::timed_out);
  }
  return Done{};
}

Status check_peer(int fd) {
  std::array<std::byte, 4'096> said;
  for (int i = 0; i < 16; ++i) {
    const ssize_t count = ::recv(fd, said.data(), said.size(), MSG_DONTWAIT);
    if (count > 0 || (count < 0 && errno == EINTR)) continue;
    if (count == 0) return failure("the collector closed the connection", std::errc::connection_reset);
    if (errno == EAGAIN) break;
    return errno_error("the connection broke");
  }
  return Done{};
}

void abort_connection(UniqueFd& fd) {
  if (!fd) return;
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  fd.reset();
}

bool take_icmp_errors(int fd) {
  bool any = false;
  std::array<std::byte, 512> control;
  for (int i = 0; i < 1'024; ++i) {
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) break;
    any = true;
  }
  return any;
}

std::size_t datagram_overhead(int family) { return (family == AF_INET6 ? 40U : 20U) + sizeof(udphdr); }

std::size_t datagram_room(int fd, int family) {
  int mtu = 0;
  socklen_t size = sizeof mtu;
  const bool known = family == AF_INET6 ? ::getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &size) == 0
                                        : ::getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &size) == 0;
  if (!known) mtu = kMinPathMtu;
  return static_cast<std::size_t>(std::clamp(mtu, kMinPathMtu, kMaxPathMtu)) - datagram_overhead(family);
}

}  // namespace rheo
