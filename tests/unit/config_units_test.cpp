// SPDX-License-Identifier: Apache-2.0
// Durations, sizes and interface patterns.
#include <gtest/gtest.h>

#include "daemon/config/units.h"

namespace rheo {
namespace {

using namespace std::chrono_literals;

TEST(ConfigUnits, Durations) {
  EXPECT_EQ(parse_duration("60s"), Duration(60s));
  EXPECT_EQ(parse_duration("500ms"), Duration(500ms));
  EXPECT_EQ(parse_duration("2m"), Duration(2min));
  EXPECT_EQ(parse_duration("1h"), Duration(1h));
  EXPECT_EQ(parse_duration("1m30s"), Duration(90s));
  EXPECT_EQ(parse_duration("1h2m3s4ms"), Duration(1h + 2min + 3s + 4ms));
  EXPECT_EQ(parse_duration("0s"), Duration(0));
  for (const char* text : {"", "s", "60", "60 s", "-1s", "+1s", " 1s", "1s ", "1.5s", "30s1m", "1s1s", "1d",
                           "1S", "9223372036855s", "99999999999999999999s", "2562047h99999999m"})
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
}

TEST(ConfigUnits, Sizes) {
  EXPECT_EQ(parse_size("16MiB"), 16ULL << 20U);
  EXPECT_EQ(parse_size("32KiB"), 32ULL << 10U);
  EXPECT_EQ(parse_size("1GiB"), 1ULL << 30U);
  EXPECT_EQ(parse_size("7B"), 7U);
  for (const char* text :
       {"", "16", "MiB", "16MB", "16 MiB", "1MiB1KiB", "-1MiB", "17179869184GiB", "1.5GiB"})
    EXPECT_EQ(parse_size(text), std::nullopt) << text;
}

TEST(ConfigUnits, TextsReadBack) {
  EXPECT_EQ(duration_text(90s), "1m30s");
  EXPECT_EQ(duration_text(24h), "24h");
  EXPECT_EQ(duration_text(0s), "0s");
  EXPECT_EQ(size_text(48ULL << 20U), "48MiB");
  EXPECT_EQ(size_text(1025), "1025B");
  EXPECT_EQ(parse_duration(duration_text(1h + 1ms)), Duration(1h + 1ms));
}

}  // namespace
}  // namespace rheo
