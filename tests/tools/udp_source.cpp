// SPDX-License-Identifier: Apache-2.0
// udp_source: sends small datagrams as an application does, one send() each on connected UDP sockets, as fast
// as it can, and says in one JSON line what was sent. One thread.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/unique_fd.h"

namespace {

using namespace rheo;

constexpr std::size_t kPayloadBytes = 18;   // a frame of 60 octets
constexpr std::uint64_t kHeaderBytes = 28;  // IPv4 and UDP
constexpr std::uint64_t kEthernetBytes = 14;
constexpr std::size_t kSendsPerLook = 256;  // at the clock

[[noreturn]] void fail(const std::string& doing) {
  fmt::print(stderr, "udp_source: {}: {}\n", doing, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

std::vector<UniqueFd> connect_sockets(const char* address, std::uint16_t port, unsigned long flows) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  if (::inet_pton(AF_INET, address, &to.sin_addr) != 1) fail(std::string("address ") + address);
  std::vector<UniqueFd> sockets;
  for (unsigned long i = 0; i < flows; ++i) {
    sockets.emplace_back(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (::connect(sockets.back().get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("connect");
  }
  return sockets;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    fmt::print(stderr, "Usage: udp_source ADDRESS PORT FLOWS SECONDS CPU\n");
    return EXIT_FAILURE;
  }
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(std::strtoul(argv[5], nullptr, 10), &cpus);
  if (::sched_setaffinity(0, sizeof cpus, &cpus) != 0) fail(std::string("run on CPU ") + argv[5]);
  const auto sockets = connect_sockets(argv[1], static_cast<std::uint16_t>(std::atoi(argv[2])),
                                       std::strtoul(argv[3], nullptr, 10));

  const char payload[kPayloadBytes] = {};
  std::size_t next = 0;
  std::uint64_t sent = 0;
  std::uint64_t refused = 0;
  const std::uint64_t cpu_before = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  const std::uint64_t begin_ns = monotonic_ns();
  const auto end_ns = begin_ns + static_cast<std::uint64_t>(std::strtod(argv[4], nullptr) * 1e9);
  while (monotonic_ns() < end_ns) {
    for (std::size_t i = 0; i < kSendsPerLook; ++i) {
      next = next + 1 == sockets.size() ? 0 : next + 1;
      if (::send(sockets[next].get(), payload, sizeof payload, 0) >= 0)
        ++sent;
      else if (errno == ENOBUFS)
        ++refused;  // by the device, after the egress hooks
      else
        fail("send");
    }
  }
  const std::uint64_t took_ns = monotonic_ns() - begin_ns;
  const std::uint64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
  const auto counts = [](std::uint64_t packets) {
    const std::uint64_t l3_bytes = packets * (kPayloadBytes + kHeaderBytes);
    return fmt::format(R"("packets":{},"l2_bytes":{},"l3_bytes":{})", packets,
                       l3_bytes + packets * kEthernetBytes, l3_bytes);
  };
  fmt::print(R"({{{},"flows":{},"refused":{{{}}},"seconds":{:.6f},"cpu_seconds":{:.6f}}})"
             "\n",
             counts(sent), sockets.size(), counts(refused), static_cast<double>(took_ns) / 1e9,
             static_cast<double>(cpu_ns) / 1e9);
  return EXIT_SUCCESS;
}
