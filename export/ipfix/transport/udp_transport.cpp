// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <thread>
#include <utility>

#include "export/ipfix/transport/transports.h"

namespace rheo {
namespace {

/// The time in which a full device queue gets shorter.
constexpr std::chrono::milliseconds kQueueWait(1);
/// After an ICMP error a name is asked for again this soon: the collector may have moved.
constexpr std::chrono::seconds kResolveAfterIcmp(10);
/// How long an address that refused is tried before the name's next one is: of localhost a collector often
/// has only one.
constexpr std::chrono::seconds kTurnAfterIcmp(2);

/// A connected socket, since only that one shows ICMP errors without privileges, and the route's MTU.
class UdpTransport final : public IpfixTransport {
 public:
  UdpTransport(const IpfixTransportOptions& options, SocketOptions socket)
      : options_(options),
        socket_options_(std::move(socket)),
        resolver_(options.endpoint.host, options.endpoint.port),
        next_resolve_(std::chrono::nanoseconds(0)) {}

  Result<bool> prepare() override;
  Status send(std::span<const std::byte> message) override;
  void close() override { socket_.fd.reset(); }
  std::size_t max_message_size() const override { return max_message_size_; }
  bool unreliable() const override { return true; }
  bool peer_may_have_restarted() override;

 private:
  Status connect();
  bool has_moved();
  bool is_turn_of_next() const;
  void note_icmp_errors();
  Status give_up(int number);

  const IpfixTransportOptions options_;
  const SocketOptions socket_options_;
  Resolver resolver_;
  ConnectedSocket socket_;
  Deadline next_resolve_;
  std::size_t max_message_size_ = 0;
  bool icmp_seen_ = false;
  bool refused_ = false;  // by ICMP, since the socket was connected
  std::size_t address_count_ = 0;
  Deadline turn_{std::chrono::nanoseconds(0)};
};

/// The address after `last` comes first, then the others in their order.
void begin_behind(std::vector<SocketAddress>& addresses, const SocketAddress& last) {
  const auto found = std::ranges::find(addresses, last);
  if (found != addresses.end()) std::ranges::rotate(addresses, found + 1);
}

Result<bool> UdpTransport::prepare() {
  if (socket_.fd && (has_moved() || is_turn_of_next())) socket_.fd.reset();
  if (socket_.fd) return false;
  if (Status connected = connect(); !connected) return forward(std::move(connected));
  return true;
}

Status UdpTransport::connect() {
  const Deadline deadline(options_.connect_timeout);
  auto addresses = resolver_.resolve(deadline);
  if (!addresses) return forward(std::move(addresses), "connect to " + options_.endpoint.text);
  if (refused_) begin_behind(*addresses, socket_.peer);
  auto socket = connect_socket(*addresses, socket_options_, deadline);
  if (!socket) return forward(std::move(socket));
  socket_ = *std::move(socket);
  address_count_ = addresses->size();
  refused_ = false;
  turn_ = Deadline(kTurnAfterIcmp);
  next_resolve_ = Deadline(options_.resolve_interval);
  icmp_seen_ = false;
  max_message_size_ = options_.max_message_size != 0 ? options_.max_message_size
                                                     : datagram_room(socket_.fd.get(), socket_.peer.family());
  return Done{};
}

/// The name has lost the address that we send to. Does not wait for the answer: it is looked at next time.
/// While the name service fails, the old address is kept.
bool UdpTransport::has_moved() {
  if (!next_resolve_.passed() || resolver_.is_literal()) return false;
  const auto addresses = resolver_.resolve(Deadline(std::chrono::nanoseconds(0)));
  if (!addresses && addresses.error().code == std::errc::timed_out) return false;
  next_resolve_ = Deadline(options_.resolve_interval);
  if (!addresses) return false;
  for (const SocketAddress& address : *addresses)
    if (address == socket_.peer) return false;
  return true;
}

bool UdpTransport::is_turn_of_next() const { return refused_ && address_count_ > 1 && turn_.passed(); }

void UdpTransport::note_icmp_errors() {
  if (!socket_.fd || !take_icmp_errors(socket_.fd.get())) return;
  icmp_seen_ = refused_ = true;
  if (next_resolve_.left() > kResolveAfterIcmp) next_resolve_ = Deadline(kResolveAfterIcmp);
}

bool UdpTransport::peer_may_have_restarted() {
  note_icmp_errors();
  return std::exchange(icmp_seen_, false);
}

Status UdpTransport::send(std::span<const std::byte> message) {
  if (!socket_.fd) return failure("send to " + options_.endpoint.text + ": not prepared");
  const Deadline deadline(options_.write_timeout);
  bool repeated = false;
  for (;;) {
    const ssize_t count =
        ::send(socket_.fd.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) return Done{};
    const int number = errno;
    if (number == EINTR) continue;
    if (number == EAGAIN || number == ENOBUFS) {
      if (deadline.passed()) return give_up(number);
      note_icmp_errors();  // while one is queued, poll(2) does not wait
      if (number == EAGAIN)
        wait_for(socket_.fd.get(), POLLOUT, deadline);
      else
        std::this_thread::sleep_for(kQueueWait);
      continue;
    }
    // It may be the ICMP error of an earlier datagram, instead of which this one was not sent; for EMSGSIZE
    // the kernel knows the smaller path MTU from now on, and fragments.
    if (repeated) return give_up(number);
    repeated = true;
    note_icmp_errors();
  }
}

Status UdpTransport::give_up(int number) {
  close();
  return errno_error("send to " + options_.endpoint.text + " (" + socket_.peer.text() + ")", number);
}

}  // namespace

IpfixTransportPtr make_udp_transport(const IpfixTransportOptions& options, SocketOptions socket) {
  socket.type = SOCK_DGRAM;
  socket.protocol = IPPROTO_UDP;
  return std::make_unique<UdpTransport>(options, std::move(socket));
}

}  // namespace rheo
