// SPDX-License-Identifier: Apache-2.0
// HttpSink: takes every HTTP request at once and answers 200, for benchmarks. Its own thread.
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>

#include "daemon/base/unique_fd.h"

namespace rheo::testing {

class HttpSink {
 public:
  HttpSink() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{
        .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), any, size) == 0 && ::listen(listener_.get(), 8) == 0 &&
        ::getsockname(listener_.get(), any, &size) == 0)
      port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~HttpSink() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  HttpSink(const HttpSink&) = delete;
  HttpSink& operator=(const HttpSink&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  void run() const {
    for (;;) {
      const UniqueFd connection(::accept(listener_.get(), nullptr, nullptr));
      if (!connection) return;
      const int on = 1;
      ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      serve(connection.get());
    }
  }

  static void serve(int fd) {
    constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    std::string buffer(1U << 20U, '\0');
    std::string head;
    std::size_t body = 0;  // still to come
    for (;;) {
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) return;
      auto size = static_cast<std::size_t>(got);
      if (body == 0) {
        head.append(buffer, 0, size);
        const std::size_t end = head.find("\r\n\r\n");
        if (end == std::string::npos) continue;
        const char* const length = ::strcasestr(head.c_str(), "content-length:");
        body = length == nullptr ? 0 : std::strtoul(length + 15, nullptr, 10);
        size = head.size() - end - 4;
        head.clear();
      }
      body -= std::min(body, size);
      if (body == 0 && ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return;
    }
  }

  const UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace rheo::testing
