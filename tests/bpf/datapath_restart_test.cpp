// SPDX-License-Identifier: Apache-2.0
// What a rheod that was killed leaves pinned is taken over by the next, and nothing of it is lost.
#include "tests/bpf/datapath_sandbox.h"

namespace rheo::test {
namespace {

INSTANTIATE_TEST_SUITE_P(Hook, DatapathHooks, ::testing::Values(Hook::tcx, Hook::clsact), hook_name);

TEST_P(DatapathHooks, CountingGoesOnAcrossAKill) {
  const pid_t killed = start_child(options_, {"veth_a"});
  send_udp("veth_a", 100, 10);
  kill_child(killed);
  send_udp("veth_a", 200, 20);

  auto datapath = load();
  ASSERT_TRUE(datapath);
  send_udp("veth_a", 300, 30);
  EXPECT_NE(all_notes(*datapath).find("going on with the maps pinned in " + pins()), std::string::npos);
  const std::string old_programs = attached_to("veth_a");
  const Status attached = datapath->attach(target("veth_a"));
  ASSERT_TRUE(attached) << attached.error().what;
  datapath->detach_unwanted();
  EXPECT_NE(attached_to("veth_a"), old_programs);
  EXPECT_LE(tcx_programs("veth_a", Direction::egress).size(), 1U);
  send_udp("veth_a", 400, 40);

  Tally tally;
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, 1000U);
  EXPECT_EQ(tally.bytes, 1000 * kFrameBytes);
  EXPECT_EQ(datapath->counters().seen_packets, 1000U);

  datapath->detach_all();
  expect_bare("veth_a");
  datapath->remove_pins();
  EXPECT_FALSE(std::filesystem::exists(pins())) << run("find " + folder_);
}

TEST_P(DatapathHooks, AnotherInterfaceOfTheSameNumberIsNotTakenForTheOneThatMoved) {
  kill_child(start_child(options_, {"veth_a"}));
  const std::string index = std::to_string(index_of("veth_a"));
  const std::string away = "rheo-away-" + std::to_string(::getpid());
  ASSERT_EQ(::mount("tmpfs", "/run", "tmpfs", 0, nullptr), 0);
  run("ip netns add " + away + " && ip link set veth_a netns " + away);
  run("ip link add veth_c index " + index + " type veth peer name veth_d");
  run("ip link set veth_c up && ip link set veth_d up");
  {
    auto datapath = load();
    ASSERT_TRUE(datapath);
    const Status attached = datapath->attach(target("veth_c"));
    ASSERT_TRUE(attached) << attached.error().what;
    datapath->detach_unwanted();
    send_udp("veth_c", 10, 1);
    EXPECT_EQ(datapath->counters().seen_packets, 10U);
    datapath->detach_all();
    datapath->remove_pins();
  }
  expect_bare("veth_c");
  run("ip netns delete " + away);
  ::umount("/run");
}

TEST_P(DatapathHooks, NoPacketIsMissedOrCountedTwiceWhileTakingOver) {
  constexpr std::uint64_t kPackets = 200'000;
  LinkTarget only_egress = target("veth_a");
  only_egress.ingress = false;
  kill_child(start_child(options_, {"veth_a"}));
  std::thread sender([] { send_udp("veth_a", kPackets, 100); });
  auto datapath = load();
  ASSERT_TRUE(datapath);
  const Status attached = datapath->attach(only_egress);
  sender.join();
  ASSERT_TRUE(attached);
  Tally tally;
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, kPackets);
}

TEST_P(DatapathHooks, RowsOfBothGenerationsAndTheRingOutliveAKill) {
  options_.flow_cache_rows = 64;
  auto first = load();
  ASSERT_TRUE(first);
  const std::uint64_t identity = first->identity();
  ASSERT_TRUE(first->attach(target("veth_a")));
  send_udp("veth_a", 500, 500);
  ASSERT_TRUE(first->swap());  // and the idle generation is not drained
  send_udp("veth_a", 500, 500);
  first.reset();  // with pins, nothing is detached: as a kill does it

  auto datapath = load();
  ASSERT_TRUE(datapath);
  EXPECT_EQ(datapath->identity(), identity);
  Tally tally;
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, 1000U);
  datapath->detach_all();
  expect_bare("veth_a");
}

TEST_P(DatapathHooks, AnInterfaceThatIsNotWantedAnyMoreIsDetached) {
  kill_child(start_child(options_, {"veth_a", "veth_b"}));
  auto datapath = load();
  ASSERT_TRUE(datapath);
  ASSERT_TRUE(datapath->attach(target("veth_b")));
  datapath->detach_unwanted();
  expect_bare("veth_a");
  send_udp("veth_b", 10, 1);
  Tally tally;
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, 10U);
}

