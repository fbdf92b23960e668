// SPDX-License-Identifier: Apache-2.0
// Classes of addresses: of the settings, of files, of the host; what wins; what becomes of files that change
// or are wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "daemon/enrich/class_directory.h"
#include "daemon/enrich/prefix_file.h"
#include "tests/unit/patience.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <class Condition>
bool comes_true(Condition condition) {
  const auto until = std::chrono::steady_clock::now() + test::kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

IpPrefix prefix(const std::string& text) {
  const auto parsed = parse_ip_prefix(text);
  if (!parsed) ADD_FAILURE() << parsed.error().what;
  return parsed ? *parsed : IpPrefix{};
}

Address address(const std::string& text) { return prefix(text).address; }

std::vector<IpPrefix> prefixes(const std::vector<std::string>& texts) {
  std::vector<IpPrefix> made;
  for (const std::string& text : texts) made.push_back(prefix(text));
  return made;
}

TEST(PrefixFile, HasAPrefixOnALineAndComments) {
  const auto read = parse_prefix_lines("# ours\n10.0.0.0/8\r\n\n \t2001:db8::/32 # theirs\n192.0.2.1", 3);
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_EQ(*read, prefixes({"10.0.0.0/8", "2001:db8::/32", "192.0.2.1"}));
  EXPECT_THAT(*parse_prefix_lines("", 0), IsEmpty());
}

TEST(PrefixFile, AMistakeHasItsLine) {
  EXPECT_THAT(parse_prefix_lines("10.0.0.0/8\n\nnot one\n", 9).error().what,
              HasSubstr("3: \"not one\" is no prefix; allowed: "));
  EXPECT_THAT(parse_prefix_lines("10.0.0.1/8", 9).error().what, HasSubstr("1: \"10.0.0.1/8\" has bits"));
  EXPECT_EQ(parse_prefix_lines("10.0.0.1\n10.0.0.2\n10.0.0.3", 2).error().what,
            "3: one prefix too many; allowed: 2 with those of other classes and lists");
  const std::string hostile("\0\x1b[2J\xff", 6);
  EXPECT_THAT(parse_prefix_lines(hostile, 9).error().what, HasSubstr("1: \"??[2J?\" is no prefix"));
}

TEST(Resolvers, AreThoseOfResolvConf) {
  EXPECT_THAT(
      parse_resolv_conf("# nameserver 192.0.2.9\nnameserver 192.0.2.1\n nameserver 192.0.2.8\n"
                        "nameserver\t2001:db8::1 # x\nnameserver fe80::1%eth0\nnameservers 192.0.2.7\n"
                        "nameserver\nnameserver x\nsearch 192.0.2.6\nnameserver 192.0.2.2"),
      ElementsAre(address("192.0.2.1"), address("2001:db8::1"), address("fe80::1"), address("192.0.2.2")));
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += "nameserver 192.0.2.1\n";
  EXPECT_EQ(parse_resolv_conf(many).size(), 64U);
}

/// A folder of its own.
class Classes : public testing::Test {
 protected:
  Classes() {
    std::string path = (fs::temp_directory_path() / "rheo-classes-XXXXXX").string();
    folder_ = ::mkdtemp(path.data());
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path + ".new") << text;
    fs::rename(path + ".new", path);
    return path;
  }

  ResolverFiles resolver_files() const {
    return {.host = folder_ + "/resolv.conf", .behind_stub = folder_ + "/behind"};
  }

  std::string class_of(const std::string& text) const {
    return std::string(published_.get()->name_of(address(text)));
  }

  std::vector<std::string> look(ClassDirectory& directory) const {
    return directory.look(links_, addresses_);
  }

  /// Looks until the address is of the class; what was said meanwhile.
  std::vector<std::string> look_until(ClassDirectory& directory, const std::string& text,
                                      const std::string& wanted) const {
    std::vector<std::string> said;
    EXPECT_TRUE(comes_true([&] {
      for (std::string& sentence : look(directory)) said.push_back(std::move(sentence));
      return class_of(text) == wanted;
    })) << text
        << " is " << class_of(text);
    return said;
  }

  void add_link(std::uint32_t index, const std::string& name, const std::string& kind,
                std::set<LinkAddress> own) {
    links_[index] = {.index = index, .name = name, .kind = kind};
    addresses_[index] =
        std::make_shared<const LinkAddresses>(LinkAddresses{.own = std::move(own), .neighbours = {}});
  }

  std::string folder_;
  LinkTable links_;
  AddressTable addresses_;
  mutable Snapshot<AddressClasses> published_;
};

