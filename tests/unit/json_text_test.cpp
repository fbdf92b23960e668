// SPDX-License-Identifier: Apache-2.0
#include "export/json/json_text.h"

#include <gtest/gtest.h>

#include <ctime>
#include <random>

#include "daemon/model/names.h"
#include "tests/unit/json_records.h"

namespace rheo {
namespace {

template <class Write>
std::string written(Write write) {
  char buffer[2'048];
  JsonText text(buffer);
  write(text);
  return {buffer, text.at()};
}

std::string text_of(std::string_view value) {
  return written([&](JsonText& t) { t.text(value); });
}
std::string address_of(const Address& value, bool ipv6) {
  return written([&](JsonText& t) { t.address(value, ipv6); });
}
std::string quoted(const std::string& text) { return '"' + text + '"'; }

TEST(JsonText, EscapesWhatJsonAndTerminalsMind) {
  EXPECT_EQ(text_of("eth0.100"), R"("eth0.100")");
  EXPECT_EQ(text_of("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(text_of("\n\t\x1b[2J\x7f"), R"("\u000a\u0009\u001b[2J\u007f")");
  EXPECT_EQ(text_of(std::string_view("\0x", 2)), R"("\u0000x")");
  EXPECT_EQ(text_of("\xc2\x9b"), R"("\u009b")");  // CSI of eight-bit terminals
  EXPECT_EQ(text_of("gr\xc3\xbc\xc3\x9f"
                    "e\xe2\x82\xac\xf0\x9f\x98\x80"),
            quoted("gr\xc3\xbc\xc3\x9f"
                   "e\xe2\x82\xac\xf0\x9f\x98\x80"));
}

TEST(JsonText, ReplacesWhatIsNotUtf8) {
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(text_of("a\xff\xfe"), quoted("a" + bad + bad));
  EXPECT_EQ(text_of("\xc3"), quoted(bad));                                // cut short
  EXPECT_EQ(text_of("\xc0\xaf"), quoted(bad + bad));                      // overlong
  EXPECT_EQ(text_of("\xed\xa0\x80"), quoted(bad + bad + bad));            // surrogate
  EXPECT_EQ(text_of("\xf4\x90\x80\x80"), quoted(bad + bad + bad + bad));  // above U+10FFFF
  EXPECT_EQ(text_of("\xe0\x80\x80\xf5"), quoted(bad + bad + bad + bad));
}

TEST(JsonText, AddressesAreThoseOfLibc) {
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    Address a{};
    const auto zero_groups = random();  // runs of zeros of every length and place
    for (unsigned byte = 0; byte < 16; ++byte)
      if ((zero_groups >> (byte / 2) & 1U) == 0)
        a[byte] = static_cast<std::uint8_t>(random() >> (random() % 8));
    ASSERT_EQ(address_of(a, true), quoted(address_text(a, true)));
    ASSERT_EQ(address_of(a, false), quoted(address_text(a, false)));
  }
  for (const char* text : {"::", "::1", "::ffff:192.0.2.1", "::192.0.2.1", "1::", "1:0:0:2::", "fe80::1"})
    EXPECT_EQ(address_of(test::address(text), true), quoted(address_text(test::address(text), true)));
}

TEST(JsonText, MacIsThatOfTheModel) {
  const MacAddress mac = {0x02, 0xff, 0x00, 0x9a, 0xbc, 0x0d};
  EXPECT_EQ(written([&](JsonText& t) { t.mac(mac); }), quoted(mac_text(mac)));
}

TEST(JsonText, TimesAreThoseOfLibc) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t ns = i == 0 ? 0 : random();  // up to the year 2554
    const auto seconds = static_cast<time_t>(ns / 1'000'000'000);
    tm utc{};
    gmtime_r(&seconds, &utc);
    char date[64];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    char expected[96];
    snprintf(expected, sizeof expected, "\"%s.%09luZ\"", date,
             static_cast<unsigned long>(ns % 1'000'000'000));
    ASSERT_EQ(written([&](JsonText& t) { t.time(ns); }), expected);
  }
}

TEST(JsonText, NumbersAtTheirEnds) {
  EXPECT_EQ(written([](JsonText& t) { t.integer(UINT64_MAX); }), "18446744073709551615");
  EXPECT_EQ(written([](JsonText& t) { t.hex(0x2a); }), R"("000000000000002a")");
}

}  // namespace
}  // namespace rheo
