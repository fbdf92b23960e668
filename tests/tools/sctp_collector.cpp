// SPDX-License-Identifier: Apache-2.0
// sctp_collector: writes the user messages of one SCTP association on loopback into a file, one after the
// other, until it ends. One thread.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "daemon/base/unique_fd.h"

namespace {

[[noreturn]] void fail(const std::string& doing) {
  fmt::print(stderr, "sctp_collector: {}: {}\n", doing, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "Usage: sctp_collector PORT FILE\n");
    return EXIT_FAILURE;
  }
  const rheo::UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP));
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!listener || ::bind(listener.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) != 0 ||
      ::listen(listener.get(), 1) != 0)
    fail("listen");
  const rheo::UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!peer) fail("accept");
  std::FILE* file = std::fopen(argv[2], "wb");
  if (file == nullptr) fail(argv[2]);
  std::array<char, 65'536> data;
  ssize_t count = 0;
  while ((count = ::recv(peer.get(), data.data(), data.size(), 0)) > 0)
    if (std::fwrite(data.data(), 1, static_cast<std::size_t>(count), file) != static_cast<std::size_t>(count))
      fail(argv[2]);
  if (count < 0) fail("receive");
  return std::fclose(file) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