TEST_F(Classes, WithoutSettingsTheHostIsKnown) {
  write("resolv.conf", "nameserver 127.0.0.53\n");
  write("behind", "nameserver 192.0.2.53\n");
  add_link(2, "eth0", "",
           {{.ipv6 = false, .address = address("192.0.2.7"), .prefix = 24},
            {.ipv6 = true, .address = address("2001:db8::7"), .prefix = 64}});
  add_link(3, "docker0", "bridge",
           {{.ipv6 = false, .address = address("172.17.0.1"), .prefix = 16},
            {.ipv6 = true, .address = address("fe80::42"), .prefix = 64}});
  add_link(4, "br-0123456789ab", "bridge", {{.ipv6 = false, .address = address("172.18.0.1"), .prefix = 16}});
  add_link(5, "br-lan", "bridge", {{.ipv6 = false, .address = address("172.19.0.1"), .prefix = 16}});
  EXPECT_EQ(class_of("127.0.0.1"), "external") << "nothing is published yet";
  ClassDirectory directory(published_, {}, resolver_files());
  EXPECT_THAT(look(directory), IsEmpty());
  EXPECT_EQ(class_of("127.1.2.3"), "localhost");
  EXPECT_EQ(class_of("::1"), "localhost");
  EXPECT_EQ(class_of("192.0.2.7"), "localhost");
  EXPECT_EQ(class_of("2001:db8::7"), "localhost");
  EXPECT_EQ(class_of("172.17.0.1"), "localhost");
  EXPECT_EQ(class_of("127.0.0.53"), "dns");
  EXPECT_EQ(class_of("192.0.2.53"), "dns");
  EXPECT_EQ(class_of("172.17.0.2"), "docker");
  EXPECT_EQ(class_of("172.18.255.255"), "docker");
  EXPECT_EQ(class_of("172.19.0.2"), "external");
  EXPECT_EQ(class_of("fe80::43"), "external") << "every link has fe80::/64, not docker0 alone";
  EXPECT_EQ(class_of("192.0.2.8"), "external");
  EXPECT_EQ(published_.get()->number_of("docker"), std::to_underlying(AddressClass::docker));
}

TEST_F(Classes, TellWhereAFlowGoes) {
  add_link(2, "eth0", "", {{.ipv6 = false, .address = address("192.0.2.7"), .prefix = 24}});
  ClassDirectory directory(published_, {.classes = {{.name = "mine", .prefixes = prefixes({"192.0.2.7"})}}},
                           resolver_files());
  look(directory);
  EXPECT_EQ(class_of("192.0.2.7"), "mine");
  const auto direction = [this](const std::string& initiator, const std::string& responder) {
    return host_direction_name(published_.get()->direction(address(initiator), address(responder)));
  };
  EXPECT_EQ(direction("192.0.2.7", "192.0.2.8"), "egress");
  EXPECT_EQ(direction("192.0.2.7", "224.0.0.251"), "egress");
  EXPECT_EQ(direction("192.0.2.8", "192.0.2.7"), "ingress");
  EXPECT_EQ(direction("192.0.2.7", "127.0.0.1"), "local");
  EXPECT_EQ(direction("::1", "::1"), "local");
  EXPECT_EQ(direction("192.0.2.8", "192.0.2.9"), "forwarded");
  EXPECT_EQ(direction("192.0.2.8", "255.255.255.255"), "ingress");
  EXPECT_EQ(direction("192.0.2.8", "224.0.0.251"), "ingress");
  EXPECT_EQ(direction("2001:db8::1", "ff02::fb"), "ingress");
  EXPECT_EQ(direction("2001:db8::1", "2001:db8::2"), "forwarded");
}

