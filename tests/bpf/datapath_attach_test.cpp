// SPDX-License-Identifier: Apache-2.0
// The loader with the real programs: what is sent is drained, exactly, and what is stopped leaves nothing.
#include <gmock/gmock.h>
#include <linux/if_tun.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <atomic>

#include "tests/bpf/datapath_sandbox.h"

namespace rheo::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::UnorderedElementsAre;

INSTANTIATE_TEST_SUITE_P(Hook, DatapathHooks, ::testing::Values(Hook::tcx, Hook::clsact), hook_name);

TEST_P(DatapathHooks, CountsBothDirectionsExactly) {
  auto datapath = load();
  ASSERT_TRUE(datapath);
  EXPECT_EQ(datapath->hook(), GetParam());
  const Status attached = datapath->attach(target("veth_a"));
  ASSERT_TRUE(attached) << attached.error().what;

  send_udp("veth_a", 300, 50);
  send_udp("veth_b", 500, 70);
  wait_until_seen(*datapath, 800);

  Tally tally;
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, 800U);
  EXPECT_EQ(tally.bytes, 800 * kFrameBytes);
  EXPECT_EQ(tally.source_ports.size(), 70U);
  EXPECT_EQ(datapath->counters().seen_bytes, 800 * kFrameBytes);

  Tally again;
  drain_all(*datapath, again);
  EXPECT_EQ(again.rows, 0U) << "a released row is handed out once";
}

/// A tun interface that is up; packets written to the descriptor arrive at it.
UniqueFd make_tun(const std::string& name) {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (!fd || ::ioctl(fd.get(), TUNSETIFF, &request) != 0) return {};
  run("ip link set " + name + " up");
  return fd;
}

TEST_P(DatapathHooks, LinksWithoutLinkLayerBesideEthernet) {
  const UniqueFd tun = make_tun("tun_a");
  if (!tun) GTEST_SKIP() << "/dev/net/tun: " << std::strerror(errno);
  auto datapath = load();
  ASSERT_TRUE(datapath);
  LinkTarget tun_target = target("tun_a");
  tun_target.layer = LinkLayer::none;
  for (const LinkTarget& link : {target("veth_a"), tun_target}) {
    const Status attached = datapath->attach(link);
    ASSERT_TRUE(attached) << attached.error().what;
  }
  send_udp("veth_a", 10, 10);
  constexpr std::size_t kEthernetHeader = 14;
  const std::array frame = udp_frame(1000);
  for (int i = 0; i < 7; ++i)
    ASSERT_GT(::write(tun.get(), &frame[kEthernetHeader], frame.size() - kEthernetHeader), 0);
  wait_until_seen(*datapath, 17);
  Tally tally;
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, 17U);
  EXPECT_EQ(tally.bytes, 17 * kFrameBytes - 7 * kEthernetHeader);

  const Status attached =
      datapath->attach({.ifindex = index_of("veth_a"), .name = "veth_a", .layer = LinkLayer::unsupported});
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().what, "attach veth_a: packets of its kind of link cannot be parsed");
}

TEST_P(DatapathHooks, OneDirectionOnly) {
  auto datapath = load();
  ASSERT_TRUE(datapath);
  LinkTarget only_egress = target("veth_a");
  only_egress.ingress = false;
  ASSERT_TRUE(datapath->attach(only_egress));
  send_udp("veth_b", 20, 1);
  send_udp("veth_a", 30, 1);
  Tally tally;
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, 30U);
}

TEST_P(DatapathHooks, AfterASwapProgramsUseTheOtherGeneration) {
  auto datapath = load();
  ASSERT_TRUE(datapath);
  ASSERT_TRUE(datapath->attach(target("veth_a")));
  for (const std::uint64_t packets : {10U, 5U, 7U}) {
    send_udp("veth_a", packets, 1);
    ASSERT_TRUE(datapath->swap());
    send_udp("veth_a", 100, 1);
    Tally tally;
    datapath->drain(merge_into(tally, *datapath));
    EXPECT_EQ(tally.packets, packets);
    ASSERT_TRUE(datapath->swap());
    datapath->drain(merge_into(tally, *datapath));
    EXPECT_EQ(tally.packets, packets + 100);
  }
}

