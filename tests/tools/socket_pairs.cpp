// SPDX-License-Identifier: Apache-2.0
// socket_pairs: conversations on loopback, each of a process of its own that ends at once, with servers of
// the kinds below. Prints who connected and who accepted: "connect PORT PID" and "accept PORT PID", PORT
// being the client's. Clients and servers are in cgroups of their own.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
constexpr int kMostOlder = 8;
constexpr const char* kGo = "/run/go";
constexpr unsigned kLookEvery = 20'000;  // microseconds

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

/// Who serves, and how.
struct Kind {
  std::string_view name;
  int servers = 1;             // processes that share a listening socket
  bool own_listeners = false;  // each has one, at the same port
  bool forks = false;          // a child answers what its parent accepted
  bool passes = false;         // so does another process, which is given the socket
  bool ends = false;           // who accepts ends with the connection
  bool same_pid = false;       // of the clients, one after the other
  bool own_program = false;    // and own cgroup, of each client
  bool mapped = false;         // IPv4 by sockets of IPv6
  int each = 1;                // conversations of each client, one after the other
  bool older = false;          // half of the conversations begin before the file kGo is there
  int type = SOCK_STREAM;
  bool connects = true;  // of datagrams: the client's socket is connected
};

constexpr std::array kKinds = {
    Kind{.name = "prefork", .servers = 4},
    Kind{.name = "many", .servers = 4, .each = 50},
    Kind{.name = "many-reuseport", .servers = 4, .own_listeners = true, .each = 50},
    Kind{.name = "reuseport", .servers = 4, .own_listeners = true},
    Kind{.name = "forking", .forks = true},
    Kind{.name = "same-pid", .servers = 4, .same_pid = true},
    Kind{.name = "passing", .passes = true},
    Kind{.name = "ending", .ends = true},
    Kind{.name = "program", .own_program = true},
    Kind{.name = "mapped", .mapped = true},
    Kind{.name = "datagrams", .type = SOCK_DGRAM, .connects = false},
    Kind{.name = "connected-datagrams", .type = SOCK_DGRAM},
    Kind{.name = "older", .servers = kMostOlder, .older = true},
};

/// 127.0.0.1, to an IPv6 socket as ::ffff:127.0.0.1.
struct Loopback {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Loopback loopback(const Kind& kind, std::uint16_t port) {
  Loopback address;
  if (kind.mapped) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    if (::inet_pton(AF_INET6, "::ffff:127.0.0.1", &in6.sin6_addr) != 1) fail("inet_pton");
    address.length = sizeof in6;
  } else {
    auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.length = sizeof in;
  }
  return address;
}

