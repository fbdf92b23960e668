// SPDX-License-Identifier: Apache-2.0
// A network namespace with a pair of veths, and a bpffs, that belong to one test; what it sends and what is
// drained. Skips the test where the kernel does not let us have them.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "bpf/abi.h"
#include "daemon/base/unique_fd.h"
#include "daemon/datapath/datapath.h"

namespace rheo::test {

inline constexpr std::uint64_t kFrameBytes = 60;
inline constexpr std::uint16_t kMarkedPort = 9;  // rows to other ports are the host's own noise

/// What was drained of the frames of send_udp().
struct Tally {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::uint64_t rows = 0;
  std::set<std::uint16_t> source_ports;

  void add(const abi::hot_row& row) {
    if (row.key.protocol != IPPROTO_UDP) return;
    const std::uint16_t ports[2] = {ntohs(row.key.port[0]), ntohs(row.key.port[1])};
    if (ports[0] != kMarkedPort && ports[1] != kMarkedPort) return;
    ++rows;
    source_ports.insert(ports[0] == kMarkedPort ? ports[1] : ports[0]);
    for (const abi::direction_counts& counts : row.direction) {
      packets += counts.packets;
      bytes += counts.l3_bytes + counts.l2_surplus;
    }
  }
};

/// Merges and releases, as the flow table does.
inline MergeRows merge_into(Tally& tally, Datapath& datapath) {
  return [&tally, &datapath](std::span<const Row> rows) {
    for (const Row& row : rows) {
      tally.add(*row.hot);
      datapath.release(row.place);
    }
  };
}

/// Everything that was counted so far.
inline void drain_all(Datapath& datapath, Tally& tally) {
  datapath.drain(merge_into(tally, datapath));
  for (int generation = 0; generation < 2; ++generation) {
    ASSERT_TRUE(datapath.swap());
    datapath.consume_evicted(merge_into(tally, datapath));
    datapath.drain(merge_into(tally, datapath));
  }
  datapath.consume_evicted(merge_into(tally, datapath));
}

inline std::uint32_t index_of(const std::string& name) { return ::if_nametoindex(name.c_str()); }

/// What the command prints; its failure fails the test.
inline std::string run(const std::string& command) {
  std::string output;
  FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) output += buffer.data();
  EXPECT_EQ(::pclose(pipe), 0) << command << ": " << output;
  return output;
}

using Frame = std::array<std::uint8_t, kFrameBytes>;

inline Frame udp_frame(std::uint16_t source_port) {
  Frame frame{2,    0, 0, 0,           0, 2,  2, 0, 0,  0,  0, 1, 0x08, 0x00,                     // Ethernet
              0x45, 0, 0, 46,          0, 1,  0, 0, 64, 17, 0, 0, 10,   0,    0, 1, 10, 0, 0, 2,  // IPv4
              0,    0, 0, kMarkedPort, 0, 26, 0, 0};
  const std::uint16_t port_be = htons(source_port);
  std::memcpy(&frame[34], &port_be, sizeof port_be);
  return frame;
}

/// Frames out of `interface`: `count` packets of UDP in turn from `flows` source ports. All of them are sent.
inline void send_udp(const std::string& interface, std::uint64_t count, std::uint16_t flows) {
  const UniqueFd socket(::socket(AF_PACKET, SOCK_RAW, 0));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(index_of(interface));
  for (std::uint64_t i = 0; i < count; ++i) {
    const Frame frame = udp_frame(static_cast<std::uint16_t>(1000 + i % flows));
    while (::sendto(socket.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to),
                    sizeof to) < 0)
      ASSERT_EQ(errno, ENOBUFS) << std::strerror(errno);
  }
}

