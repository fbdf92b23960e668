// SPDX-License-Identifier: Apache-2.0
// What of daemon/app is decided without a kernel: words, names, targets, pictures, the lock.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "daemon/app/args.h"
#include "daemon/app/counter_list.h"
#include "daemon/app/live_table.h"
#include "daemon/app/run_directory.h"
#include "daemon/app/service_state.h"
#include "daemon/app/settings.h"
#include "daemon/base/clock.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

Result<Args> parse(std::vector<std::string> words) {
  words.insert(words.begin(), "rheod");
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return parse_args(static_cast<int>(words.size()), pointers.data());
}

TEST(Args, AreReadInTheirShortAndLongForm) {
  const auto args = parse({"-c", "/a", "--check", "-i", "eth*", "--interface=lo", "--replay", "x.pcap"});
  ASSERT_TRUE(args);
  EXPECT_EQ(args->config_path, "/a");
  EXPECT_EQ(args->replay_path, "x.pcap");
  EXPECT_THAT(args->interfaces, ElementsAre("eth*", "lo"));
  EXPECT_TRUE(args->check_only);
  EXPECT_FALSE(args->help || args->version);
  EXPECT_TRUE(parse({"-hV"})->version);
  EXPECT_EQ(parse({"-r", "x.pcap", "--ipfix", "udp://h"})->ipfix_endpoint, "udp://h");
  EXPECT_FALSE(parse({"--ipfix", "udp://h"}));
}

TEST(Args, AComplaintNamesTheWord) {
  EXPECT_THAT(parse({"--nonsense"}).error().what, StartsWith("--nonsense: no such option"));
  EXPECT_THAT(parse({"--check", "-hx"}).error().what, StartsWith("-x: no such option"));
  EXPECT_THAT(parse({"-h", "--config"}).error().what, StartsWith("--config: a value is missing"));
  EXPECT_THAT(parse({"-hc"}).error().what, StartsWith("-c: a value is missing"));
  EXPECT_THAT(parse({"--detach", "--check"}).error().what,
              StartsWith("--detach: together with --config only"));
  EXPECT_THAT(parse({"--check", "eth0"}).error().what, StartsWith("eth0: rheod takes options only"));
}

TEST(Args, TheUsageNamesEveryOption) {
  for (const char* option : {"--config", "--check", "--replay", "--interface", "--help", "--version"})
    EXPECT_THAT(usage(), HasSubstr(option));
}

Link link(const char* name, bool up, LinkLayer layer = LinkLayer::ethernet, bool loopback = false) {
  Link link;
  link.name = name;
  link.up = up;
  link.layer = layer;
  link.loopback = loopback;
  link.hardware_type = 824;
  return link;
}

LinkTable some_links() {
  return {{1, link("lo", true, LinkLayer::ethernet, true)},
          {2, link("eth0", true)},
          {3, link("eth1", false)},
          {4, link("nl0", true, LinkLayer::unsupported)}};
}

TEST(CounterList, HasEveryNumberOnceUnderItsOwnName) {
  DaemonCounters counters;
  counters.datapath.seen_packets = 3;
  counters.table.records[static_cast<int>(EndReason::rst)] = 4;
  counters.lanes.push_back({.name = "json.a", .records_lost = 5, .lost = {6, 7, 8}});
  std::map<std::string, std::uint64_t> all;
  for (const NamedCounter& counter : list_counters(counters))
    EXPECT_TRUE(all.emplace(counter.name, counter.value).second) << counter.name;
  EXPECT_EQ(all.at("datapath.seen_packets"), 3U);
  EXPECT_EQ(all.at("table.records.rst"), 4U);
  EXPECT_EQ(all.at("lane.json.a.records_lost"), 5U);
  EXPECT_EQ(all.at("lane.json.a.lost.packets"), 6U);
  EXPECT_EQ(all.at("lane.json.a.lost.l2_bytes"), 8U);
}

LiveView view_of(std::uint64_t seen, std::uint64_t at_ns) {
  LiveView view;
  view.heading = "rheod";
  view.at_ns = at_ns;
  view.counters.datapath.seen_packets = seen;
  LiveFlow flow;
  flow.record.protocol = 6;
  flow.record.link = 2;
  flow.record.source = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};
  flow.record.forward.total = {1'500, 3'000'000, 0};
  flow.recent_bytes = 1'000;
  view.flows.assign(50, flow);
  return view;
}

