// SPDX-License-Identifier: Apache-2.0
// Prefixes as people write them, and the trie that finds the longest: against a search of the whole list.
#include "daemon/model/prefix_trie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace rheo {
namespace {

using testing::HasSubstr;
using testing::Optional;

IpPrefix prefix(const std::string& text) {
  const auto parsed = parse_ip_prefix(text);
  if (!parsed) ADD_FAILURE() << parsed.error().what;
  return parsed ? *parsed : IpPrefix{};
}

Address address(const std::string& text) { return prefix(text).address; }

TEST(IpPrefix, IsReadAsPeopleWriteIt) {
  EXPECT_EQ(ip_prefix_text(prefix("10.1.0.0/16")), "10.1.0.0/16");
  EXPECT_EQ(ip_prefix_text(prefix("10.1.2.3")), "10.1.2.3/32");
  EXPECT_EQ(ip_prefix_text(prefix("0.0.0.0/0")), "0.0.0.0/0");
  EXPECT_EQ(ip_prefix_text(prefix("2001:DB8::/32")), "2001:db8::/32");
  EXPECT_EQ(ip_prefix_text(prefix("::/0")), "::/0");
  EXPECT_EQ(ip_prefix_text(prefix("2001:db8::1")), "2001:db8::1/128");
  EXPECT_EQ(prefix("::ffff:10.0.0.0/104"), prefix("10.0.0.0/8"));
}

TEST(IpPrefix, WhatIsNoneIsRefusedInOneSentence) {
  for (const char* const text :
       {"", "/", "x", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0/8", "::/129",
        " 10.0.0.0/8", "10.0.0.0/8 ", "fe80::1%eth0", "10.0.0.0/08x",
        "1111111111111111111111111111111111111111111111111111111111111111111111111"}) {
    const auto parsed = parse_ip_prefix(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().what, HasSubstr("\" is no prefix; allowed: ")) << text;
  }
  EXPECT_FALSE(parse_ip_prefix(std::string_view("10.0.0.0\0/8", 11)));
  EXPECT_EQ(
      parse_ip_prefix("10.1.2.3/16").error().what,
      "\"10.1.2.3/16\" has bits behind the prefix; allowed: \"10.1.0.0/16\", or another number of bits");
  EXPECT_EQ(
      parse_ip_prefix("2001:db8::1/127").error().what,
      "\"2001:db8::1/127\" has bits behind the prefix; allowed: \"2001:db8::/127\", or another number of "
      "bits");
}

TEST(PrefixTrie, TheLongestPrefixWins) {
  const std::vector<PrefixTrie::Entry> entries = {{prefix("10.0.0.0/8"), 1}, {prefix("10.1.0.0/16"), 2},
                                                  {prefix("10.1.2.3"), 3},   {prefix("2001:db8::/32"), 4},
                                                  {prefix("::/0"), 5},       {prefix("10.1.0.0/16"), 6},
                                                  {prefix("2001:db8::1"), 0}};
  const PrefixTrie trie(entries);
  EXPECT_THAT(trie.find(address("10.9.9.9")), Optional(PrefixTrie::Found{1, 104}));
  EXPECT_THAT(trie.find(address("10.1.2.4")), Optional(PrefixTrie::Found{2, 112}))
      << "of equal ones the first";
  EXPECT_THAT(trie.find(address("::ffff:10.1.2.3")), Optional(PrefixTrie::Found{3, 128}));
  EXPECT_THAT(trie.find(address("2001:db8::2")), Optional(PrefixTrie::Found{4, 32}));
  EXPECT_THAT(trie.find(address("2001:db8::1")), Optional(PrefixTrie::Found{0, 128}));
  EXPECT_THAT(trie.find(address("2002::")), Optional(PrefixTrie::Found{5, 0}));
  EXPECT_EQ(trie.find(address("11.0.0.0")), std::nullopt) << "::/0 does not cover IPv4";
  EXPECT_EQ(PrefixTrie().find(address("::1")), std::nullopt);
  EXPECT_EQ(PrefixTrie().find(address("127.0.0.1")), std::nullopt);
}

using Random = std::mt19937_64;

/// Of few different bits, so that prefixes lie in each other, and of all lengths.
Address crowded(Random& random, bool v4) {
  Address made{};
  if (v4) made[10] = made[11] = 0xff;
  for (std::size_t i = v4 ? 12 : 0; i < 16; ++i) made[i] = random() % 3 == 0 ? 0x80 : 0;
  if (random() % 4 == 0) made[15] = static_cast<std::uint8_t>(random());
  return made;
}

std::optional<PrefixTrie::Found> search(const std::vector<PrefixTrie::Entry>& entries,
                                        const Address& address) {
  std::optional<PrefixTrie::Found> best;
  for (const auto& [covers, number] : entries) {
    if (prefix_of(address, covers.bits).address != covers.address) continue;
    if (is_mapped_v4(address) && covers.bits < kMappedBits) continue;
    if (!best || best->bits < covers.bits) best = {number, covers.bits};
  }
  return best;
}

TEST(PrefixTrie, FindsWhatASearchOfTheListFinds) {
  Random random(20);  // the same each time
  for (int round = 0; round < 200; ++round) {
    std::vector<PrefixTrie::Entry> entries;
    const std::size_t count = 1 + random() % 60;
    for (std::size_t i = 0; i < count; ++i) {
      const bool v4 = random() % 2 == 0;
      const auto bits = static_cast<unsigned>(v4 ? 96 + random() % 33 : random() % 129);
      entries.push_back({prefix_of(crowded(random, v4), bits), static_cast<std::uint16_t>(i)});
    }
    const PrefixTrie trie(entries);
    for (int i = 0; i < 200; ++i) {
      const Address asked = crowded(random, random() % 2 == 0);
      ASSERT_EQ(trie.find(asked), search(entries, asked)) << ip_prefix_text(prefix_of(asked, 128));
    }
  }
}

/// Whatever prefixes there are, the trie takes a bounded share of memory: two nodes and four leaves for each.
TEST(PrefixTrie, NoListOfPrefixesFillsTheMemory) {
  constexpr std::size_t kPrefixes = 20'000;
  Random random(3);
  std::vector<PrefixTrie::Entry> entries;
  for (std::size_t i = 0; i < kPrefixes / 2; ++i) {
    Address twin{};
    for (std::uint8_t& octet : twin) octet = static_cast<std::uint8_t>(random());
    entries.push_back({prefix_of(twin, 128), 1});
    twin[15] ^= 1;  // alike to the last bit
    entries.push_back({prefix_of(twin, 128), 2});
  }
  const PrefixTrie trie(entries);
  EXPECT_LE(trie.bytes(), kPrefixes * (2 * 48 + 4 * 4) + 1'000);
  for (const auto& entry : entries)
    ASSERT_THAT(trie.find(entry.prefix.address), Optional(PrefixTrie::Found{entry.number, 128}));
}

}  // namespace
}  // namespace rheo
