// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>

#include "export/ipfix/transport/delivery.h"
#include "export/ipfix/transport/secure_channel.h"
#include "export/ipfix/transport/transports.h"

namespace rheo {
namespace {

constexpr std::size_t kTlsMessageSize = 16'384;  // bytes of one record

/// TLS over TCP, DTLS over UDP. An ICMP error ends a DTLS session: a collector that was away has forgotten
/// it. But one that was restarted between two messages, or behind a firewall, sends none: it silently ignores
/// records of a session that it does not know, and an exporter is never told anything anyway. The one
/// question that every collector answers is a handshake: there is no other liveness in DTLS 1.2 (heartbeats,
/// RFC 6520, are gone from OpenSSL and others, and renegotiation is refused). So a session does not become
/// old: a batch that finds it so begins another, which is a new address and new templates for the collector,
/// too. The old one is closed first, as a collector may take only one of each exporter.
class SecureTransport final : public IpfixTransport {
 public:
  SecureTransport(const IpfixTransportOptions& options, SocketOptions socket)
      : options_(options),
        socket_options_(std::move(socket)),
        resolver_(options.endpoint.host, options.endpoint.port) {}
  ~SecureTransport() override { close(); }
  SecureTransport(const SecureTransport&) = delete;
  SecureTransport& operator=(const SecureTransport&) = delete;

  Result<bool> prepare() override;
  Status send(std::span<const std::byte> message) override;
  Status confirm() override;
  std::size_t unconfirmed() const override { return delivery_.unconfirmed(); }
  void close() override;
  std::size_t max_message_size() const override;
  bool unreliable() const override { return is_datagram(); }

 private:
  bool is_too_old() const { return is_datagram() && session_end_.passed(); }
  bool is_datagram() const { return socket_options_.type == SOCK_DGRAM; }
  Status connect();
  Status connect_to(const std::vector<SocketAddress>& addresses, const Deadline& deadline,
                    std::chrono::nanoseconds handshake_timeout);
  Status break_off(Status why);

  const IpfixTransportOptions options_;
  const SocketOptions socket_options_;
  Resolver resolver_;
  UniqueFd fd_;
  std::optional<SecureChannel> channel_;  // uses fd_
  Delivery delivery_;
  Deadline session_end_{std::chrono::nanoseconds(0)};
};

Result<bool> SecureTransport::prepare() {
  delivery_.begin();
  if (channel_ && !is_too_old() && channel_->check_peer()) return false;
  close();
  if (Status connected = connect(); !connected) return forward(std::move(connected));
  return true;
}

Status SecureTransport::connect() {
  const Deadline deadline(options_.connect_timeout);
  auto addresses = resolver_.resolve(deadline);
  if (!addresses) return forward(std::move(addresses), "connect to " + options_.endpoint.text);
  if (!is_datagram()) return connect_to(*addresses, deadline, options_.handshake_timeout);
  // Of a datagram's address only the handshake tells whether a collector is there.
  Status last = Done{};
  std::string refusals;
  for (const SocketAddress& address : *addresses) {
    last = connect_to({address}, deadline, options_.handshake_timeout / static_cast<int>(addresses->size()));
    if (last) return last;
    refusals += (refusals.empty() ? "" : "; ") + last.error().what;
  }
  if (!last) last.error().what = std::move(refusals);
  return last;
}

/// To the first of the addresses that there is a connection to.
Status SecureTransport::connect_to(const std::vector<SocketAddress>& addresses, const Deadline& deadline,
                                   std::chrono::nanoseconds handshake_timeout) {
  auto socket = connect_socket(addresses, socket_options_, deadline);
  if (!socket) return forward(std::move(socket));

  const std::string& name = options_.tls.server_name;
  const SecureChannelOptions secure{
      .tls = options_.tls,
      .host = name.empty() ? options_.endpoint.host : name,
      .datagram = is_datagram(),
      .datagram_room = is_datagram() ? datagram_room(socket->fd.get(), socket->peer.family()) : 0};
  auto channel = SecureChannel::handshake(secure, socket->fd.get(), Deadline(handshake_timeout));
  if (!channel)
    return forward(std::move(channel),
                   "connect to " + options_.endpoint.text + " (" + socket->peer.text() + ")");
  fd_ = std::move(socket->fd);
  channel_ = *std::move(channel);
  session_end_ = Deadline(options_.dtls_session_time);
  return Done{};
}

Status SecureTransport::send(std::span<const std::byte> message) {
  if (!channel_) return failure("send to " + options_.endpoint.text + ": not prepared");
  Status sent = channel_->send(message, Deadline(options_.write_timeout));
  if (!sent) return break_off(std::move(sent));
  delivery_.sent(channel_->octets_written());
  return Done{};
}

Status SecureTransport::confirm() {
  if (!channel_ || is_datagram()) return Done{};
  Status arrived = wait_until_acknowledged(fd_.get(), Deadline(options_.write_timeout),
                                           [this] { return channel_->check_peer(); });
  return arrived ? arrived : break_off(std::move(arrived));
}

Status SecureTransport::break_off(Status why) {
  if (!is_datagram()) delivery_.broke(fd_.get(), channel_->octets_written());
  channel_.reset();
  abort_connection(fd_);
  return forward(std::move(why), "send to " + options_.endpoint.text);
}

void SecureTransport::close() {
  if (channel_) channel_->say_goodbye();
  channel_.reset();
  fd_.reset();
}

std::size_t SecureTransport::max_message_size() const {
  if (options_.max_message_size != 0) return options_.max_message_size;
  if (!is_datagram()) return kTlsMessageSize;
  return channel_ ? channel_->message_room() : 0;
}

}  // namespace

Result<IpfixTransportPtr> make_tls_transport(const IpfixTransportOptions& options, SocketOptions socket) {
  if (Status good = check_tls_files(options.tls); !good)
    return forward(std::move(good), "endpoint " + options.endpoint.text);
  return std::make_unique<SecureTransport>(options, std::move(socket));
}

Result<IpfixTransportPtr> make_dtls_transport(const IpfixTransportOptions& options, SocketOptions socket) {
  socket.type = SOCK_DGRAM;
  socket.protocol = IPPROTO_UDP;
  return make_tls_transport(options, std::move(socket));
}

}  // namespace rheo
