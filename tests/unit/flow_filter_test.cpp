// SPDX-License-Identifier: Apache-2.0
// FlowFilter: what each word means, and what is said of words that mean nothing.
#include "daemon/model/flow_filter.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/unit/full_owners.h"

namespace rheo {
namespace {

using testing::HasSubstr;

Address mapped(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d};
}

LinkTable links() {
  LinkTable table;
  table[7] = {.index = 7, .name = "eth0", .kind = {}};
  const LinkId elsewhere{.netns = 2, .ifindex = 7};
  table[link_number(elsewhere)] = {.index = 7, .name = "eth0", .kind = {}, .netns = 2, .netns_name = "blue"};
  return table;
}

/// 10.1.0.0/16 is the office.
std::shared_ptr<const AddressClasses> classes() {
  ConfiguredClasses configured;
  configured.names = {"office"};
  const std::vector<PrefixTrie::Entry> office = {{prefix_of(mapped(10, 1, 0, 0), 112), kBuiltInClasses}};
  configured.classes = PrefixTrie(office);
  return std::make_shared<const AddressClasses>(
      std::make_shared<const ConfiguredClasses>(std::move(configured)), HostClasses{});
}

/// TCP from 10.1.2.3:50000 to 192.0.2.9:443 on eth0.
FlowRecord https() {
  FlowRecord record;
  record.protocol = IPPROTO_TCP;
  record.source = mapped(10, 1, 2, 3);
  record.destination = mapped(192, 0, 2, 9);
  record.source_port_be = htons(50'000);
  record.destination_port_be = htons(443);
  record.vlan = 12;
  record.link = 7;
  return record;
}

bool matches(const std::string& text, const FlowRecord& record) {
  test::FullOwners owners;
  const auto filter = FlowFilter::parse(text, links(), {.classes = classes(), .owners = &owners});
  EXPECT_TRUE(filter) << text << ": " << (filter ? "" : filter.error().what);
  return filter && filter->matches(record);
}

std::string complaint(const std::string& text) {
  test::FullOwners owners;
  const auto filter = FlowFilter::parse(text, links(), {.classes = classes(), .owners = &owners});
  EXPECT_FALSE(filter) << text.substr(0, 50);
  return filter ? "" : filter.error().what;
}

TEST(FlowFilter, EveryWordThatMatches) {
  for (const char* text : {"",
                           "  ",
                           "tcp",
                           "proto 6",
                           "ip",
                           "vlan 12",
                           "interface eth0",
                           "host 10.1.2.3",
                           "src host 10.1.2.3",
                           "dst host 192.0.2.9",
                           "net 10.0.0.0/8",
                           "src net 10.1.2.0/23",
                           "dst net 192.0.2.9/32",
                           "net 0.0.0.0/0",
                           "port 443",
                           "dst port 443",
                           "src port 50000",
                           "port 400-500",
                           "class office",
                           "src class office",
                           "dst class external and not src class external",
                           "tcp and dst port 443 and src net 10.0.0.0/8",
                           "tcp port 443",
                           "udp or tcp",
                           "not udp",
                           "not (udp or icmp)",
                           "(tcp)",
                           "udp and icmp or tcp"})
    EXPECT_TRUE(matches(text, https())) << text;
}

TEST(FlowFilter, EveryWordThatDoesNot) {
  for (const char* text : {"udp",
                           "icmp",
                           "icmpv6",
                           "icmp6",
                           "sctp",
                           "udplite",
                           "proto 17",
                           "ip6",
                           "vlan 0",
                           "dst host 10.1.2.3",
                           "src host 192.0.2.9",
                           "net 10.1.3.0/24",
                           "net ::/96",
                           "src port 443",
                           "port 1-442",
                           "dst class office",
                           "class internal",
                           "src class external",
                           "not class external",
                           "not tcp",
                           "tcp and udp",
                           "tcp and (udp or icmp)"}) {
    EXPECT_FALSE(matches(text, https())) << text;
  }
  FlowRecord elsewhere = https();
  elsewhere.link = 8;
  EXPECT_FALSE(matches("interface eth0", elsewhere));
  elsewhere.link = link_number({.netns = 2, .ifindex = 7});
  EXPECT_FALSE(matches("interface eth0", elsewhere));
  EXPECT_TRUE(matches("interface blue/eth0", elsewhere));
  EXPECT_FALSE(matches("interface blue/eth0", https()));
}

/// Process 4711 speaks to one of which nothing is known.
FlowRecord owned() {
  FlowRecord record = https();
  record.source_owner = 4'711;
  return record;
}

TEST(FlowFilter, WhoseTheSocketsAre) {
  for (const char* what : {"unit user@33.service", "unit web.service", "unit web", "user www-data", "uid 33",
                           "process nginx", "process /usr/sbin/nginx", "process \"nginx\"", "pid 4711",
                           "container web", "container we", "container front"}) {
    const std::string text = what;
    EXPECT_TRUE(matches(text, owned())) << text;
    EXPECT_TRUE(matches("src " + text + " and tcp", owned())) << text;
    EXPECT_FALSE(matches("dst " + text, owned())) << text;
    EXPECT_FALSE(matches("not " + text, owned())) << text;
    EXPECT_FALSE(matches(text, https())) << text;
    EXPECT_TRUE(matches("not " + text, https())) << text;
  }
  for (const char* text : {"unit web.socket", "unit user@34", "user www", "uid 0", "process ngin",
                           "process sbin/nginx", "process nginx.", "pid 471", "container webs",
                           "container fron", "container eb", "process \"nginx or\"", "process \"(nginx)\""}) {
    EXPECT_FALSE(matches(text, owned())) << text;
  }
}

TEST(FlowFilter, WhatIsWrongWithAnOwner) {
  for (const char* word : {"unit", "user", "uid", "process", "pid", "container"}) {
    EXPECT_THAT(complaint(word), HasSubstr("ends too early"));
    EXPECT_THAT(complaint(std::string("(") + word + ")"), HasSubstr("is expected"));
    EXPECT_THAT(complaint(word + std::string(" \"x")), HasSubstr("is expected"));
    EXPECT_THAT(complaint(word + std::string(" \"\"")), HasSubstr("is expected"));
    EXPECT_THAT(FlowFilter::parse(word + std::string(" 7"), links()).error().what,
                HasSubstr("owners of sockets are known to rheod alone"));
  }
  EXPECT_THAT(complaint("uid 4294967296"), HasSubstr("0 to 4294967295"));
  EXPECT_THAT(complaint("uid www-data"), HasSubstr("0 to 4294967295"));
  EXPECT_THAT(complaint("pid 0"), HasSubstr("1 to 4294967295"));
}

TEST(FlowFilter, NetsOfIPv6AndPortsOfWhatHasNone) {
  FlowRecord ping;
  ping.protocol = IPPROTO_ICMPV6;
  ping.ipv6 = true;
  ::inet_pton(AF_INET6, "2001:db8::1", ping.source.data());
  ::inet_pton(AF_INET6, "2001:db8:1::1", ping.destination.data());
  EXPECT_TRUE(matches("ip6 and icmp6 and net 2001:db8::/32", ping));
  EXPECT_TRUE(matches("src net 2001:db8::/48 and dst net 2001:db8:1::/48", ping));
  EXPECT_FALSE(matches("net 0.0.0.0/0", ping));
  EXPECT_FALSE(matches("port 0-65535", ping));
  // Whatever has ports in its record can be found by them.
  for (const int protocol : {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_SCTP, IPPROTO_DCCP}) {
    FlowRecord flow = https();
    flow.protocol = static_cast<std::uint8_t>(protocol);
    EXPECT_TRUE(matches("dst port 443", flow)) << protocol;
  }
}

TEST(FlowFilter, AComplaintNamesTheWordAndItsPlace) {
  EXPECT_THAT(complaint("tcp and nonsense"), HasSubstr("\"nonsense\" (word 3)"));
  EXPECT_THAT(complaint("tcp and"), HasSubstr("ends too early"));
  EXPECT_THAT(complaint("("), HasSubstr("ends too early"));
  EXPECT_THAT(complaint("(tcp"), HasSubstr("closing parenthesis"));
  EXPECT_THAT(complaint("tcp)"), HasSubstr("nothing opens"));
  EXPECT_THAT(complaint("port 65536"), HasSubstr("\"65536\""));
  EXPECT_THAT(complaint("port 444-50"), HasSubstr("a port such as"));
  EXPECT_THAT(complaint("net 10.0.0.0/33"), HasSubstr("too many bits"));
  EXPECT_THAT(complaint("net 10.0.0.0"), HasSubstr("a net such as"));
  EXPECT_THAT(complaint("host 10.0.0"), HasSubstr("an address"));
  EXPECT_THAT(complaint("src tcp"), HasSubstr("host, net, port, class, unit"));
  EXPECT_THAT(complaint("src class offices"), HasSubstr("\"offices\" (word 3): no such class"));
  EXPECT_THAT(complaint("class"), HasSubstr("ends too early"));
  EXPECT_THAT(FlowFilter::parse("class office", links()).error().what, HasSubstr("known to rheod alone"));
  EXPECT_THAT(complaint("interface eth9"), HasSubstr("no such interface"));
  EXPECT_THAT(complaint("vlan 4096"), HasSubstr("0 to 4095"));
  EXPECT_THAT(complaint("proto 256"), HasSubstr("0 to 255"));
  EXPECT_THAT(complaint(std::string("tcp \x1b[31m")), HasSubstr("\"?[31m\""));
}

TEST(FlowFilter, DepthAndLengthHaveLimits) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '(') + "tcp" + std::string(depth, ')');
  };
  EXPECT_TRUE(matches(nested(FlowFilter::kMaxDepth - 1), https()));
  EXPECT_THAT(complaint(nested(FlowFilter::kMaxDepth)), HasSubstr("nested too deeply"));
  EXPECT_THAT(complaint(std::string(FlowFilter::kMaxBytes + 1, ' ')), HasSubstr("4097 bytes"));

  std::string widest;  // every level has something waiting on its left
  for (std::size_t i = 1; i < FlowFilter::kMaxDepth; ++i) widest += "udp or tcp and (";
  widest += "udp or tcp and tcp" + std::string(FlowFilter::kMaxDepth - 1, ')');
  EXPECT_TRUE(matches(widest, https()));
}

}  // namespace
}  // namespace rheo