/// Frames that arrive at an interface are counted a little after they were sent at its peer.
inline void wait_until_seen(const Datapath& datapath, std::uint64_t packets) {
  for (int i = 0; i < 2000 && datapath.counters().seen_packets < packets; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

/// Numbers of the programs at a TCX hook of the interface, in their order, by bpf(BPF_PROG_QUERY).
inline std::vector<std::uint32_t> tcx_programs(const std::string& interface, Direction direction) {
  std::vector<std::uint32_t> ids(16);
  struct {
    std::uint32_t ifindex, attach_type, query_flags, attach_flags;
    std::uint64_t program_ids;
    std::uint32_t count, padding;
    std::uint64_t more[4];
  } query{};
  query.ifindex = index_of(interface);
  query.attach_type = direction == Direction::ingress ? 46 : 47;
  query.program_ids = reinterpret_cast<std::uint64_t>(ids.data());
  query.count = static_cast<std::uint32_t>(ids.size());
  constexpr int kProgQuery = 16;
  ids.resize(::syscall(SYS_bpf, kProgQuery, &query, sizeof query) == 0 ? query.count : 0);
  return ids;
}

inline std::string filters_of(const std::string& interface) {
  return run("tc filter show dev " + interface + " ingress; tc filter show dev " + interface + " egress");
}

class DatapathSandbox : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) GTEST_SKIP() << "unshare: " << std::strerror(errno);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    if (::mount("bpf", folder_.c_str(), "bpf", 0, nullptr) != 0)
      GTEST_SKIP() << "mount bpffs: " << std::strerror(errno);
    // So that no packet but ours is on the wire; a setting of the new namespace only.
    std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << 1;
    run("ip link add veth_a type veth peer name veth_b && ip link set veth_a up && ip link set veth_b up");
    options_.flow_cache_rows = 4096;
    options_.evicted_ring = 16U << 20U;
    options_.pin_directory = folder_ + "/rheo";
  }

  void TearDown() override {
    for (const pid_t child : children_) kill_child(child);
    ::umount2(folder_.c_str(), MNT_DETACH);
    ::rmdir(folder_.c_str());
  }

  static LinkTarget target(const std::string& name) {
    return {.ifindex = index_of(name), .name = name, .layer = LinkLayer::ethernet};
  }

  std::string pins() const { return options_.pin_directory + "/v" + std::to_string(abi::ABI_SCHEMA); }

  std::unique_ptr<Datapath> load() {
    auto datapath = Datapath::load(options_);
    EXPECT_TRUE(datapath) << datapath.error().what;
    return datapath ? *std::move(datapath) : nullptr;
  }

  /// Another process that meters the interfaces until it is killed.
  pid_t start_child(const DatapathOptions& options, const std::vector<std::string>& interfaces) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      auto datapath = Datapath::load(options);
      for (const std::string& name : interfaces)
        if (!datapath || !(*datapath)->attach(target(name))) ::_exit(1);
      EXPECT_EQ(::write(ready[1], "", 1), 1);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1) << "the child could not attach";
    ::close(ready[0]);
    children_.insert(child);
    return child;
  }

  void kill_child(pid_t child) {
    if (children_.erase(child) == 0) return;
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }

  /// What `action` says in a process of its own, which may give up its rights.
  static std::string in_child(const std::function<std::string()>& action) {
    int answer[2];
    EXPECT_EQ(::pipe(answer), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string text = action();
      ::_exit(::write(answer[1], text.data(), text.size()) < 0 ? 1 : 0);
    }
    ::close(answer[1]);
    std::string text;
    std::array<char, 4096> buffer;
    for (ssize_t size = 0; (size = ::read(answer[0], buffer.data(), buffer.size())) > 0;)
      text.append(buffer.data(), static_cast<std::size_t>(size));
    ::close(answer[0]);
    ::waitpid(child, nullptr, 0);
    return text;
  }

  std::string all_notes(const Datapath& datapath) const {
    std::string text;
    for (const DatapathNote& note : datapath.notes()) text += note.text + "\n";
    return text;
  }

  std::string folder_ = "/tmp/rheo-datapath-XXXXXX";
  DatapathOptions options_;
  std::set<pid_t> children_;
};

/// The same for both kinds of hook.
class DatapathHooks : public DatapathSandbox, public ::testing::WithParamInterface<Hook> {
 protected:
  void SetUp() override {
    DatapathSandbox::SetUp();
    options_.hook = GetParam();
  }

  /// What identifies the programs at the interface.
  static std::string attached_to(const std::string& interface) {
    std::string text = filters_of(interface);
    for (const Direction direction : {Direction::ingress, Direction::egress})
      for (const std::uint32_t id : tcx_programs(interface, direction)) text += std::to_string(id) + " ";
    return text;
  }

  /// Nothing of ours is at the interface.
  static void expect_bare(const std::string& interface) {
    EXPECT_TRUE(tcx_programs(interface, Direction::ingress).empty());
    EXPECT_TRUE(tcx_programs(interface, Direction::egress).empty());
    EXPECT_EQ(filters_of(interface).find("meter_"), std::string::npos);
    EXPECT_EQ(run("tc qdisc show dev " + interface).find("clsact"), std::string::npos);
  }
};

inline std::string hook_name(const ::testing::TestParamInfo<Hook>& info) {
  return info.param == Hook::tcx ? "Tcx" : "Clsact";
}

}  // namespace rheo::test
