// SPDX-License-Identifier: Apache-2.0
// Endpoints as an administrator writes them, and what is refused before anything is connected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/ipfix_peers.h"

namespace rheo {
namespace {

using testing::HasSubstr;

struct Good {
  const char* text;
  IpfixScheme scheme;
  const char* host;
  std::uint16_t port;
};

TEST(IpfixEndpoint, IsReadWithAndWithoutPort) {
  const Good cases[] = {
      {"udp://collector.example:2055", IpfixScheme::udp, "collector.example", 2055},
      {"udp://192.0.2.1", IpfixScheme::udp, "192.0.2.1", 4739},
      {"tcp://[2001:db8::1]:9995", IpfixScheme::tcp, "2001:db8::1", 9995},
      {"tcp://[fe80::1%eth0]", IpfixScheme::tcp, "fe80::1%eth0", 4739},
      {"tls://collector", IpfixScheme::tls, "collector", 4740},
      {"dtls://collector/", IpfixScheme::dtls, "collector", 4740},
      {"sctp://collector:1", IpfixScheme::sctp, "collector", 1},
  };
  for (const Good& good : cases) {
    const auto endpoint = parse_ipfix_endpoint(good.text);
    ASSERT_TRUE(endpoint) << good.text << ": " << endpoint.error().what;
    EXPECT_EQ(endpoint->scheme, good.scheme) << good.text;
    EXPECT_EQ(endpoint->host, good.host);
    EXPECT_EQ(endpoint->port, good.port) << good.text;
    EXPECT_EQ(endpoint->text, good.text);
  }
}

TEST(IpfixEndpoint, OfAFileIsAnAbsolutePath) {
  EXPECT_EQ(parse_ipfix_endpoint("file:/var/log/flows.ipfix")->path, "/var/log/flows.ipfix");
  EXPECT_EQ(parse_ipfix_endpoint("file:///var/log/flows.ipfix")->path, "/var/log/flows.ipfix");
  EXPECT_FALSE(parse_ipfix_endpoint("file:flows.ipfix"));
}

TEST(IpfixEndpoint, ThatIsWrongIsRefusedInOneSentence) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "begins with none of"},         {"http://collector", "begins with none of"},
      {"udp://", "a host is missing"},     {"udp://:4739", "a host is missing"},
      {"udp://[]:1", "a host is missing"}, {"udp://[::1", "bracket is not closed"},
      {"udp://::1", "a host is missing"},  {"udp://2001:db8::1", "stands in brackets"},
      {"udp://c:0", "from 1 to 65535"},    {"udp://c:65536", "from 1 to 65535"},
      {"udp://c:", "from 1 to 65535"},     {"udp://[::1]4739", "from 1 to 65535"},
      {"udp://c:47x", "from 1 to 65535"},  {"udp://user@c", "only a host and a port"},
  };
  for (const auto& [text, sentence] : cases) {
    const auto endpoint = parse_ipfix_endpoint(text);
    ASSERT_FALSE(endpoint) << text;
    EXPECT_THAT(endpoint.error().what, HasSubstr(sentence)) << text;
    EXPECT_THAT(endpoint.error().what, HasSubstr("\"" + std::string(text) + "\""));
  }
}

TEST(IpfixTransportOptions, ThatCannotWorkAreRefused) {
  IpfixTransportOptions options = test::options_for("udp://127.0.0.1");
  options.dscp = 64;
  EXPECT_THAT(make_ipfix_transport(options).error().what, HasSubstr("dscp 64"));
  options.dscp = 0;
  options.max_message_size = 100;
  EXPECT_THAT(make_ipfix_transport(options).error().what, HasSubstr("max_message_size 100"));
  options.max_message_size = 65'488;
  EXPECT_THAT(make_ipfix_transport(options).error().what, HasSubstr("from 512 to 65487"));
  options.max_message_size = 0;
  options.source_address = "eth0";
  EXPECT_THAT(make_ipfix_transport(options).error().what, HasSubstr("source_address \"eth0\""));
  options.source_address = "::1";
  EXPECT_TRUE(make_ipfix_transport(options));
}

}  // namespace
}  // namespace rheo
