// SPDX-License-Identifier: Apache-2.0
// bench_owners: connects to itself on 127.0.0.1, accepts and closes, as often as it can, and says in one JSON
// line how often that was. One thread: the handshakes are done by its own system calls, and nothing waits for
// another CPU.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "daemon/base/clock.h"
#include "daemon/base/unique_fd.h"

namespace {

using namespace rheo;

constexpr int kConnectionsPerLook = 64;  // at the clock

[[noreturn]] void fail(const char* doing) {
  fmt::print(stderr, "bench_owners: {}: {}\n", doing, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

UniqueFd tcp_socket() {
  UniqueFd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!made) fail("socket");
  return made;
}

// Bound to a port of the kernel's choice, which is put into `address`.
UniqueFd listen_at(sockaddr_in& address) {
  UniqueFd listener = tcp_socket();
  socklen_t length = sizeof address;
  auto* const bare = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener.get(), bare, length) != 0 || ::listen(listener.get(), 1) != 0 ||
      ::getsockname(listener.get(), bare, &length) != 0)
    fail("listen");
  return listener;
}

// A reset at the end: TIME_WAIT would use up the ports in a second.
void connect_and_close(int listener, const sockaddr_in& address) {
  const linger reset = {.l_onoff = 1, .l_linger = 0};
  const UniqueFd near = tcp_socket();
  if (::connect(near.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("connect");
  const UniqueFd far(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!far) fail("accept");
  if (::setsockopt(far.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset) != 0) fail("setsockopt");
}

void stay_on(unsigned long cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  if (::sched_setaffinity(0, sizeof cpus, &cpus) != 0) fail("stay on the CPU");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "Usage: bench_owners SECONDS CPU\n");
    return EXIT_FAILURE;
  }
  stay_on(std::strtoul(argv[2], nullptr, 10));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const UniqueFd listener = listen_at(address);

  std::uint64_t connections = 0;
  const std::uint64_t cpu_before = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  const std::uint64_t begin_ns = monotonic_ns();
  const auto end_ns = begin_ns + static_cast<std::uint64_t>(std::strtod(argv[1], nullptr) * 1e9);
  for (; monotonic_ns() < end_ns; connections += kConnectionsPerLook)
    for (int i = 0; i < kConnectionsPerLook; ++i) connect_and_close(listener.get(), address);
  const std::uint64_t took_ns = monotonic_ns() - begin_ns;
  const std::uint64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
  fmt::print(R"({{"connections":{},"seconds":{:.6f},"cpu_seconds":{:.6f}}})"
             "\n",
             connections, static_cast<double>(took_ns) / 1e9, static_cast<double>(cpu_ns) / 1e9);
  return EXIT_SUCCESS;
}