TEST_F(Classes, FollowTheHost) {
  ClassDirectory directory(published_, {}, resolver_files());
  look(directory);
  const auto before = published_.get();
  look(directory);
  EXPECT_EQ(published_.get(), before) << "published without a change";
  add_link(2, "eth0", "", {{.ipv6 = false, .address = address("192.0.2.7"), .prefix = 24}});
  look(directory);
  EXPECT_EQ(class_of("192.0.2.7"), "localhost");
  write("resolv.conf", "nameserver 192.0.2.1\n");
  look(directory);
  EXPECT_EQ(class_of("192.0.2.1"), "dns");
  write("resolv.conf", "nameserver 192.0.2.2\n");
  addresses_.clear();
  look(directory);
  EXPECT_EQ(class_of("192.0.2.1"), "external");
  EXPECT_EQ(class_of("192.0.2.2"), "dns");
  EXPECT_EQ(class_of("192.0.2.7"), "external");
}

TEST_F(Classes, TheLongestPrefixWinsThenTheSettings) {
  write("resolv.conf", "nameserver 10.0.0.1\nnameserver 10.0.0.2\n");
  add_link(3, "docker0", "bridge", {{.ipv6 = false, .address = address("192.168.0.1"), .prefix = 16}});
  ClassDirectory directory(
      published_,
      {.classes = {{.name = "a", .prefixes = prefixes({"172.16.0.0/12"})},
                   {.name = "b", .prefixes = prefixes({"172.16.0.0/12", "10.1.0.0/16"})},
                   {.name = "internal",
                    .prefixes = prefixes({"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"})},
                   {.name = "k8sPod", .prefixes = prefixes({"10.1.0.0/16", "10.2.0.0/16"})},
                   {.name = "mine", .prefixes = prefixes({"10.0.0.2"})}},
       .black = {.name = "abnormal.black", .prefixes = prefixes({"10.0.0.0/8", "10.4.4.4"})},
       .white = {.name = "abnormal.white", .prefixes = prefixes({"10.1.0.0/16", "10.4.4.4"})}},
      resolver_files());
  look(directory);
  EXPECT_EQ(class_of("10.9.9.9"), "internal");
  EXPECT_EQ(class_of("10.0.0.1"), "dns");
  EXPECT_EQ(class_of("10.0.0.2"), "mine");
  EXPECT_EQ(class_of("10.1.1.1"), "b") << "of equal ones a name of the settings' own";
  EXPECT_EQ(class_of("10.2.1.1"), "k8sPod");
  EXPECT_EQ(class_of("172.20.0.1"), "a") << "of equal ones the first name";
  EXPECT_EQ(class_of("192.168.0.2"), "docker") << "internal is the last";
  const auto classes = published_.get();
  EXPECT_EQ(classes->listed(address("10.9.9.9")), Listed::black);
  EXPECT_EQ(classes->listed(address("10.1.9.9")), Listed::white);
  EXPECT_EQ(classes->listed(address("10.4.4.4")), Listed::black);
  EXPECT_EQ(classes->listed(address("11.0.0.0")), Listed::none);
  EXPECT_EQ(classes->name(*classes->number_of("mine")), "mine");
  EXPECT_EQ(classes->number_of("theirs"), std::nullopt);
}

TEST_F(Classes, FollowTheirFiles) {
  const std::string path = write("p", "192.0.2.0/25\n");
  ClassDirectory directory(published_, {.classes = {{.name = "x", .file = path}}}, resolver_files());
  EXPECT_THAT(look(directory), IsEmpty());
  EXPECT_EQ(class_of("192.0.2.1"), "x") << "the file is read before anything is counted";
  EXPECT_EQ(class_of("192.0.2.129"), "external");
  write("p", "192.0.2.128/25\n");
  EXPECT_THAT(look_until(directory, "192.0.2.129", "x"), IsEmpty());
  EXPECT_EQ(class_of("192.0.2.1"), "external");
}

