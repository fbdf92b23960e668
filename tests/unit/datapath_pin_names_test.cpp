// SPDX-License-Identifier: Apache-2.0
// Names of pins: what is not exactly one of rheo's is not rheo's.
#include <gtest/gtest.h>

#include "daemon/datapath/pin_names.h"

namespace rheo {
namespace {

TEST(PinNames, AreReadAsTheyAreWritten) {
  for (const std::uint32_t ifindex : {1U, 42U, 0xffffffffU}) {
    for (const Direction direction : kDirections) {
      const Place place{ifindex, direction};
      EXPECT_EQ(place_of_link_pin(link_pin(place)), place);
    }
    EXPECT_EQ(ifindex_of_qdisc_mark(qdisc_mark(ifindex)), ifindex);
  }
  for (const char* name : kMapPins) EXPECT_TRUE(is_map_pin(name)) << name;
}

TEST(PinNames, NothingElseIsOurs) {
  for (const char* name :
       {"", "link_", "link_0_ingress", "link_1", "link_1_", "link_1_ingres", "link_1_ingressx",
        "link_01_ingress", "link_-1_egress", "link_4294967296_egress", "link_1x_egress", "Link_1_egress"})
    EXPECT_FALSE(place_of_link_pin(name)) << name;
  for (const char* name : {"", "qdisc_", "qdisc_0", "qdisc_1x", "qdisc_x", "qdisc_-1", "qdisc_01", "xqdisc_1",
                           "qdisc_4294967296"})
    EXPECT_FALSE(ifindex_of_qdisc_mark(name)) << name;
  for (const char* name : {"", "flow_cach", "flow_cache2", "generation2"})
    EXPECT_FALSE(is_map_pin(name)) << name;
}

}  // namespace
}  // namespace rheo
