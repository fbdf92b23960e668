// SPDX-License-Identifier: Apache-2.0
// StreamTransport: messages over TCP, or each as one user message over a one-to-one SCTP socket: the same
// calls on another protocol. Lives on its lane's thread.
#pragma once

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
  void close() override { fd_.reset(); }
  std::size_t max_message_size() const override;

 private:
  const IpfixTransportOptions options_;
  const SocketOptions socket_options_;
  Resolver resolver_;
  UniqueFd fd_;
};

}  // namespace rheo
