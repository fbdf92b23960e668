// SPDX-License-Identifier: Apache-2.0
// packet_source: sends exactly known Ethernet frames on an interface with AF_PACKET, as fast as it can or
// at a rate, and says in one JSON line what was really sent. One thread.
//
// A device that has no room returns ENOBUFS after the egress hooks have seen the frame; such frames are
// counted apart as "refused", and are sent again.
#include <fmt/core.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

#include "daemon/base/clock.h"
#include "daemon/base/unique_fd.h"
#include "tests/tools/frames.h"

namespace {

using namespace rheo;
using namespace rheo::tests;

volatile std::sig_atomic_t stop_requested = 0;

constexpr const char* kUsage =
    "Usage: packet_source --interface NAME [OPTION...]\n"
    "  --packets N           stop after N frames (default: no limit)\n"
    "  --seconds S           stop after S seconds (default: no limit)\n"
    "  --rate N              frames a second (default: as fast as possible)\n"
    "  --flows M             distinct flows (default 1), in turn\n"
    "  --first-flow N        number of the first flow (default 0)\n"
    "  --seed N              flows at random from this seed instead of in turn\n"
    "  --protocols udp,tcp   (default udp)\n"
    "  --families 4,6        (default 4)\n"
    "  --size BYTES          of a frame without FCS (default 60)\n"
    "  --padding BYTES       of these behind the IP packet (default 0)\n"
    "  --swap-ends           exchange source and destination\n"
    "  --both-directions     each flow has frames both ways\n"
    "  --cpu N               run on this CPU\n"
    "  --busy-spin           with --rate: keep the CPU busy between frames\n";

struct Options {
  std::string interface;
  std::uint64_t packets = UINT64_MAX;
  double seconds = 0;
  double rate = 0;
  bool random = false;
  std::uint64_t seed = 0;
  int cpu = -1;
  bool busy_spin = false;
  FrameOptions frames;
};

struct Sent {
  std::uint64_t packets = 0;
  std::uint64_t l2_bytes = 0;
  std::uint64_t l3_bytes = 0;

  void add(const Frame& frame) {
    ++packets;
    l2_bytes += frame.bytes.size();
    l3_bytes += frame.l3_bytes;
  }
  std::string json() const {
    return fmt::format(R"({{"packets":{},"l2_bytes":{},"l3_bytes":{}}})", packets, l2_bytes, l3_bytes);
  }
};

[[noreturn]] void fail(const std::string& sentence) {
  fmt::print(stderr, "packet_source: {}\n", sentence);
  std::exit(EXIT_FAILURE);
}

[[noreturn]] void fail_errno(std::string_view doing) {
  fail(fmt::format("{}: {}", doing, std::strerror(errno)));
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

std::uint64_t number(const char* option, const char* text) {
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text, &end, 10);
  if (end == text || *end != '\0') fail(fmt::format("--{} {}: not a number", option, text));
  return value;
}

std::vector<FrameKind> kinds_of(const std::string& protocols, const std::string& families) {
  std::vector<FrameKind> kinds;
  for (const std::string& protocol : split(protocols)) {
    if (protocol != "udp" && protocol != "tcp") fail("--protocols " + protocol + ": not udp or tcp");
    for (const std::string& family : split(families)) {
      if (family != "4" && family != "6") fail("--families " + family + ": not 4 or 6");
      kinds.push_back({.family = family == "4" ? 4 : 6,
                       .protocol = static_cast<std::uint8_t>(protocol == "udp" ? IPPROTO_UDP : IPPROTO_TCP)});
    }
  }
  return kinds;
}

Options parse_options(int argc, char** argv) {
  static const option kLong[] = {{"interface", 1, nullptr, 'i'},
                                 {"packets", 1, nullptr, 'n'},
                                 {"seconds", 1, nullptr, 't'},
                                 {"rate", 1, nullptr, 'r'},
                                 {"flows", 1, nullptr, 'f'},
                                 {"first-flow", 1, nullptr, 'F'},
                                 {"seed", 1, nullptr, 's'},
                                 {"protocols", 1, nullptr, 'P'},
                                 {"families", 1, nullptr, '6'},
                                 {"size", 1, nullptr, 'S'},
                                 {"padding", 1, nullptr, 'p'},
                                 {"swap-ends", 0, nullptr, 'x'},
                                 {"both-directions", 0, nullptr, 'b'},
                                 {"cpu", 1, nullptr, 'c'},
                                 {"busy-spin", 0, nullptr, 'B'},
                                 {"help", 0, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  Options options;
  std::string protocols = "udp";
  std::string families = "4";
  int index = 0;
  for (int choice = 0; (choice = ::getopt_long(argc, argv, "", kLong, &index)) != -1;) {
    const auto count = [&] { return number(kLong[index].name, optarg); };
    switch (choice) {
      case 'i':
        options.interface = optarg;
        break;
      case 'n':
        options.packets = count();
        break;
      case 't':
        options.seconds = std::strtod(optarg, nullptr);
        break;
      case 'r':
        options.rate = static_cast<double>(count());
        break;
      case 'f':
        options.frames.flows = static_cast<std::uint32_t>(count());
        break;
      case 'F':
        options.frames.first_flow = static_cast<std::uint32_t>(count());
        break;
      case 's':
        options.random = true;
        options.seed = count();
        break;
      case 'P':
        protocols = optarg;
        break;
      case '6':
        families = optarg;
        break;
      case 'S':
        options.frames.size = static_cast<std::uint32_t>(count());
        break;
      case 'p':
        options.frames.padding = static_cast<std::uint32_t>(count());
        break;
      case 'x':
        options.frames.swap_ends = true;
        break;
      case 'b':
        options.frames.both_directions = true;
        break;
      case 'c':
        options.cpu = static_cast<int>(count());
        break;
      case 'B':
        options.busy_spin = true;
        break;
      case 'h':
        fmt::print("{}", kUsage);
        std::exit(EXIT_SUCCESS);
      default:
        fmt::print(stderr, "{}", kUsage);
        std::exit(EXIT_FAILURE);
    }
  }
  if (options.interface.empty()) fail("--interface is missing");
  if (options.frames.flows == 0) fail("--flows 0: at least one is needed");
  options.frames.kinds = kinds_of(protocols, families);
  return options;
}

UniqueFd open_socket(const std::string& interface) {
  UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd) fail_errno("open a packet socket");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
  if (address.sll_ifindex == 0) fail_errno("interface " + interface);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    fail_errno("bind to " + interface);
  const int buffer = 8 << 20;  // octets
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  return fd;
}

void pin_to_cpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) fail_errno(fmt::format("run on CPU {}", cpu));
}

