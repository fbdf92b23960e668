// SPDX-License-Identifier: Apache-2.0
// Names of pins: what is not exactly one of rheo's is not rheo's.
#include <gtest/gtest.h>

#include "daemon/datapath/pin_names.h"

namespace rheo {
namespace {

TEST(PinNames, AreReadAsTheyAreWritten) {
  for (const std::uint32_t ifindex : {1U, 42U, 0xffffffffU}) {
    for (const Direction direction : kDirections) {
      for (const std::uint8_t netns : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{255}}) {
        const Place place{ifindex, direction, netns};
        EXPECT_EQ(place_of_link_pin(link_pin(place)), place);
        EXPECT_EQ(link_of_qdisc_mark(qdisc_mark(place.link())), place.link());
      }
    }
  }
  for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{0xf0000001}, UINT64_MAX}) {
    const NetnsMark mark{.number = 7, .inode = number, .name_hash = number};
    EXPECT_EQ(netns_of_mark(netns_mark(mark)), mark);
  }
  EXPECT_NE(netns_name_hash("blue"), netns_name_hash("red"));
  for (const char* name : kMapPins) EXPECT_TRUE(is_map_pin(name)) << name;
}

TEST(PinNames, NothingElseIsOurs) {
  for (const char* name : {"", "link_", "link_0_ingress", "link_1", "link_1_", "link_1_ingres",
                           "link_1_ingressx", "link_01_ingress", "link_-1_egress", "link_4294967296_egress",
                           "link_1x_egress", "Link_1_egress", "link_1_ingress_netns", "link_1_ingress_netns0",
                           "link_1_ingress_netns256", "link_1_ingress_netns01", "link_1_netns1_ingress"})
    EXPECT_FALSE(place_of_link_pin(name)) << name;
  for (const char* name :
       {"", "qdisc_", "qdisc_0", "qdisc_1x", "qdisc_x", "qdisc_-1", "qdisc_01", "xqdisc_1",
        "qdisc_4294967296", "qdisc_1_netns", "qdisc_1_netns0", "qdisc_1_netns256", "qdisc_1netns1"})
    EXPECT_FALSE(link_of_qdisc_mark(name)) << name;
  for (const char* name : {"", "netns_", "netns_0_1_1", "netns_256_1_1", "netns_1_1", "netns_1_1_",
                           "netns_1_1_x", "netns_1_01_1", "netns_1_1_1x", "netns_1_1_A"})
    EXPECT_FALSE(netns_of_mark(name)) << name;
  for (const char* name : {"", "flow_cach", "flow_cache2", "generation2"})
    EXPECT_FALSE(is_map_pin(name)) << name;
}

}  // namespace
}  // namespace rheo
