// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/transport/stream_transport.h"

#include <cerrno>
#include <utility>

namespace rheo {
namespace {

constexpr std::size_t kStreamMessageSize =
    16'384;  // bytes: large enough to cost no time, small enough to repeat

}  // namespace

std::size_t StreamTransport::max_message_size() const {
  return options_.max_message_size != 0 ? options_.max_message_size : kStreamMessageSize;
}

Result<bool> StreamTransport::prepare() {
  delivery_.begin();
  if (fd_ && check_peer(fd_.get())) return false;
  fd_.reset();
  const Deadline deadline(options_.connect_timeout);
  auto addresses = resolver_.resolve(deadline);
  if (!addresses) return forward(std::move(addresses), "connect to " + options_.endpoint.text);
  auto socket = connect_socket(*addresses, socket_options_, deadline);
  if (!socket) return forward(std::move(socket));
  fd_ = std::move(socket->fd);
  written_ = 0;
  return true;
}

Status StreamTransport::send(std::span<const std::byte> message) {
  if (!fd_) return failure("send to " + options_.endpoint.text + ": not prepared");
  Status sent = check_peer(fd_.get());
  if (sent) sent = send_all(fd_.get(), message, Deadline(options_.write_timeout), written_);
  if (!sent) return break_off(std::move(sent));
  delivery_.sent(written_);
  return Done{};
}

Status StreamTransport::confirm() {
  if (!fd_ || !tells_delivery()) return Done{};
  Status arrived = wait_until_acknowledged(fd_.get(), Deadline(options_.write_timeout),
                                           [this] { return check_peer(fd_.get()); });
  return arrived ? arrived : break_off(std::move(arrived));
}

/// A part of a message is worth nothing, so the connection ends at once.
Status StreamTransport::break_off(Status why) {
  if (tells_delivery()) delivery_.broke(fd_.get(), written_);
  abort_connection(fd_);
  return forward(std::move(why), "send to " + options_.endpoint.text);
}

IpfixTransportPtr make_tcp_transport(const IpfixTransportOptions& options, SocketOptions socket) {
  return std::make_unique<StreamTransport>(options, std::move(socket));
}

Result<IpfixTransportPtr> make_sctp_transport(const IpfixTransportOptions& options, SocketOptions socket) {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP));
  if (!probe && (errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT))
    return failure("endpoint " + options.endpoint.text + ": this kernel has no SCTP (module sctp)",
                   std::errc::protocol_not_supported);
  socket.protocol = IPPROTO_SCTP;
  return std::make_unique<StreamTransport>(options, std::move(socket));
}

}  // namespace rheo