TEST(LiveView, FitsTheTerminalAndHasRates) {
  const auto lines = draw_live_view(view_of(5'000, 3 * kNanosecondsPerSecond),
                                    view_of(1'000, kNanosecondsPerSecond), some_links(), 120, 20);
  ASSERT_EQ(lines.size(), 20U);
  for (const std::string& line : lines) EXPECT_LE(line.size(), 120U);
  EXPECT_THAT(lines[1], HasSubstr("2.00 k packets/s"));
  EXPECT_THAT(lines[4], StartsWith("eth0"));
  EXPECT_THAT(lines[4], HasSubstr("192.0.2.1"));
  EXPECT_THAT(lines[4], HasSubstr("4.00 kb"));
  EXPECT_THAT(lines[4], HasSubstr("3.00 MB"));
  EXPECT_EQ(draw_live_view(view_of(0, 1), {}, some_links(), 40, 2).size(), 2U);
  for (const std::string& line : draw_live_view(view_of(0, 1), {}, some_links(), 40, 20))
    EXPECT_LE(line.size(), 40U);
}

TEST(LiveView, AnInterfacesNameCannotCommandTheTerminal) {
  const LinkTable links = {{2, link("\033]0;x\a\x9b", true)}};
  for (const std::string& line : draw_live_view(view_of(0, 1), {}, links, 120, 20))
    for (const char c : line) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << line;
}

TEST(Settings, EveryTimeoutGoesWhereItBelongs) {
  Config config;
  using std::chrono::seconds;
  config.flow.generic_timeout = seconds(1);
  config.flow.icmp_timeout = seconds(2);
  config.flow.tcp_timeout = seconds(3);
  config.flow.tcp_fin_timeout = seconds(4);
  config.flow.tcp_rst_timeout = seconds(5);
  config.flow.udp_timeout = seconds(6);
  config.flow.max_record_interval = seconds(7);
  config.flow.max_flows = 8;
  config.flow.outbox_records = 2'048;
  const FlowTableOptions options = table_options(config, "/run/x");
  EXPECT_EQ(options.timeouts.generic_ns, 1 * kNanosecondsPerSecond);
  EXPECT_EQ(options.timeouts.icmp_ns, 2 * kNanosecondsPerSecond);
  EXPECT_EQ(options.timeouts.tcp_ns, 3 * kNanosecondsPerSecond);
  EXPECT_EQ(options.timeouts.tcp_fin_ns, 4 * kNanosecondsPerSecond);
  EXPECT_EQ(options.timeouts.tcp_rst_ns, 5 * kNanosecondsPerSecond);
  EXPECT_EQ(options.timeouts.udp_ns, 6 * kNanosecondsPerSecond);
  EXPECT_EQ(options.timeouts.max_record_interval_ns, 7 * kNanosecondsPerSecond);
  EXPECT_EQ(options.file.path, "/run/x/flows");
  EXPECT_EQ(options.file.max_flows, 8U);
  EXPECT_EQ(options.file.outbox_records, 2'048U);
  EXPECT_EQ(table_options(config, "").file.path, "");

  config.datapath.hook = HookChoice::clsact;
  config.datapath.flow_cache_rows = 128;
  EXPECT_EQ(datapath_options(config).hook, Hook::clsact);
  EXPECT_EQ(datapath_options(config).flow_cache_rows, 128U);
}

class RunDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "rheo-run-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(RunDirectoryTest, ASecondOneIsRefusedAndToldWhoHasIt) {
  const std::string path = folder_ / "run";
  auto first = RunDirectory::claim(path);
  ASSERT_TRUE(first) << first.error().what;
  const auto second = RunDirectory::claim(path);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().what, HasSubstr("process " + std::to_string(::getpid())));
  first->clear();
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(RunDirectoryTest, WhatWasThereBeforeStays) {
  fs::create_directory(folder_ / "run");
  auto directory = RunDirectory::claim(folder_ / "run");
  ASSERT_TRUE(directory);
  directory->clear();
  EXPECT_TRUE(fs::exists(folder_ / "run"));
  EXPECT_FALSE(fs::exists(folder_ / "run" / "lock"));
}

TEST_F(RunDirectoryTest, ALockThatIsALinkIsNotFollowed) {
  std::ofstream(folder_ / "precious") << "text";
  fs::create_symlink(folder_ / "precious", folder_ / "lock");
  EXPECT_FALSE(RunDirectory::claim(folder_));
  EXPECT_EQ(fs::file_size(folder_ / "precious"), 4U);
}

TEST(ServiceState, TheStatusLineCounts) {
  DaemonStatus status;
  status.interfaces.resize(3);
  status.exporters.resize(1);
  status.active_flows = 12'403;
  EXPECT_EQ(service_status(status), "metering 3 interfaces, 12,403 flows, 1 exporter");
  status.active_flows = 1'000'007;
  EXPECT_THAT(service_status(status), HasSubstr("1,000,007 flows"));
}

}  // namespace
}  // namespace rheo