/// sockaddr_in and sockaddr_in6 have it in one place.
std::uint16_t port_of(const sockaddr_storage& address) {
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

UniqueFd bound_socket(const Kind& kind, std::uint16_t port, const std::string& doing) {
  UniqueFd made(::socket(kind.mapped ? AF_INET6 : AF_INET, kind.type | SOCK_CLOEXEC, 0));
  const int on = 1;
  const Loopback own = loopback(kind, port);
  if (!made || ::setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      (kind.own_listeners && ::setsockopt(made.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
      ::bind(made.get(), own.get(), own.length) != 0)
    fail(doing);
  return made;
}

UniqueFd listen_at(const Kind& kind, std::uint16_t port) {
  UniqueFd listener = bound_socket(kind, port, fmt::format("bind port {}", port));
  if (kind.type == SOCK_STREAM && ::listen(listener.get(), kBacklog) != 0) fail("listen");
  say("listen", 0);
  return listener;
}

/// Answers the one octet that a client sends.
void answer(const UniqueFd& accepted) {
  char octet = 0;
  if (::recv(accepted.get(), &octet, 1, 0) == 1) ::send(accepted.get(), &octet, 1, MSG_NOSIGNAL);
}

UniqueFd accept_one(const UniqueFd& listener) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  UniqueFd accepted(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC));
  if (!accepted) fail("accept");
  say("accept", port_of(peer));
  return accepted;
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

template <typename Action>
void in_a_child(const Action& action) {
  ::waitpid(start(action), nullptr, 0);
}

[[noreturn]] void serve_datagrams(const UniqueFd& bound) {
  for (;;) {
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    char octet = 0;
    if (::recvfrom(bound.get(), &octet, 1, 0, reinterpret_cast<sockaddr*>(&peer), &length) != 1)
      fail("receive");
    say("accept", port_of(peer));
    if (::sendto(bound.get(), &octet, 1, 0, reinterpret_cast<sockaddr*>(&peer), length) != 1) fail("answer");
  }
}

/// Room for one descriptor beside one octet.
struct Passing {
  char octet = 'x';
  iovec part{.iov_base = &octet, .iov_len = 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};

  Passing() {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
};

void pass(const UniqueFd& way, const UniqueFd& passed) {
  Passing passing;
  cmsghdr* const header = CMSG_FIRSTHDR(&passing.message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = passed.get();
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (::sendmsg(way.get(), &passing.message, 0) != 1) fail("pass a socket");
}

UniqueFd take(const UniqueFd& way) {
  Passing passing;
  if (::recvmsg(way.get(), &passing.message, MSG_CMSG_CLOEXEC) != 1) fail("take a socket");
  int fd = -1;
  if (const cmsghdr* const header = CMSG_FIRSTHDR(&passing.message); header != nullptr)
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return UniqueFd(fd);
}

[[noreturn]] void serve(const Kind& kind, const UniqueFd& listener, const UniqueFd& answering) {
  if (kind.type == SOCK_DGRAM) serve_datagrams(listener);
  for (;;) {
    if (kind.ends) {
      in_a_child([&] { answer(accept_one(listener)); });
      continue;
    }
    const UniqueFd accepted = accept_one(listener);
    if (kind.passes)
      pass(answering, accepted);
    else if (kind.forks)
      in_a_child([&] { answer(accepted); });
    else
      answer(accepted);
  }
}

void wait_to_go() {
  while (::access(kGo, F_OK) != 0) ::usleep(kLookEvery);
}

/// By its name a client is told from others that had its number.
void converse(const Kind& kind, std::uint16_t own_port, std::uint16_t port, bool waits) {
  if (::prctl(PR_SET_NAME, fmt::format("client-{}", own_port).c_str()) != 0) fail("prctl");
  const std::string doing = fmt::format("connect from port {}", own_port);
  const UniqueFd client = bound_socket(kind, own_port, doing);
  const Loopback there = loopback(kind, port);
  if (kind.connects && ::connect(client.get(), there.get(), there.length) != 0) fail(doing);
  say("connect", own_port);
  if (waits) wait_to_go();
  char octet = 'x';
  const ssize_t sent = kind.connects ? ::send(client.get(), &octet, 1, MSG_NOSIGNAL)
                                     : ::sendto(client.get(), &octet, 1, 0, there.get(), there.length);
  if (sent != 1 || ::recv(client.get(), &octet, 1, 0) != 1) fail("be answered");
}

/// The same by a file and in a cgroup of its own; main() goes on there.
[[noreturn]] void become_program(const Kind& kind, std::uint16_t own_port, std::uint16_t port,
                                 const std::string& cgroup) {
  const std::string own = fmt::format("{}/program-{}.scope", cgroup.substr(0, cgroup.rfind('/')), own_port);
  if (::mkdir(own.c_str(), 0755) != 0 && errno != EEXIST) fail(own);
  enter(own);
  const std::string file = fmt::format("/sbin/client-{}", own_port);
  if (::link("/sbin/socket_pairs", file.c_str()) != 0) fail(file);
  ::execl(file.c_str(), file.c_str(), kind.name.data(), std::to_string(port).c_str(),
          std::to_string(own_port).c_str(), static_cast<char*>(nullptr));
  fail(file);
}

/// Has the kernel give the next process of this pid namespace that number.
void give_next(int pid) {
  std::FILE* const file = std::fopen("/proc/sys/kernel/ns_last_pid", "w");
  if (file == nullptr || std::fputs(std::to_string(pid - 1).c_str(), file) < 0 || std::fclose(file) != 0)
    fail("ns_last_pid");
}

struct Clients {
  const Kind& kind;
  std::uint16_t port;
  std::string cgroup;
};

/// One client; where they all are to have one number, another process may have been quicker.
bool run_client(const Clients& clients, int first_port) {
  const Kind& kind = clients.kind;
  for (int tries = 0; tries < kMostTries; ++tries) {
    if (kind.same_pid) give_next(kSamePid);
    int status = 0;
    ::waitpid(start([&] {
                if (kind.same_pid && ::getpid() != kSamePid) std::_Exit(kOtherPid);
                const auto own_port = static_cast<std::uint16_t>(first_port);
                if (kind.own_program) become_program(kind, own_port, clients.port, clients.cgroup);
                for (int i = 0; i < kind.each; ++i)
                  converse(kind, static_cast<std::uint16_t>(own_port + i), clients.port, false);
              }),
              &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != kOtherPid) return status == 0;
  }
  return false;
}

/// Clients that connect at once and send when they are told to.
bool run_waiting(const Clients& clients, int count) {
  std::vector<pid_t> waiting;
  for (int i = 0; i < count; ++i)
    waiting.push_back(start(
        [&] { converse(clients.kind, static_cast<std::uint16_t>(kFirstPort + i), clients.port, true); }));
  bool failed = false;
  for (const pid_t client : waiting) {
    int status = 0;
    failed |= ::waitpid(client, &status, 0) != client || status != 0;
  }
  return !failed;
}

UniqueFd start_answering(std::vector<pid_t>& servers) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) fail("socketpair");
  UniqueFd given(ends[0]);
  const UniqueFd taken(ends[1]);
  servers.push_back(start([&] {
    for (;;) answer(take(taken));
  }));
  return given;
}

std::vector<pid_t> start_servers(const Kind& kind, std::uint16_t port, const std::string& cgroup) {
  UniqueFd listener, answering;
  std::vector<pid_t> servers;
  if (!kind.own_listeners) listener = listen_at(kind, port);
  if (kind.passes) answering = start_answering(servers);
  for (int i = 0; i < kind.servers; ++i) {
    std::array<int, 2> ready{};
    if (::pipe(ready.data()) != 0) fail("pipe");
    servers.push_back(start([&] {
      enter(cgroup);
      if (kind.own_listeners) listener = listen_at(kind, port);
      if (::close(ready[0]) != 0 || ::close(ready[1]) != 0) fail("say that it is ready");
      serve(kind, listener, answering);
    }));
    char nothing = 0;
    ::close(ready[1]);
    if (::read(ready[0], &nothing, 1) != 0) fail("wait for a server");
    ::close(ready[0]);
  }
  return servers;
}

bool run_clients(const Clients& clients, int count) {
  int first = 0;
  if (clients.kind.older) {
    first = std::min(count, kMostOlder);
    if (!run_waiting(clients, first)) return false;
  }
  for (int i = first; i < count; i += clients.kind.each)
    if (!run_client(clients, kFirstPort + i)) return false;
  return true;
}

int usage() {
  fmt::print(stderr,
             "Usage: socket_pairs KIND PORT CONVERSATIONS CLIENT-CGROUP SERVER-CGROUP\n"
             "       socket_pairs KIND PORT CLIENT-PORT\n"
             "Kinds:");
  for (const Kind& kind : kKinds) fmt::print(stderr, " {}", kind.name);
  fmt::print(stderr, "\n");
  return EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) return usage();
  const auto* const kind = std::ranges::find(kKinds, std::string_view(argv[1]), &Kind::name);
  if (kind == kKinds.end()) return usage();
  const auto port = static_cast<std::uint16_t>(std::atoi(argv[2]));
  if (argc == 4) {
    converse(*kind, static_cast<std::uint16_t>(std::atoi(argv[3])), port, false);
    return EXIT_SUCCESS;
  }
  const std::vector<pid_t> servers = start_servers(*kind, port, argv[5]);
  enter(argv[4]);
  const bool done = run_clients({.kind = *kind, .port = port, .cgroup = argv[4]},
                                std::min(std::atoi(argv[3]), kMostConnections));
  for (const pid_t server : servers) {
    ::kill(server, SIGTERM);
    ::waitpid(server, nullptr, 0);
  }
  return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
