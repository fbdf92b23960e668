// SPDX-License-Identifier: Apache-2.0
// Resolver: the addresses of one host by name, asked of getaddrinfo(3), which has no deadline. So it is asked
// on a thread of its own, at most one at a time, which a stuck name service may keep for ever: it holds
// nothing of ours. Lives on its lane's thread.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "export/ipfix/transport/deadline.h"

namespace rheo {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  std::string text() const;  // without the port
  friend bool operator==(const SocketAddress& a, const SocketAddress& b);
};

/// Nothing if the text is not an IPv4 or IPv6 address. Asks nobody.
std::optional<SocketAddress> parse_address(const std::string& text, std::uint16_t port);

class Resolver {
 public:
  Resolver(std::string host, std::uint16_t port) : host_(std::move(host)), port_(port) {}

  /// In the order of RFC 6724, never empty. Timed out: the question stays open, and the next call waits for
  /// its answer instead of asking another.
  Result<std::vector<SocketAddress>> resolve(const Deadline& deadline);

  /// The host is an address itself.
  bool is_literal() const { return parse_address(host_, port_).has_value(); }

 private:
  struct Question;
  Status ask();

  std::string host_;
  std::uint16_t port_;
  std::shared_ptr<Question> open_question_;
};

}  // namespace rheo
