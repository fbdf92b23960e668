// SPDX-License-Identifier: Apache-2.0
// StreamTransport: messages over TCP, or each as one user message over a one-to-one SCTP socket: the same
// calls on another protocol. Lives on its lane's thread.
#pragma once

#include "export/ipfix/transport/delivery.h"
#include "export/ipfix/transport/transports.h"

namespace rheo {

class StreamTransport final : public IpfixTransport {
 public:
  StreamTransport(const IpfixTransportOptions& options, SocketOptions socket)
      : options_(options),
        socket_options_(std::move(socket)),
        resolver_(options.endpoint.host, options.endpoint.port) {}

  Result<bool> prepare() override;
  Status send(std::span<const std::byte> message) override;
  Status confirm() override;
  std::size_t unconfirmed() const override { return delivery_.unconfirmed(); }
  void close() override { fd_.reset(); }
  std::size_t max_message_size() const override;

 private:
  bool tells_delivery() const { return socket_options_.protocol == IPPROTO_TCP; }
  Status break_off(Status why);

  const IpfixTransportOptions options_;
  const SocketOptions socket_options_;
  Resolver resolver_;
  UniqueFd fd_;
  std::uint64_t written_ = 0;  // octets, in this session
  Delivery delivery_;
};

}  // namespace rheo
