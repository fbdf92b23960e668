// SPDX-License-Identifier: Apache-2.0
// One function for each kind of transport, behind make_ipfix_transport(). Any thread; what they return lives
// on its lane's.
#pragma once

#include <memory>

#include "export/ipfix/transport.h"
#include "export/ipfix/transport/socket.h"

namespace rheo {

using IpfixTransportPtr = std::unique_ptr<IpfixTransport>;

IpfixTransportPtr make_udp_transport(const IpfixTransportOptions& options, SocketOptions socket);
IpfixTransportPtr make_tcp_transport(const IpfixTransportOptions& options, SocketOptions socket);

/// Fails with a sentence where the kernel has no SCTP.
Result<IpfixTransportPtr> make_sctp_transport(const IpfixTransportOptions& options, SocketOptions socket);

/// TLS over TCP; fails where a certificate or key cannot be read.
Result<IpfixTransportPtr> make_tls_transport(const IpfixTransportOptions& options, SocketOptions socket);

/// DTLS over UDP; fails as TLS does.
Result<IpfixTransportPtr> make_dtls_transport(const IpfixTransportOptions& options, SocketOptions socket);

IpfixTransportPtr make_file_transport(const IpfixTransportOptions& options);

}  // namespace rheo
