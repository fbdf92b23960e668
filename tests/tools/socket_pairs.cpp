// SPDX-License-Identifier: Apache-2.0
// socket_pairs: TCP connections on loopback, each from a process of its own that ends at once, to servers
// that share a listening socket of another process's, or have one each, or are given what another one
// accepted. Prints who connected and who accepted: "connect PORT PID" and "accept PORT PID", PORT being the
// client's. Clients and servers are in cgroups of their own.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/unique_fd.h"

namespace {

using rheo::UniqueFd;
constexpr int kBacklog = 128;
constexpr int kFirstPort = 10'000;  // of clients, each of which has another: no two connections are one flow
constexpr int kMostConnections = 50'000;
constexpr int kSamePid = 20'000;
constexpr int kOtherPid = 2;  // exit status
constexpr int kMostTries = 100;

[[noreturn]] void fail(const std::string& doing) {
  fmt::print(stderr, "socket_pairs: {}: {}\n", doing, std::strerror(errno));
  std::_Exit(EXIT_FAILURE);
}

/// Whole lines of several processes do not mix.
void say(std::string_view what, std::uint16_t port) {
  const std::string line = fmt::format("{} {} {}\n", what, port, ::getpid());
  if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) fail("print");
}

void enter(const std::string& cgroup) {
  std::FILE* const file = std::fopen((cgroup + "/cgroup.procs").c_str(), "w");
  if (file == nullptr || std::fputs("0", file) < 0 || std::fclose(file) != 0) fail(cgroup);
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

UniqueFd listen_at(std::uint16_t port, bool shared_port) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  const sockaddr_in own = loopback(port);
  if (!listener || ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      (shared_port && ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
      ::listen(listener.get(), kBacklog) != 0)
    fail(fmt::format("listen at port {}", port));
  say("listen", 0);
  return listener;
}

/// Answers the one octet that a client sends.
void answer(const UniqueFd& accepted) {
  char octet = 0;
  if (::recv(accepted.get(), &octet, 1, 0) == 1) ::send(accepted.get(), &octet, 1, MSG_NOSIGNAL);
}

[[noreturn]] void serve(const UniqueFd& listener, bool forks) {
  for (;;) {
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    const UniqueFd accepted(
        ::accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC));
    if (!accepted) fail("accept");
    say("accept", ntohs(peer.sin_port));
    if (!forks) {
      answer(accepted);
      continue;
    }
    const pid_t child = ::fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      answer(accepted);
      std::_Exit(EXIT_SUCCESS);
    }
    ::waitpid(child, nullptr, 0);
  }
}

/// A child of this process's, which does not outlive it.
template <typename Action>
pid_t start(const Action& action) {
  const pid_t child = ::fork();
  if (child < 0) fail("fork");
  if (child > 0) return child;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("prctl");
  action();
  std::_Exit(EXIT_SUCCESS);
}

/// By its name a client is told from others that had its number.
void connect_once(std::uint16_t own_port, std::uint16_t port) {
  if (::prctl(PR_SET_NAME, fmt::format("client-{}", own_port).c_str()) != 0) fail("prctl");
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in own = loopback(own_port), there = loopback(port);
  const int on = 1;
  if (!client || ::setsockopt(client.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(client.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
      ::connect(client.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0)
    fail(fmt::format("connect from port {}", own_port));
  say("connect", own_port);
  char octet = 'x';
  if (::send(client.get(), &octet, 1, MSG_NOSIGNAL) != 1 || ::recv(client.get(), &octet, 1, 0) != 1)
    fail("be answered");
}

/// Has the kernel give the next process of this pid namespace that number.
void give_next(int pid) {
  std::FILE* const file = std::fopen("/proc/sys/kernel/ns_last_pid", "w");
  if (file == nullptr || std::fputs(std::to_string(pid - 1).c_str(), file) < 0 || std::fclose(file) != 0)
    fail("ns_last_pid");
}

/// One client; where they all are to have one number, another process may have been quicker.
bool run_client(std::uint16_t own_port, std::uint16_t port, bool same_pid) {
  for (int tries = 0; tries < kMostTries; ++tries) {
    if (same_pid) give_next(kSamePid);
    int status = 0;
    ::waitpid(start([&] {
                if (same_pid && ::getpid() != kSamePid) std::_Exit(kOtherPid);
                connect_once(own_port, port);
              }),
              &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != kOtherPid) return status == 0;
  }
  return false;
}

std::vector<pid_t> start_servers(std::string_view kind, std::uint16_t port, const std::string& cgroup) {
  constexpr int kServers = 4;
  const bool shared_port = kind == "reuseport";
  UniqueFd listener;
  if (!shared_port) listener = listen_at(port, false);
  std::vector<pid_t> servers;
  for (int i = 0; i < (kind == "forking" ? 1 : kServers); ++i) {
    std::array<int, 2> ready{};
    if (::pipe(ready.data()) != 0) fail("pipe");
    servers.push_back(start([&] {
      enter(cgroup);
      if (shared_port) listener = listen_at(port, true);
      if (::close(ready[0]) != 0 || ::close(ready[1]) != 0) fail("say that it is ready");
      serve(listener, kind == "forking");
    }));
    char nothing = 0;
    ::close(ready[1]);
    if (::read(ready[0], &nothing, 1) != 0) fail("wait for a server");
    ::close(ready[0]);
  }
  return servers;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    fmt::print(stderr,
               "Usage: socket_pairs prefork|forking|reuseport|same-pid PORT CONNECTIONS CLIENT-CGROUP "
               "SERVER-CGROUP\n");
    return EXIT_FAILURE;
  }
  const auto port = static_cast<std::uint16_t>(std::atoi(argv[2]));
  const int connections = std::min(std::atoi(argv[3]), kMostConnections);
  const std::string_view kind = argv[1];
  const std::vector<pid_t> servers = start_servers(kind, port, argv[5]);
  enter(argv[4]);
  bool failed = false;
  for (int i = 0; i < connections && !failed; ++i)
    failed = !run_client(static_cast<std::uint16_t>(kFirstPort + i), port, kind == "same-pid");
  for (const pid_t server : servers) {
    ::kill(server, SIGTERM);
    ::waitpid(server, nullptr, 0);
  }
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
