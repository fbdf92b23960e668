// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/expiry_wheel.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace rheo {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

TEST(ExpiryWheel, NeverComesUpBeforeTheDeadlineAndSoonAfterIt) {
  std::mt19937_64 random(3);
  ExpiryWheel wheel(100 * kSecond);
  std::vector<std::uint64_t> deadlines(2'000);
  for (std::uint32_t entry = 0; entry < deadlines.size(); ++entry) {
    deadlines[entry] = 100 * kSecond + random() % (400 * kSecond);
    wheel.schedule(entry, deadlines[entry]);
  }
  std::size_t seen = 0;
  for (std::uint64_t now = 100 * kSecond; now < 502 * kSecond; now += kSecond / 3) {
    std::uint32_t entry = 0;
    while (wheel.take_due(now, entry)) {
      EXPECT_LE(deadlines[entry], now);
      EXPECT_GE(deadlines[entry] + kSecond, now);
      ++seen;
    }
  }
  EXPECT_EQ(seen, deadlines.size());
}

TEST(ExpiryWheel, ADeadlineBeyondTheHorizonComesUpSooner) {
  ExpiryWheel wheel(0);
  wheel.schedule(0, 86'400 * kSecond);
  std::uint32_t entry = 1;
  EXPECT_FALSE(wheel.take_due(500 * kSecond, entry));
  EXPECT_TRUE(wheel.take_due(600 * kSecond, entry));
  EXPECT_EQ(entry, 0U);
}

TEST(ExpiryWheel, AnEntryMovesAndGoes) {
  ExpiryWheel wheel(0);
  wheel.schedule(5, 10 * kSecond);
  wheel.schedule(6, 10 * kSecond);
  wheel.schedule(5, 2 * kSecond);
  std::uint32_t entry = 0;
  EXPECT_TRUE(wheel.take_due(3 * kSecond, entry));
  EXPECT_EQ(entry, 5U);
  wheel.remove(6);
  EXPECT_FALSE(wheel.take_due(20 * kSecond, entry));
}

TEST(ExpiryWheel, AJumpOfTheClockIsQuickAndLosesNothing) {
  ExpiryWheel wheel(0);
  for (std::uint32_t entry = 0; entry < 100; ++entry) wheel.schedule(entry, entry * kSecond);
  std::size_t seen = 0;
  std::uint32_t entry = 0;
  while (wheel.take_due(1'700'000'000ULL * kSecond, entry)) ++seen;
  EXPECT_EQ(seen, 100U);
}

}  // namespace
}  // namespace rheo
