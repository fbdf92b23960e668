// SPDX-License-Identifier: Apache-2.0
// Options to the numbers that maps and programs are made with.
#include "daemon/datapath/settings.h"

#include <gtest/gtest.h>

#include <bit>

namespace rheo {
namespace {

std::uint32_t sets_for(std::uint32_t rows, std::uint32_t cpus) {
  const auto geometry = make_geometry({.flow_cache_rows = rows, .pin_directory = ""}, cpus);
  return geometry ? geometry->partition_sets : 0;
}

TEST(DatapathGeometry, SetsAreTheNearestPowerOfTwo) {
  EXPECT_EQ(sets_for(65'536, 2), 8192U);
  EXPECT_EQ(sets_for(65'536, 3), 4096U);  // 5461 is nearer to 4096
  EXPECT_EQ(sets_for(65'536, 5), 4096U);  // 3276 is nearer to 4096
  EXPECT_EQ(sets_for(64, 2), 8U);         // the smallest cache that is tested: 64 rows in all
  EXPECT_EQ(sets_for(64, 128), 1U);       // never none
  EXPECT_EQ(sets_for(0, 1), 1U);
  EXPECT_EQ(sets_for(1'000'000, 64), 4096U);
}

TEST(DatapathGeometry, TheRingIsAPowerOfTwoOfPages) {
  for (const std::uint64_t bytes : {0ULL, 1ULL, 2048ULL, 12'288ULL, 1ULL << 32U})
    EXPECT_FALSE(make_geometry({.evicted_ring = bytes, .pin_directory = ""}, 1)) << bytes;
  const auto geometry = make_geometry({.evicted_ring = 65'536, .pin_directory = ""}, 3);
  ASSERT_TRUE(geometry);
  EXPECT_EQ(geometry->ring_bytes, 65'536U);
  EXPECT_EQ(geometry->sets(), 3U * geometry->partition_sets);
}

TEST(DatapathSettings, EveryTunnelPortPassesTheFilter) {
  const DatapathOptions options{.vxlan_ports = {4789, 0, 1},
                                .geneve_ports = {6081},
                                .wireguard_ports = {51820, 65535},
                                .decapsulate_gre = false,
                                .pin_directory = ""};
  const auto parse = make_parse_settings(options);
  ASSERT_TRUE(parse);
  for (const int port : {4789, 1, 6081, 51820, 65535})
    EXPECT_NE(parse->tunnel_port_filter & abi::tunnel_port_bit(static_cast<__u16>(port)), 0U) << port;
  EXPECT_LE(std::popcount(parse->tunnel_port_filter), 5);
  EXPECT_EQ(parse->vxlan_ports[0], 4789);
  EXPECT_EQ(parse->geneve_ports[1], 0);
  EXPECT_EQ(parse->wireguard_ports[1], 65535);
  EXPECT_EQ(parse->decapsulate_gre, 0);
  EXPECT_EQ(parse->decapsulate_ipip, 1);
}

TEST(DatapathSettings, SeedsAreOddAndNew) {
  const auto one = make_meter_settings({}, {.partition_sets = 8, .partition_count = 2, .ring_bytes = 4096});
  const auto two = make_meter_settings({}, {.partition_sets = 8, .partition_count = 2, .ring_bytes = 4096});
  ASSERT_TRUE(one && two);
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(one->hash_seed[i] & 1U, 1U);
    EXPECT_NE(one->hash_seed[i], two->hash_seed[i]);
  }
  EXPECT_EQ(one->partition_sets, 8U);
  EXPECT_EQ(one->partition_count, 2U);
  EXPECT_EQ(one->ring_wakeup_bytes, 1024U);
}

}  // namespace
}  // namespace rheo