/// What is sent out of veth_a while generations are swapped and drained is counted, to the packet.
void expect_exact_under_traffic(Datapath& datapath, std::uint16_t flows) {
  constexpr std::uint64_t kPackets = 200'000;
  std::atomic<bool> sent = false;
  std::thread sender([&sent, flows] {
    send_udp("veth_a", kPackets, flows);
    sent = true;
  });
  Tally tally;
  int swaps = 0;
  for (; !sent; ++swaps) {
    if (!datapath.swap()) break;
    datapath.consume_evicted(merge_into(tally, datapath));
    datapath.drain(merge_into(tally, datapath));
  }
  sender.join();
  drain_all(datapath, tally);

  const DatapathCounters counters = datapath.counters();
  EXPECT_EQ(counters.seen_packets, kPackets);
  EXPECT_EQ(tally.packets + counters.evicted_full.packets, kPackets);
  EXPECT_EQ(tally.bytes + counters.evicted_full.bytes, kPackets * kFrameBytes);
  EXPECT_GT(swaps, 3);
}

TEST_P(DatapathHooks, SwapsUnderTrafficOfFewFlows) {
  auto datapath = load();
  ASSERT_TRUE(datapath);
  LinkTarget only_egress = target("veth_a");  // before anything may drop the packet
  only_egress.ingress = false;
  ASSERT_TRUE(datapath->attach(only_egress));
  expect_exact_under_traffic(*datapath, 4);
}

TEST_P(DatapathHooks, SwapsUnderTrafficThatIsEvicted) {
  options_.flow_cache_rows = 64;  // nearly every packet evicts a row
  auto datapath = load();
  ASSERT_TRUE(datapath);
  LinkTarget only_egress = target("veth_a");
  only_egress.ingress = false;
  ASSERT_TRUE(datapath->attach(only_egress));
  expect_exact_under_traffic(*datapath, 3000);
  EXPECT_GT(datapath->counters().evicted_rows, 1000U);
}

TEST_P(DatapathHooks, StoppingLeavesNothing) {
  {
    auto datapath = load();
    ASSERT_TRUE(datapath);
    ASSERT_TRUE(datapath->pinned());
    ASSERT_TRUE(datapath->attach(target("veth_a")));
    ASSERT_TRUE(std::filesystem::exists(options_.pin_directory));
    datapath->detach_all();
    expect_bare("veth_a");
    Tally tally;
    drain_all(*datapath, tally);
    datapath->remove_pins();
  }
  EXPECT_FALSE(std::filesystem::exists(options_.pin_directory)) << run("find " + folder_);
}

TEST_P(DatapathHooks, DetachingOneInterfaceKeepsTheOther) {
  auto datapath = load();
  ASSERT_TRUE(datapath);
  ASSERT_TRUE(datapath->attach(target("veth_a")));
  ASSERT_TRUE(datapath->attach(target("veth_b")));
  datapath->detach({.netns = 0, .ifindex = index_of("veth_b")});
  expect_bare("veth_b");
  send_udp("veth_a", 10, 1);
  EXPECT_EQ(datapath->counters().seen_packets, 10U);
}

TEST_P(DatapathHooks, WithoutPinsTheProcessTakesEverythingWithIt) {
  options_.pin_directory = "/tmp";  // not a bpffs
  {
    auto datapath = load();
    ASSERT_TRUE(datapath);
    EXPECT_FALSE(datapath->pinned());
    EXPECT_NE(all_notes(*datapath).find("/tmp is not on a BPF file system"), std::string::npos)
        << all_notes(*datapath);
    ASSERT_TRUE(datapath->attach(target("veth_a")));
    send_udp("veth_a", 10, 1);
    EXPECT_EQ(datapath->counters().seen_packets, 10U);
  }
  expect_bare("veth_a");
}

TEST_P(DatapathHooks, UnknownInterface) {
  auto datapath = load();
  ASSERT_TRUE(datapath);
  const Status attached = datapath->attach({.ifindex = 9999, .name = "eth9", .layer = LinkLayer::ethernet});
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().what, "attach eth9: No such device");
}

