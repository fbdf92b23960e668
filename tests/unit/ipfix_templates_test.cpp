// SPDX-License-Identifier: Apache-2.0
// What a record is, and which elements its template has in what order.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "export/ipfix/templates.h"
#include "tests/unit/json_records.h"

namespace rheo {
namespace {

std::string names(const FlowRecord& record, IpfixProfile profile, IpfixBiflow biflow) {
  const auto chosen = choose_elements(profile, {}, {});
  std::string text;
  for (const TemplateField& field : fields_of(*chosen, kind_of(record), biflow)) {
    if (!text.empty()) text += ' ';
    text += field.reverse ? reverse_element_name(field.element->name) : std::string(field.element->name);
  }
  return text;
}

TEST(IpfixTemplates, EveryKindHasItsOwnPlace) {
  std::set<std::size_t> places;
  for (std::size_t i = 0; i < kRecordKindCount; ++i) {
    EXPECT_EQ(index_of(kind_at(i)), i);
    places.insert(index_of(kind_at(i)));
  }
  EXPECT_EQ(places.size(), kRecordKindCount);
}

TEST(IpfixTemplates, KindsOfRecords) {
  FlowRecord record = test::tcp_record();
  const auto kind = [&](std::uint8_t protocol) {
    record.protocol = protocol;
    return kind_of(record);
  };
  EXPECT_EQ(kind(6).transport, IpfixProtocol::tcp);
  for (const int with_ports : {17, 33, 132, 136})
    EXPECT_EQ(kind(static_cast<std::uint8_t>(with_ports)).transport, IpfixProtocol::ports) << with_ports;
  EXPECT_EQ(kind(1).transport, IpfixProtocol::icmp);
  EXPECT_EQ(kind(58).transport, IpfixProtocol::icmp);
  EXPECT_EQ(kind(47).transport, IpfixProtocol::other);
  EXPECT_EQ(kind(6).carrier, IpfixCarrier::none);
  record.tunnel = TunnelType::vxlan;
  record.outer_source = test::address("192.0.2.1");
  EXPECT_EQ(kind_of(record).carrier, IpfixCarrier::ipv4);
  record.outer_source = test::address("2001:db8::1");
  EXPECT_EQ(kind_of(record).carrier, IpfixCarrier::ipv6);
  EXPECT_FALSE(kind_of(record).ipv6);
  record.ipv6 = true;
  EXPECT_TRUE(kind_of(record).ipv6);
}

TEST(IpfixTemplates, ReverseElementsStandBeforeTheForwardOnes) {
  EXPECT_EQ(
      names(test::tcp_record(), IpfixProfile::standard, IpfixBiflow::rfc5103),
      "reverseLayer2OctetDeltaCount reverseTcpControlBits reverseIpClassOfService reverseIpTTL "
      "sourceIPv4Address destinationIPv4Address sourceTransportPort destinationTransportPort "
      "protocolIdentifier flowStartMilliseconds flowEndMilliseconds octetDeltaCount packetDeltaCount "
      "reverseOctetDeltaCount reversePacketDeltaCount layer2OctetDeltaCount tcpControlBits "
      "ipClassOfService ipTTL dot1qVlanId vlanId postDot1qVlanId sourceMacAddress destinationMacAddress "
      "ingressInterface egressInterface flowDirection flowEndReason biflowDirection flowId "
      "observationPointId rheoCommunityId rheoFlowSequence");
}

TEST(IpfixTemplates, SplitHasNoReverseElements) {
  EXPECT_EQ(names(test::tcp_record(), IpfixProfile::compact, IpfixBiflow::split),
            "sourceIPv4Address destinationIPv4Address sourceTransportPort destinationTransportPort "
            "protocolIdentifier flowStartMilliseconds flowEndMilliseconds octetDeltaCount packetDeltaCount "
            "tcpControlBits ingressInterface egressInterface flowEndReason");
}

TEST(IpfixTemplates, WithoutPortsNoPorts) {
  FlowRecord record = test::tcp_record();
  record.protocol = 1;
  const std::string icmp = names(record, IpfixProfile::full, IpfixBiflow::rfc5103);
  EXPECT_EQ(icmp.find("Transport"), std::string::npos);
  EXPECT_EQ(icmp.find("tcp"), std::string::npos);
  EXPECT_NE(icmp.find("reverseIcmpTypeCodeIPv4"), std::string::npos);
  EXPECT_EQ(icmp.find("icmpTypeCodeIPv6"), std::string::npos);
}

TEST(IpfixTemplates, SizesCountEnterpriseNumbers) {
  const IpfixElement* octets = find_ipfix_element("octetDeltaCount");
  const IpfixElement* own = find_ipfix_element("rheoCommunityId");
  const std::vector<TemplateField> fields = {{octets, false}, {octets, true}, {own, false}};
  EXPECT_EQ(template_size(fields), 4U + 4 + 8 + 8);
  EXPECT_EQ(record_size(fields), 8U + 8 + 30);
}

}  // namespace
}  // namespace rheo
