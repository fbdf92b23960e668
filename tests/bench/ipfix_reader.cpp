// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/ipfix_reader.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <vector>

namespace rheo::testing {
namespace {

constexpr int kStopLookMs = 50;

/// True when something is to be had within a look at the stop token.
bool is_readable(int fd) {
  pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&ready, 1, kStopLookMs) == 1;
}

}  // namespace

IpfixReader::IpfixReader(int type) : socket_(::socket(AF_INET, type | SOCK_CLOEXEC, 0)), type_(type) {
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof own;
  auto* address = reinterpret_cast<sockaddr*>(&own);
  if (::bind(socket_.get(), address, size) != 0 || ::getsockname(socket_.get(), address, &size) != 0) return;
  if (type == SOCK_STREAM && ::listen(socket_.get(), 1) != 0) return;
  port_ = ntohs(own.sin_port);
  thread_ = std::jthread([this](const std::stop_token& stop) { read(stop); });
}

void IpfixReader::read(const std::stop_token& stop) {
  while (type_ == SOCK_STREAM && !is_readable(socket_.get())) {
    if (stop.stop_requested()) return;
  }
  const UniqueFd connection(type_ == SOCK_STREAM ? ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)
                                                 : -1);
  const int from = connection ? connection.get() : socket_.get();
  std::vector<char> buffer(1U << 18U);
  while (!stop.stop_requested()) {
    if (!is_readable(from)) continue;
    ssize_t count = 0;
    while ((count = ::recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0)
      octets_ += static_cast<std::uint64_t>(count);
    if (count == 0) return;
  }
}

}  // namespace rheo::testing