TEST_F(DatapathSandbox, AutomaticChoosesTcxWhereTheKernelHasIt) {
  auto datapath = load();
  ASSERT_TRUE(datapath);
  ASSERT_TRUE(datapath->attach(target("veth_a")));
  const bool tcx = tcx_programs("veth_a", Direction::ingress).size() == 1;
  EXPECT_EQ(datapath->hook(), tcx ? Hook::tcx : Hook::clsact);
  EXPECT_NE(all_notes(*datapath).find(tcx ? "attaching by TCX links" : "attaching by clsact filters"),
            std::string::npos);
}

TEST_F(DatapathSandbox, TcxProgramsGoAheadOfOthers) {
  options_.hook = Hook::tcx;
  options_.pin_directory = "";
  auto other = load();
  auto datapath = load();
  ASSERT_TRUE(other && datapath);
  ASSERT_TRUE(other->attach(target("veth_a")));
  const auto others = tcx_programs("veth_a", Direction::egress);
  ASSERT_TRUE(datapath->attach(target("veth_a")));
  const auto both = tcx_programs("veth_a", Direction::egress);
  ASSERT_EQ(others.size(), 1U);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[1], others[0]);
  send_udp("veth_a", 10, 1);
  EXPECT_EQ(other->counters().seen_packets, 10U) << "and let the packet pass to them";
}

TEST_F(DatapathSandbox, AnotherOnesFilterAndQdiscStay) {
  options_.hook = Hook::clsact;
  run("tc qdisc add dev veth_a clsact");
  run("tc filter add dev veth_a ingress protocol all prio 10 bpf bytecode '1,6 0 0 4294967295,'");
  auto datapath = load();
  ASSERT_TRUE(datapath);
  ASSERT_TRUE(datapath->attach(target("veth_a")));
  ASSERT_TRUE(datapath->attach(target("veth_b")));
  EXPECT_NE(filters_of("veth_a").find("meter_"), std::string::npos);
  // In a qdisc of ours, but not ours: the qdisc must stay with it.
  run("tc filter add dev veth_b egress protocol all prio 11 bpf bytecode '1,6 0 0 4294967295,'");
  datapath->detach_all();
  EXPECT_EQ(filters_of("veth_a").find("meter_"), std::string::npos);
  EXPECT_NE(filters_of("veth_a").find("pref 10 bpf"), std::string::npos);
  EXPECT_EQ(filters_of("veth_b").find("meter_"), std::string::npos);
  EXPECT_NE(filters_of("veth_b").find("pref 11 bpf"), std::string::npos);
}

TEST_F(DatapathSandbox, AnEmptyQdiscOfAnotherStays) {
  options_.hook = Hook::clsact;
  run("tc qdisc add dev veth_a clsact");
  auto datapath = load();
  ASSERT_TRUE(datapath);
  ASSERT_TRUE(datapath->attach(target("veth_a")));
  datapath->detach_all();
  EXPECT_NE(run("tc qdisc show dev veth_a").find("clsact"), std::string::npos);
}

TEST_F(DatapathSandbox, AFailedAttachLeavesNothing) {
  options_.hook = Hook::clsact;
  run("tc qdisc add dev veth_a clsact");
  run("tc filter add dev veth_a egress protocol all prio 50 handle 0x7268 bpf bytecode '1,6 0 0 "
      "4294967295,'");
  auto datapath = load();
  ASSERT_TRUE(datapath);
  const Status attached = datapath->attach(target("veth_a"));
  ASSERT_FALSE(attached);
  EXPECT_EQ(
      attached.error().what,
      "attach veth_a egress: another program's filter has priority 50 and handle 0x7268, which are ours "
      "(tc_priority says which priority)");
  EXPECT_EQ(filters_of("veth_a").find("meter_"), std::string::npos);
}