TEST_F(Classes, AFileWithAMistakeStaysAsItWas) {
  const std::string path = write("p", "192.0.2.0/25\n");
  const std::string marker = write("marker", "");
  ClassDirectory directory(published_,
                           {.classes = {{.name = "x", .file = path}, {.name = "y", .file = marker}}},
                           resolver_files());
  look(directory);
  write("p", "192.0.2.128/25\n10.0.0.0/33\n");
  write("marker", "198.51.100.1\n");  // once this is read, so is the other
  EXPECT_THAT(
      look_until(directory, "198.51.100.1", "y"),
      ElementsAre("classes.x: " + path +
                  ":2: \"10.0.0.0/33\" is no prefix; allowed: an IPv4 or IPv6 address, and \"/\" and its "
                  "bits, such as \"10.1.0.0/16\" or \"2001:db8::/32\"; its prefixes stay as they were "
                  "until it changes again"));
  EXPECT_EQ(class_of("192.0.2.1"), "x");
  fs::remove(path);
  write("marker", "198.51.100.2\n");
  EXPECT_THAT(look_until(directory, "198.51.100.2", "y"),
              ElementsAre("classes.x: " + path +
                          ": No such file or directory; its prefixes stay as they were "
                          "until it changes again"));
  EXPECT_EQ(class_of("192.0.2.1"), "x");
  write("p", "192.0.2.0/24");
  EXPECT_THAT(look_until(directory, "192.0.2.200", "x"), IsEmpty());
}

TEST_F(Classes, AFileThatIsNotThereIsWaitedFor) {
  const std::string path = folder_ + "/p";
  ClassDirectory directory(published_, {.black = {.name = "abnormal.black", .file = path}}, resolver_files());
  EXPECT_THAT(look(directory),
              ElementsAre("classes.abnormal.black: " + path +
                          ": No such file or directory; continuing without the file until it "
                          "changes"));
  EXPECT_THAT(look(directory), IsEmpty()) << "said once";
  write("p", "192.0.2.1");
  EXPECT_TRUE(comes_true([&] {
    look(directory);
    return published_.get()->listed(address("192.0.2.1")) == Listed::black;
  }));
}

TEST_F(Classes, FollowTheSettings) {
  ClassDirectory directory(published_, {}, resolver_files());
  look(directory);
  directory.follow({.classes = {{.name = "x", .prefixes = prefixes({"192.0.2.0/24"})}}});
  look_until(directory, "192.0.2.1", "x");
  directory.follow({});
  look_until(directory, "192.0.2.1", "external");
}

TEST_F(Classes, WhatIsNoFileOfPrefixesIsRefused) {
  ASSERT_EQ(::truncate(write("big", "").c_str(), static_cast<off_t>(kMaxPrefixFile) + 1), 0);
  EXPECT_EQ(read_prefix_file(folder_ + "/big", 9).error().what, folder_ + "/big: more than 67108864 bytes");
  EXPECT_EQ(read_prefix_file(folder_, 9).error().what, folder_ + ": not a regular file");
}

TEST_F(Classes, ThereIsAMostOfPrefixesInAll) {
  ClassSettings settings;
  const std::vector<IpPrefix> half(kMaxPrefixes / 2, prefix("192.0.2.0/24"));
  for (const char* const name : {"a", "b"}) settings.classes.push_back({.name = name, .prefixes = half});
  settings.classes.push_back({.name = "c", .prefixes = prefixes({"198.51.100.1"})});
  const LoadedClasses loaded = load_classes(settings, {});
  EXPECT_THAT(loaded.complaints,
              ElementsAre("classes.c: 1 prefixes are too many with those before, the most is "
                          "1048576 in all; continuing without them"));
  EXPECT_EQ(loaded.classes->classes.find(address("198.51.100.1")), std::nullopt);
}

}  // namespace
}  // namespace rheo
