// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/transport/transports.h"

namespace rheo {
namespace {

constexpr std::size_t kMinMessageSize = 512;        // RFC 7011 section 10.3.3
constexpr std::size_t kMaxMessageSize = 65'535;     // the length field has 16 bits
constexpr std::size_t kMaxDatagram = 65'487;        // of UDP over IPv6 without jumbograms
constexpr std::size_t kMaxSecureDatagram = 16'384;  // one record
constexpr unsigned kMaxDscp = 63;

std::size_t largest_message(IpfixScheme scheme) {
  if (scheme == IpfixScheme::udp) return kMaxDatagram;
  if (scheme == IpfixScheme::dtls) return kMaxSecureDatagram;
  return kMaxMessageSize;
}

Result<SocketOptions> socket_options(const IpfixTransportOptions& options) {
  SocketOptions socket{.endpoint = options.endpoint.text,
                       .dscp = options.dscp,
                       .source = std::nullopt,
                       .dead_peer_timeout = options.dead_peer_timeout};
  if (options.source_address.empty()) return socket;
  socket.source = parse_address(options.source_address, 0);
  if (!socket.source)
    return failure("source_address \"" + options.source_address + "\": not an IPv4 or IPv6 address");
  return socket;
}

Status check(const IpfixTransportOptions& options) {
  if (options.dscp > kMaxDscp) return failure("dscp " + std::to_string(options.dscp) + ": at most 63");
  const std::size_t size = options.max_message_size;
  const std::size_t largest = largest_message(options.endpoint.scheme);
  if (size != 0 && (size < kMinMessageSize || size > largest))
    return failure("max_message_size " + std::to_string(size) + ": from " + std::to_string(kMinMessageSize) +
                   " to " + std::to_string(largest) + " bytes for " + options.endpoint.text);
  return Done{};
}

}  // namespace

Result<IpfixTransportPtr> make_ipfix_transport(const IpfixTransportOptions& options) {
  if (Status good = check(options); !good) return forward(std::move(good));
  auto socket = socket_options(options);
  if (!socket) return forward(std::move(socket));
  switch (options.endpoint.scheme) {
    case IpfixScheme::udp:
      return make_udp_transport(options, *std::move(socket));
    case IpfixScheme::tcp:
      return make_tcp_transport(options, *std::move(socket));
    case IpfixScheme::sctp:
      return make_sctp_transport(options, *std::move(socket));
    case IpfixScheme::tls:
      return make_tls_transport(options, *std::move(socket));
    case IpfixScheme::dtls:
      return make_dtls_transport(options, *std::move(socket));
    case IpfixScheme::file:
      return make_file_transport(options);
  }
  return failure("endpoint " + options.endpoint.text + ": unknown scheme");
}

}  // namespace rheo