TEST_F(DatapathSandbox, OfAnotherSchemasPinsOnlyUnknownNamesStay) {
  const std::string other = options_.pin_directory + "/v99";
  std::filesystem::create_directories(other + "/qdisc_4000000000");
  std::filesystem::create_directories(other + "/link_x_ingress");
  auto datapath = load();
  ASSERT_TRUE(datapath);
  EXPECT_THAT(datapath->orphans(),
              UnorderedElementsAre(
                  AllOf(Field(&Orphan::kind, "qdisc"), Field(&Orphan::place, other + "/qdisc_4000000000")),
                  AllOf(Field(&Orphan::kind, "unknown"), Field(&Orphan::place, other + "/link_x_ingress"))));
  EXPECT_EQ(datapath->remove_orphans().size(), 1U);
  EXPECT_THAT(datapath->orphans(), ElementsAre(Field(&Orphan::kind, "unknown")));
  EXPECT_FALSE(std::filesystem::exists(other + "/qdisc_4000000000"));
  std::filesystem::remove(other + "/link_x_ingress");
  EXPECT_TRUE(datapath->remove_orphans().empty());
  EXPECT_FALSE(std::filesystem::exists(other));
  datapath->detach_all();
  datapath->remove_pins();
}

TEST_F(DatapathSandbox, TheRingWakesWhenAQuarterFull) {
  options_.flow_cache_rows = 64;
  options_.evicted_ring = 64U << 10U;
  auto datapath = load();
  ASSERT_TRUE(datapath);
  const UniqueFd epoll(::epoll_create1(0));
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
  ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, datapath->evicted_fd(), &event), 0);
  LinkTarget only_egress = target("veth_a");
  only_egress.ingress = false;
  ASSERT_TRUE(datapath->attach(only_egress));
  EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, 0), 0);
  send_udp("veth_a", 3000, 3000);
  EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, 1000), 1);

  Tally tally;
  drain_all(*datapath, tally);
  const DatapathCounters counters = datapath->counters();
  EXPECT_GT(counters.evicted_full.packets, 0U) << "64 KiB hold 327 rows";
  EXPECT_EQ(tally.packets + counters.evicted_full.packets, 3000U);
  EXPECT_EQ(tally.bytes + counters.evicted_full.bytes, 3000 * kFrameBytes);
}

TEST_F(DatapathSandbox, EvictedRowsStopAtTheGivenTime) {
  options_.flow_cache_rows = 64;
  auto datapath = load();
  ASSERT_TRUE(datapath);
  LinkTarget only_egress = target("veth_a");
  only_egress.ingress = false;
  ASSERT_TRUE(datapath->attach(only_egress));
  send_udp("veth_a", 1000, 1000);
  std::uint64_t middle_ns = 0;
  std::uint64_t before = 0;
  datapath->consume_evicted(
      [&](std::span<const Row> rows) { middle_ns = rows[rows.size() / 2].hot->first_ns; });
  ASSERT_GT(middle_ns, 0U) << "nothing was released, so the first batch alone is handed out";

  datapath->consume_evicted(
      [&](std::span<const Row> rows) {
        for (const Row& row : rows) {
          EXPECT_LT(row.hot->first_ns, middle_ns);
          datapath->release(row.place);
          datapath->release(row.place);
        }
        before += rows.size();
      },
      middle_ns);
  EXPECT_LT(before, 64U);
  std::uint64_t rest = 0;
  datapath->consume_evicted([&](std::span<const Row> rows) {
    for (const Row& row : rows) datapath->release(row.place);
    rest += rows.size();
  });
  EXPECT_EQ(before + rest, datapath->counters().evicted_rows);
}

TEST_F(DatapathSandbox, APlaceInMapsThatAreGoneIsIgnored) {
  options_.flow_cache_rows = 64;
  auto datapath = load();
  ASSERT_TRUE(datapath);
  datapath->release({.kind = RowPlace::Kind::ring, .generation = 0, .way = 0, .position = 1U << 30U});
  datapath->release({.kind = RowPlace::Kind::cache, .generation = 1, .way = 3, .position = 1U << 30U});
  LinkTarget only_egress = target("veth_a");
  only_egress.ingress = false;
  ASSERT_TRUE(datapath->attach(only_egress));
  send_udp("veth_a", 1000, 1000);
  Tally tally;
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, 1000U);
}

}  // namespace
}  // namespace rheo::test
