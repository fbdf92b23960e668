// SPDX-License-Identifier: Apache-2.0
// Collectors on loopback for the tests of the IPFIX transports, and messages to send to them.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/unique_fd.h"
#include "export/ipfix/transport.h"
#include "tests/unit/patience.h"

namespace rheo::test {

using std::chrono::milliseconds;
using Bytes = std::vector<std::byte>;

/// A message with an IPFIX header; the rest of its `size` bytes is `fill`.
inline Bytes message(std::size_t size, char fill = 'm') {
  Bytes bytes(size, static_cast<std::byte>(fill));
  bytes[0] = std::byte{0};
  bytes[1] = std::byte{10};
  bytes[2] = static_cast<std::byte>(size >> 8);
  bytes[3] = static_cast<std::byte>(size & 0xFF);
  return bytes;
}

inline IpfixTransportOptions options_for(const std::string& endpoint) {
  return {.endpoint = parse_ipfix_endpoint(endpoint).value(),
          .source_address = {},
          .connect_timeout = kPatience,
          .handshake_timeout = kPatience,
          .write_timeout = milliseconds(300),
          .tls = {},
          .rotation = {}};
}

inline std::unique_ptr<IpfixTransport> make(const IpfixTransportOptions& options) {
  auto transport = make_ipfix_transport(options);
  return transport ? *std::move(transport) : nullptr;
}

inline milliseconds since(std::uint64_t start_ns) {
  return milliseconds((monotonic_ns() - start_ns) / 1'000'000);
}

/// A socket bound to a loopback address; port 0: any free one.
class LoopbackSocket {
 public:
  explicit LoopbackSocket(int type, const char* address = "127.0.0.1", std::uint16_t port = 0) {
    const bool v6 = std::strchr(address, ':') != nullptr;
    fd_.reset(::socket(v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    ::inet_pton(v6 ? AF_INET6 : AF_INET, address, v6 ? static_cast<void*>(&six.sin6_addr) : &four.sin_addr);
    const auto* wanted = v6 ? reinterpret_cast<sockaddr*>(&six) : reinterpret_cast<sockaddr*>(&four);
    if (::bind(fd_.get(), wanted, v6 ? sizeof six : sizeof four) != 0) fd_.reset();
  }

  bool listen(int backlog = 8) { return ::listen(fd_.get(), backlog) == 0; }
  int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }

  std::uint16_t port() const {
    sockaddr_in6 own{};
    socklen_t size = sizeof own;
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&own), &size);
    return ntohs(own.sin6_port);  // at the same place as sin_port
  }

  UniqueFd accept(milliseconds wait = kPatience) const {
    pollfd ready{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(wait.count())) != 1) return {};
    return UniqueFd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

 private:
  UniqueFd fd_;
};

/// Up to `size` bytes of a stream, or one datagram; fewer, or nothing, if that is all within two seconds.
inline Bytes receive(int fd, std::size_t size, milliseconds wait = milliseconds(2'000)) {
  Bytes bytes(size);
  std::size_t have = 0;
  while (have < size) {
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(wait.count())) != 1) break;
    const ssize_t count = ::recv(fd, bytes.data() + have, size - have, 0);
    if (count <= 0) break;
    have += static_cast<std::size_t>(count);
    int type = 0;
    socklen_t length = sizeof type;
    ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
    if (type == SOCK_DGRAM) break;
  }
  bytes.resize(have);
  return bytes;
}

}  // namespace rheo::test
