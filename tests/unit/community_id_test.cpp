// SPDX-License-Identifier: Apache-2.0
// Community ID against the values published with its specification (corelight/community-id-spec, baseline/).
#include "daemon/model/community_id.h"

#include <gtest/gtest.h>

#include "tests/unit/json_records.h"

namespace rheo {
namespace {

struct Baseline {
  std::uint8_t protocol;
  const char* source;
  const char* destination;
  std::uint16_t source_port;       // ICMP: the type
  std::uint16_t destination_port;  // ICMP: the answer's type, or the code of a type without one
  const char* seed_0;
  const char* seed_1;
};

const Baseline kBaseline[] = {
    {58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 136,
     "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=", "1:kHa1FhMYIT6Ym2Vm2AOtoOARDzY="},
    {58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 136, 135,
     "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=", "1:kHa1FhMYIT6Ym2Vm2AOtoOARDzY="},
    {58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 135, 136,
     "1:zavyT/cezQr1fmImYCwYnMXbgck=", "1:2hSqmsDZ2kdcY9kbiUzOEBic0iM="},
    {58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 136, 135,
     "1:zavyT/cezQr1fmImYCwYnMXbgck=", "1:2hSqmsDZ2kdcY9kbiUzOEBic0iM="},
    {58, "3ffe:501:1800:2345::2", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0,
     "1:2ObVBgIn28oZvibYZhZMBgh7WdQ=", "1:lVEtCZpYu84Xqaa++3lXFyuu2n4="},
    {58, "3ffe:501:410:0:2c0:dfff:fe47:33e", "3ffe:507:0:1:200:86ff:fe05:80da", 1, 4,
     "1:hLZd0XGWojozrvxqE0dWB1iM6R0=", "1:W8MHwXpWzpoSTD+cGcaJr4u0ys8="},
    {58, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2", 128, 129,
     "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=", "1:GfZxjAkDk2MkegpBYHV6tadtFXQ="},
    {58, "3ffe:501:0:1001::2", "3ffe:507:0:1:200:86ff:fe05:80da", 129, 128,
     "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=", "1:GfZxjAkDk2MkegpBYHV6tadtFXQ="},
    {58, "fe80::200:86ff:fe05:80da", "ff02::2", 133, 134,
     "1:hO+sN4H+MG5MY/8hIrXPqc4ZQz0=", "1:L7Ka0ZMYu+J3bL4ulW2PrqyXNo8="},
    {58, "fe80::260:97ff:fe07:69ea", "ff02::1", 134, 133,
     "1:pkvHqCL88/tg1k4cPigmZXUtL00=", "1:K/ee5UCqAMAQXDorP5nSa2CGLjc="},
    {1, "192.168.0.89", "192.168.0.1", 8, 0,
     "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=", "1:03g6IloqVBdcZlPyX8r0hgoE7kA="},
    {1, "192.168.0.1", "192.168.0.89", 0, 8,
     "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=", "1:03g6IloqVBdcZlPyX8r0hgoE7kA="},
    {1, "10.0.0.1", "10.0.0.2", 11, 0, "1:YHxtAirCG//0OzkcVAukqKQN9xM=", "1:XjUibYHaafLQ3pxQeiMI8g25q20="},
    {6, "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a", 63943, 25,
     "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=", "1:eJYTW6AOzFLlSUoESovMjnu7rMw="},
    {132, "192.168.170.8", "192.168.170.56", 7, 7,
     "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=", "1:5w3ZRjeKBzqT3zsaEECDGjUbYeg="},
    {6, "128.232.110.120", "66.35.250.204", 34855, 80,
     "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "1:3V71V58M3Ksw/yuFALMcW0LAHvc="},
    {17, "192.168.1.52", "8.8.8.8", 54585, 53,
     "1:d/FP5EW3wiY1vCndhwleRRKHowQ=", "1:Q9We8WO3piVF8yEQBNJF4uiSVrI="},
    {46, "10.1.12.1", "10.1.12.2", 0, 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=", "1:rYir8gphR31noO9iDRQmF/BteEI="},
};

bool is_icmp(const Baseline& b) { return b.protocol == 1 || b.protocol == 58; }

FlowRecord record_of(const Baseline& b) {
  FlowRecord r;
  r.protocol = b.protocol;
  r.ipv6 = std::string_view(b.source).find(':') != std::string_view::npos;
  r.source = test::address(b.source);
  r.destination = test::address(b.destination);
  r.forward.total.packets = 1;
  if (is_icmp(b)) {
    r.forward.icmp_type = static_cast<std::uint8_t>(b.source_port);
    r.forward.icmp_code = static_cast<std::uint8_t>(b.destination_port);
  } else {
    r.source_port_be = htons(b.source_port);
    r.destination_port_be = htons(b.destination_port);
  }
  return r;
}

FlowRecord turned_round(FlowRecord r) {
  std::swap(r.source, r.destination);
  std::swap(r.source_port_be, r.destination_port_be);
  std::swap(r.forward, r.reverse);
  return r;
}

TEST(CommunityId, IsThePublishedOne) {
  for (const Baseline& b : kBaseline) {
    const FlowRecord r = record_of(b);
    EXPECT_EQ(community_id(r, 0), b.seed_0) << b.source << " " << int{b.protocol};
    EXPECT_EQ(community_id(r, 1), b.seed_1) << b.source << " " << int{b.protocol};
  }
}

// For ICMP this is a record whose only direction with packets is the reverse one.
TEST(CommunityId, IsTheSameForBothDirections) {
  for (const Baseline& b : kBaseline)
    EXPECT_EQ(community_id(turned_round(record_of(b)), 0), b.seed_0) << b.source << " " << int{b.protocol};
}

TEST(CommunityId, OfAnAnsweredPingIsThatOfItsRequest) {
  FlowRecord r = test::icmp_record();
  const std::string both = community_id(r, 0);
  r.reverse = {};
  EXPECT_EQ(community_id(r, 0), both);
}

TEST(CommunityId, WithoutPortsIgnoresWhatLiesInTheirPlace) {
  FlowRecord r = test::tcp_record();
  r.protocol = 47;
  const std::string with = community_id(r, 0);
  r.source_port_be = r.destination_port_be = 0;
  EXPECT_EQ(community_id(r, 0), with);
}

TEST(CommunityId, RouterDiscoveryIsOneFlowInBothDirections) {
  FlowRecord r = test::icmp_record();
  r.forward.icmp_type = 10;
  FlowRecord advertisement = r;
  std::swap(advertisement.source, advertisement.destination);
  advertisement.forward.icmp_type = 9;
  EXPECT_EQ(community_id(r, 0), community_id(advertisement, 0));
}

}  // namespace
}  // namespace rheo