class Source {
 public:
  explicit Source(const Options& options)
      : options_(options),
        frames_(make_frames(options.frames)),
        by_kind_(options.frames.kinds.size()),
        reached_(options.frames.flows),
        random_(options.seed),
        socket_(open_socket(options.interface)) {}

  void run() {
    const std::uint64_t cpu_before = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    started_ns_ = monotonic_ns();
    while (stop_requested == 0 && total_.packets < options_.packets) {
      if (options_.seconds > 0 && elapsed() >= options_.seconds) break;
      const std::size_t allowed = wait_for_allowance();
      if (allowed > 0) send(allowed);
    }
    ended_ns_ = monotonic_ns();
    cpu_ns_ = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
  }

  std::string report() const {
    std::string kinds;
    for (std::size_t i = 0; i < by_kind_.size(); ++i) {
      const FrameKind kind = options_.frames.kinds[i];
      kinds += fmt::format(R"({}"ipv{}_{}":{})", i == 0 ? "" : ",", kind.family,
                           kind.protocol == IPPROTO_TCP ? "tcp" : "udp", by_kind_[i].json());
    }
    const double seconds = static_cast<double>(ended_ns_ - started_ns_) / 1e9;
    return fmt::format(
        R"({{"packets":{},"l2_bytes":{},"l3_bytes":{},"flows":{},"refused":{},"seconds":{:.6f},"cpu_seconds":{:.6f},"kinds":{{{}}}}})",
        total_.packets, total_.l2_bytes, total_.l3_bytes, flows_reached_, refused_.json(), seconds,
        static_cast<double>(cpu_ns_) / 1e9, kinds);
  }

 private:
  static constexpr std::size_t kBatch = 64;

  double elapsed() const { return static_cast<double>(monotonic_ns() - started_ns_) / 1e9; }

  /// How many frames may go now; sleeps up to a millisecond when that is none.
  std::size_t wait_for_allowance() {
    std::uint64_t allowed = std::min<std::uint64_t>(kBatch, options_.packets - total_.packets);
    if (options_.rate <= 0) return allowed;
    const auto due = static_cast<std::uint64_t>(elapsed() * options_.rate);
    allowed = due > total_.packets ? std::min(allowed, due - total_.packets) : 0;
    if (allowed == 0 && !options_.busy_spin) ::usleep(200);
    return allowed;
  }

  const Frame& pick() {
    if (options_.random) return frames_[random_() % frames_.size()];
    const Frame& frame = frames_[next_];
    next_ = next_ + 1 == frames_.size() ? 0 : next_ + 1;
    return frame;
  }

  void send(std::size_t count) {
    std::array<const Frame*, kBatch> picked{};
    std::array<iovec, kBatch> parts{};
    std::array<mmsghdr, kBatch> messages{};
    for (std::size_t i = 0; i < count; ++i) {
      picked[i] = &pick();
      parts[i] = {const_cast<std::uint8_t*>(picked[i]->bytes.data()), picked[i]->bytes.size()};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    // A stop in the middle of a batch still sends the batch: what was picked is what is counted.
    for (std::size_t done = 0; done < count;) {
      const int sent = ::sendmmsg(socket_.get(), &messages[done], static_cast<unsigned>(count - done), 0);
      if (sent < 0) {
        if (errno == EINTR) continue;
        if (errno != ENOBUFS) fail_errno("send on " + options_.interface);
        refused_.add(*picked[done]);
        continue;
      }
      for (int i = 0; i < sent; ++i, ++done) account(*picked[done]);
    }
  }

  void account(const Frame& frame) {
    total_.add(frame);
    by_kind_[frame.kind].add(frame);
    if (!reached_[frame.flow]) ++flows_reached_;
    reached_[frame.flow] = true;
  }

  const Options& options_;
  std::vector<Frame> frames_;
  std::vector<Sent> by_kind_;
  std::vector<bool> reached_;  // by flow
  std::mt19937_64 random_;
  UniqueFd socket_;
  std::size_t next_ = 0;
  Sent total_;
  Sent refused_;
  std::uint64_t flows_reached_ = 0;
  std::uint64_t started_ns_ = 0;
  std::uint64_t ended_ns_ = 0;
  std::uint64_t cpu_ns_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse_options(argc, argv);
  if (options.cpu >= 0) pin_to_cpu(options.cpu);
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stop_requested = 1; });
  Source source(options);
  source.run();
  fmt::print("{}\n", source.report());
  return EXIT_SUCCESS;
}