TEST_P(DatapathHooks, AnInterfaceThatIsGoneIsForgotten) {
  kill_child(start_child(options_, {"veth_a"}));
  const std::string link = pins() + "/link_" + std::to_string(index_of("veth_a")) + "_ingress";
  EXPECT_EQ(std::filesystem::exists(link), GetParam() == Hook::tcx);
  run("ip link del veth_a");
  auto datapath = load();
  ASSERT_TRUE(datapath);
  EXPECT_FALSE(std::filesystem::exists(link));
  datapath->detach_all();
  datapath->remove_pins();
  EXPECT_FALSE(std::filesystem::exists(pins())) << run("find " + folder_);
}

TEST_P(DatapathHooks, TheOtherHookTakesOver) {
  DatapathOptions other = options_;
  other.hook = GetParam() == Hook::tcx ? Hook::clsact : Hook::tcx;
  kill_child(start_child(other, {"veth_a", "veth_b"}));
  auto datapath = load();
  ASSERT_TRUE(datapath);
  ASSERT_TRUE(datapath->attach(target("veth_a")));
  send_udp("veth_a", 50, 10);
  wait_until_seen(*datapath, 100);  // once going out, once coming in at veth_b
  datapath->detach_unwanted();
  expect_bare("veth_b");
  send_udp("veth_a", 50, 10);
  Tally tally;
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, 150U) << "200 if both hooks count at veth_a";
}

TEST_P(DatapathHooks, ARestartWithOtherSizesDrainsFirst) {
  options_.flow_cache_rows = 64;
  kill_child(start_child(options_, {"veth_a"}));
  send_udp("veth_a", 1000, 500);

  options_.flow_cache_rows = 4096;
  EXPECT_FALSE(Datapath::load(options_)) << "rows would be lost";
  auto outdated = Datapath::open_outdated(options_);
  ASSERT_TRUE(outdated) << outdated.error().what;
  ASSERT_TRUE(*outdated);
  EXPECT_FALSE((*outdated)->attach(target("veth_a")));
  const std::uint64_t identity = (*outdated)->identity();
  (*outdated)->detach_all();
  expect_bare("veth_a");
  Tally tally;
  drain_all(**outdated, tally);
  EXPECT_EQ(tally.packets, 1000U);
  (*outdated)->remove_pins();
  outdated->reset();

  const auto again = Datapath::open_outdated(options_);
  ASSERT_TRUE(again);
  EXPECT_FALSE(*again);
  auto datapath = load();
  ASSERT_TRUE(datapath);
  EXPECT_NE(datapath->identity(), identity);
  EXPECT_EQ(datapath->counters().seen_packets, 1000U) << "counters go on";
  ASSERT_TRUE(datapath->attach(target("veth_a")));
  send_udp("veth_a", 100, 10);
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, 1100U);
}

TEST_F(DatapathSandbox, EverySizeIsPartOfTheGeometry) {
  load();
  for (const auto change : {+[](DatapathOptions& o) { o.flow_cache_rows *= 2; },
                            +[](DatapathOptions& o) { o.evicted_ring *= 2; }}) {
    DatapathOptions other = options_;
    change(other);
    const auto outdated = Datapath::open_outdated(other);
    ASSERT_TRUE(outdated);
    EXPECT_TRUE(*outdated);
  }
  DatapathOptions other = options_;
  other.fragments *= 2;
  other.vxlan_ports = {1234};
  const auto outdated = Datapath::open_outdated(other);
  ASSERT_TRUE(outdated);
  EXPECT_FALSE(*outdated);
  EXPECT_TRUE(Datapath::load(other));
}

TEST_F(DatapathSandbox, PinsThatWereCutShortAreReplaced) {
  load();
  ASSERT_EQ(::unlink((pins() + "/flow_cache").c_str()), 0);
  auto datapath = load();
  ASSERT_TRUE(datapath);
  ASSERT_TRUE(datapath->attach(target("veth_a")));
  send_udp("veth_a", 10, 1);
  Tally tally;
  drain_all(*datapath, tally);
  EXPECT_EQ(tally.packets, 10U);
  EXPECT_TRUE(load()) << "the new pins are whole";
}

TEST_F(DatapathSandbox, AForeignMapInAPinsPlaceIsRefused) {
  load();
  const std::string folder = pins();
  ASSERT_EQ(::rename((folder + "/counters").c_str(), (folder + "/evicted").c_str()), 0);
  const auto datapath = Datapath::load(options_);
  ASSERT_FALSE(datapath);
  EXPECT_EQ(datapath.error().what, "take over " + folder + ": the pinned map evicted is not a ring buffer");
}

}  // namespace
}  // namespace rheo::test
