// SPDX-License-Identifier: Apache-2.0
// Flow records in IPFIX messages: every element read back by an independent decoder and compared with the
// record. Sessions are in ipfix_session_test.cpp, the bounds of messages in ipfix_bounds_test.cpp.
#include <gtest/gtest.h>

#include "daemon/model/community_id.h"
#include "daemon/model/names.h"
#include "export/ipfix/element_values.h"
#include "export/ipfix/templates.h"
#include "tests/unit/full_owners.h"
#include "tests/unit/ipfix_session.h"

namespace rheo {
namespace {

using test::DecodedRecord;
using test::Octets;

Octets octets(std::uint64_t value, std::size_t length) {
  Octets made(length);
  for (std::size_t i = 0; i < length; ++i) made[length - 1 - i] = static_cast<std::uint8_t>(value >> (8 * i));
  return made;
}

template <class Range>
Octets octets_of(const Range& range, std::size_t first = 0) {
  return {range.begin() + static_cast<std::ptrdiff_t>(first), range.end()};
}

std::uint16_t host(std::uint16_t be) { return ntohs(be); }

/// What must be read for the element, where `told` is the direction meant and `turned` the record's other
/// half. Written from the record alone; empty for an element that this function does not know.
Octets expected(std::string_view name, const FlowRecord& r, const FlowDirection& told, bool turned) {
  const FlowDirection& other = &told == &r.forward ? r.reverse : r.forward;
  const auto side = [&](const auto& a, const auto& b) { return turned ? b : a; };
  const unsigned hooks =
      told.hooks != 0 ? told.hooks : (other.hooks == 1 ? 2U : (other.hooks == 2 ? 1U : other.hooks));
  const std::uint64_t encapsulation =
      r.tunnel == TunnelType::vxlan ? 1U : (r.tunnel == TunnelType::nvgre ? 2U : 0U);
  // As test::classes() has them.
  const unsigned responder_class = r.ipv6 ? 1 : 8;
  const unsigned initiator_listed = r.ipv6 ? 2 : 0;
  const std::map<std::string_view, Octets> values = {
      {"octetTotalCount", octets(told.total.l3_bytes, 8)},
      {"packetTotalCount", octets(told.total.packets, 8)},
      {"layer2OctetTotalCount", octets(told.total.l2_bytes, 8)},
      {"octetDeltaCount", octets(told.delta.l3_bytes, 8)},
      {"packetDeltaCount", octets(told.delta.packets, 8)},
      {"layer2OctetDeltaCount", octets(told.delta.l2_bytes, 8)},
      {"sourceIPv4Address", octets_of(side(r.source, r.destination), 12)},
      {"destinationIPv4Address", octets_of(side(r.destination, r.source), 12)},
      {"sourceIPv6Address", octets_of(side(r.source, r.destination))},
      {"destinationIPv6Address", octets_of(side(r.destination, r.source))},
      {"sourceTransportPort", octets(host(side(r.source_port_be, r.destination_port_be)), 2)},
      {"destinationTransportPort", octets(host(side(r.destination_port_be, r.source_port_be)), 2)},
      {"protocolIdentifier", octets(r.protocol, 1)},
      {"ipVersion", octets(r.ipv6 ? 6 : 4, 1)},
      {"flowStartMilliseconds", octets(r.start_ns / 1'000'000, 8)},
      {"flowEndMilliseconds", octets(r.end_ns / 1'000'000, 8)},
      {"tcpControlBits", octets(told.tcp_flags & 0xffU, 1)},
      {"ipClassOfService", octets(told.tos, 1)},
      {"ipTTL", octets(told.ttl, 1)},
      {"icmpTypeCodeIPv4", octets(told.icmp_type * 256U + told.icmp_code, 2)},
      {"icmpTypeCodeIPv6", octets(told.icmp_type * 256U + told.icmp_code, 2)},
      {"icmpTypeIPv4", octets(told.icmp_type, 1)},
      {"icmpCodeIPv4", octets(told.icmp_code, 1)},
      {"icmpTypeIPv6", octets(told.icmp_type, 1)},
      {"icmpCodeIPv6", octets(told.icmp_code, 1)},
      {"dot1qVlanId", octets(r.vlan, 2)},
      {"vlanId", octets(r.vlan, 2)},
      {"postDot1qVlanId", octets(hooks == 2 ? r.vlan : 0, 2)},
      {"dot1qCustomerVlanId", octets(r.inner_vlan, 2)},
      {"sourceMacAddress", octets_of(side(r.source_mac, r.destination_mac))},
      {"destinationMacAddress", octets_of(side(r.destination_mac, r.source_mac))},
      {"ingressInterface", octets((hooks & 1U) != 0 ? r.link : 0, 4)},
      {"egressInterface", octets((hooks & 2U) != 0 ? r.link : 0, 4)},
      {"flowDirection", octets(hooks == 2 ? 1 : 0, 1)},
      {"flowEndReason", octets(ipfix_end_reason(r.end_reason), 1)},
      {"biflowDirection", octets(turned ? 2 : 1, 1)},
      {"flowLabelIPv6", octets(r.flow_label, 4)},
      {"flowId", octets(r.flow_id, 8)},
      {"observationPointId", octets(r.link, 8)},
      {"mplsTopLabelStackSection", octets(r.mpls_top_label * 16U + (r.mpls_count == 1 ? 1U : 0U), 3)},
      {"mplsLabelStackDepth", octets(r.mpls_count, 4)},
      {"layer2SegmentId", octets(encapsulation << 56U | r.tunnel_id, 8)},
      {"rheoCommunityId", octets_of(community_id(r, 7))},
      {"rheoFlowSequence", octets(r.sequence, 4)},
      {"rheoFlowFirstMilliseconds", octets(r.flow_start_ns / 1'000'000, 8)},
      {"rheoFlowEndedBy",
       octets(r.end_reason == EndReason::fin ? 1 : (r.end_reason == EndReason::rst ? 2 : 0), 1)},
      {"rheoTcpState", octets(static_cast<std::uint64_t>(r.tcp_state), 1)},
      {"rheoInitiatorBy", octets(static_cast<std::uint64_t>(r.initiator_by), 1)},
      {"rheoTcpFlags", octets(told.tcp_flags & 0x1ffU, 2)},
      {"rheoObserved", octets(told.hooks, 1)},
      {"rheoMarks", octets(told.marks, 1)},
      {"rheoIcmpIdentifier", octets(host(r.icmp_id_be), 2)},
      {"rheoNetworkNamespace", octets(r.link >> 24U, 1)},
      {"rheoTunnelType", octets(static_cast<std::uint64_t>(r.tunnel), 1)},
      {"rheoTunnelSourceIPv4Address", octets_of(side(r.outer_source, r.outer_destination), 12)},
      {"rheoTunnelDestinationIPv4Address", octets_of(side(r.outer_destination, r.outer_source), 12)},
      {"rheoTunnelSourceIPv6Address", octets_of(side(r.outer_source, r.outer_destination))},
      {"rheoTunnelDestinationIPv6Address", octets_of(side(r.outer_destination, r.outer_source))},
      {"rheoTunnelSourcePort", octets(host(side(r.outer_source_port_be, r.outer_destination_port_be)), 2)},
      {"rheoTunnelDestinationPort",
       octets(host(side(r.outer_destination_port_be, r.outer_source_port_be)), 2)},
      {"rheoTunnelProtocol", octets(r.outer_protocol, 1)},
      {"rheoHostDirection", octets(r.link >> 24U == 0 ? 2 : 0, 1)},
      {"rheoSourceClass", octets(side(3U, responder_class), 2)},
      {"rheoDestinationClass", octets(side(responder_class, 3U), 2)},
      {"rheoSourceAbnormal", octets(side(initiator_listed, 1U), 1)},
      {"rheoDestinationAbnormal", octets(side(1U, initiator_listed), 1)},
      {"rheoTcpRoundTripMicroseconds", octets(told.tcp.srtt_us, 4)},
      {"rheoTcpLeastRoundTripMicroseconds", octets(told.tcp.min_rtt_us, 4)},
      {"rheoTcpRetransmits", octets(told.tcp.retransmits, 4)},
      {"rheoTcpCongestionWindow", octets(told.tcp.congestion_window, 4)},
      {"rheoTcpSynAckMicroseconds", octets(r.handshake.syn_ack_ns / 1'000, 4)},
      {"rheoTcpAckMicroseconds", octets(r.handshake.ack_ns / 1'000, 4)},
      {"rheoTcpConnectDeltaCount", octets(!turned && (r.tcp_events & kTcpConnect) != 0 ? 1 : 0, 1)},
      {"rheoTcpAcceptDeltaCount", octets(!turned && (r.tcp_events & kTcpAccept) != 0 ? 1 : 0, 1)},
      {"rheoTcpCloseDeltaCount", octets(!turned && (r.tcp_events & kTcpClose) != 0 ? 1 : 0, 1)},
      {"rheoTcpFailedConnectDeltaCount",
       octets(!turned && (r.tcp_events & kTcpFailedConnect) != 0 ? 1 : 0, 1)},
  };
  const auto found = values.find(name);
  return found == values.end() ? Octets{} : found->second;
}

/// Every element of the profile that this kind of record has, no other, and each with its value.
void expect_record(const DecodedRecord& read, const FlowRecord& record, IpfixProfile profile,
                   IpfixBiflow biflow, bool turned) {
  std::size_t fields = 0;
  const auto chosen = choose_elements(profile, {}, {});
  for (const IpfixElement* element : *chosen) {
    const std::uint32_t pen = element->own ? kDocumentationPen : 0;
    const Octets* value = read.find(pen, element->number);
    if (!element->stands_in(kind_of(record))) {
      EXPECT_EQ(value, nullptr) << element->name;
      continue;
    }
    const FlowDirection& forward = turned ? record.reverse : record.forward;
    ++fields;
    ASSERT_NE(value, nullptr) << element->name;
    EXPECT_EQ(*value, expected(element->name, record, forward, turned)) << element->name;
    if (element->reverse == IpfixReverse::never || biflow == IpfixBiflow::split) continue;
    ++fields;
    const auto reverse_number =
        static_cast<std::uint16_t>(element->own ? element->number | 0x4000U : element->number);
    const Octets* reverse = read.find(element->own ? kDocumentationPen : 29'305, reverse_number);
    ASSERT_NE(reverse, nullptr) << element->name;
    EXPECT_EQ(*reverse, expected(element->name, record, record.reverse, false))
        << "reverse " << element->name;
  }
  EXPECT_EQ(read.fields.size(), fields);
}

class IpfixEncode : public testing::TestWithParam<IpfixProfile> {};

TEST_P(IpfixEncode, EveryElementOfABiflowIsReadBack) {
  test::IpfixSession session({.profile = GetParam(),
                              .community_id_seed = 7,
                              .links = test::no_links(),
                              .classes = &test::known_classes()});
  const std::vector<FlowRecord> records = test::records_of_every_kind();
  session.encode(records);
  const std::vector<DecodedRecord> read = session.flow_records();
  ASSERT_EQ(read.size(), records.size());
  for (const FlowRecord& record : records) {
    const DecodedRecord* found = session.find(record);
    ASSERT_NE(found, nullptr);
    expect_record(*found, record, GetParam(), IpfixBiflow::rfc5103, false);
  }
}

TEST_P(IpfixEncode, EveryElementOfBothHalvesIsReadBack) {
  test::IpfixSession session({.biflow = IpfixBiflow::split,
                              .profile = GetParam(),
                              .community_id_seed = 7,
                              .links = test::no_links(),
                              .classes = &test::known_classes()});
  std::vector<FlowRecord> records = test::records_of_every_kind();
  for (FlowRecord& record : records) {
    record.link = link_ifindex(record.link);  // rheod's own namespace
    session.decoder.records.clear();
    session.encode({&record, 1});
    const std::vector<DecodedRecord> read = session.flow_records();
    ASSERT_EQ(read.size(), 2U);
    expect_record(read[0], record, GetParam(), IpfixBiflow::split, false);
    expect_record(read[1], record, GetParam(), IpfixBiflow::split, true);
  }
}

INSTANTIATE_TEST_SUITE_P(Profiles, IpfixEncode,
                         testing::Values(IpfixProfile::compact, IpfixProfile::standard, IpfixProfile::full));

bool is_of_tcp(const IpfixElement& it) { return it.set == IpfixSet::added && it.name.starts_with("rheoTcp"); }
bool is_of_owner(const IpfixElement& element) {
  return element.set == IpfixSet::added && !is_of_tcp(element) && !element.name.ends_with("ClassName");
}

TEST(IpfixEncodeTcp, EventsAreInTheOneRecordOfTwoThatIsThere) {
  FlowRecord record = test::fullest_record();
  record.tcp_events = kTcpConnect;
  record.forward.delta = {};
  test::IpfixSession session(
      {.biflow = IpfixBiflow::split, .add = {"rheoTcpConnectDeltaCount"}, .links = test::no_links()});
  session.encode({&record, 1});
  const std::vector<DecodedRecord> read = session.flow_records();
  ASSERT_EQ(read.size(), 1U);
  const Octets* value = read[0].find(kDocumentationPen, 56);
  ASSERT_NE(value, nullptr);
  EXPECT_EQ(*value, octets(1, 1));
}

TEST(IpfixEncodeTcp, WhatSocketsSayIsToldWhereItIsAdded) {
  const FlowRecord record = test::fullest_record();
  std::vector<std::string> names;
  for (const IpfixElement& element : ipfix_elements())
    if (is_of_tcp(element)) names.emplace_back(element.name);
  EXPECT_EQ(names.size(), 10U);
  for (const IpfixBiflow biflow : {IpfixBiflow::rfc5103, IpfixBiflow::split}) {
    test::IpfixSession session({.biflow = biflow, .add = names, .links = test::no_links()});
    session.encode({&record, 1});
    const std::vector<DecodedRecord> read = session.flow_records();
    for (const IpfixElement& element : ipfix_elements()) {
      if (!is_of_tcp(element)) continue;
      const auto expect = [&](const DecodedRecord& in, unsigned number, const FlowDirection& told,
                              bool turned = false) {
        const Octets* value = in.find(kDocumentationPen, static_cast<std::uint16_t>(number));
        EXPECT_TRUE(value && *value == expected(element.name, record, told, turned)) << element.name;
      };
      expect(read.at(0), element.number, record.forward);
      if (biflow == IpfixBiflow::split)
        expect(read.at(1), element.number, record.reverse, true);
      else if (element.reverse != IpfixReverse::never)
        expect(read.at(0), element.number | 0x4000U, record.reverse);
    }
  }
}

/// What must be read for an element of the owner whose pid is `pid`, of whom FullOwners knows everything; of
/// 0 nothing is known. "?" for an element that this function does not know.
std::string expected_of_owner(std::string_view name, std::uint32_t pid) {
  const std::map<std::string_view, std::string> values = {{"ProcessName", "nginx"},
                                                          {"Executable", "/usr/sbin/nginx"},
                                                          {"User", "www-data"},
                                                          {"Unit", "web.service"},
                                                          {"ContainerId", "web"},
                                                          {"ContainerName", "front"},
                                                          {"ContainerImage", "nginx:1.27"},
                                                          {"CommandLine", "nginx -g x"}};
  for (const std::string_view side : {"rheoSource", "rheoDestination"})
    if (name.starts_with(side)) name.remove_prefix(side.size());
  const auto found = values.find(name);
  if (found == values.end()) return "?";
  return pid == 0 ? "" : found->second;
}

void expect_owners(const DecodedRecord& read, std::uint32_t source, std::uint32_t destination) {
  for (const IpfixElement& element : ipfix_elements()) {
    if (!is_of_owner(element)) continue;
    const std::uint32_t pid = element.name.starts_with("rheoSource") ? source : destination;
    const Octets* octets_read = read.find(kDocumentationPen, element.number);
    ASSERT_NE(octets_read, nullptr) << element.name;
    if (element.type == IpfixType::unsigned32)
      EXPECT_EQ(*octets_read, octets(pid, 4)) << element.name;
    else
      EXPECT_EQ(read.text(kDocumentationPen, element.number), expected_of_owner(element.name, pid))
          << element.name;
  }
}

std::vector<std::string> elements_of_owners() {
  std::vector<std::string> names;
  for (const IpfixElement& element : ipfix_elements())
    if (is_of_owner(element)) names.emplace_back(element.name);
  return names;
}

TEST(IpfixEncodeOwners, AreToldWhereTheyAreAddedAndKnown) {
  test::FullOwners owners;
  FlowRecord record = test::tcp_record();
  record.source_owner = 4'711;
  for (const IpfixBiflow biflow : {IpfixBiflow::rfc5103, IpfixBiflow::split}) {
    test::IpfixSession session({.biflow = biflow,
                                .add = elements_of_owners(),
                                .max_message_size = 4'096,
                                .links = test::no_links(),
                                .owners = &owners});
    session.encode({&record, 1});
    const std::vector<DecodedRecord> read = session.flow_records();
    expect_owners(read.at(0), 4'711, 0);
    if (biflow == IpfixBiflow::split) expect_owners(read.at(1), 0, 4'711);
  }
  test::IpfixSession nobody({.add = elements_of_owners(), .links = test::no_links()});
  nobody.encode({&record, 1});
  expect_owners(nobody.flow_records().at(0), 0, 0);
}

TEST(IpfixEncodeClasses, HaveTheirNamesWhereTheyAreAdded) {
  const FlowRecord record = test::tcp_record();
  const AddressClasses classes = test::classes();
  const std::string source(classes.name_of(record.source));
  const std::string destination(classes.name_of(record.destination));
  ASSERT_NE(source, destination);
  constexpr std::uint16_t source_name = 48;
  constexpr std::uint16_t destination_name = 49;
  const std::vector<std::string> add = {"rheoSourceClassName", "rheoDestinationClassName"};
  test::IpfixSession session({.biflow = IpfixBiflow::split,
                              .add = add,
                              .links = test::no_links(),
                              .classes = &test::known_classes()});
  session.encode({&record, 1});
  const std::vector<DecodedRecord> read = session.flow_records();
  EXPECT_EQ(read.at(0).text(kDocumentationPen, source_name), source);
  EXPECT_EQ(read.at(0).text(kDocumentationPen, destination_name), destination);
  EXPECT_EQ(read.at(1).text(kDocumentationPen, source_name), destination) << "the other way";
  test::IpfixSession nothing_known({.add = add, .links = test::no_links()});
  nothing_known.encode({&record, 1});
  EXPECT_EQ(nothing_known.flow_records().at(0).text(kDocumentationPen, source_name), "");
}

TEST(IpfixEncodeOwners, TextsAreCutBetweenCharacters) {
  EXPECT_EQ(cut_utf8("nginx", 5), "nginx");
  EXPECT_EQ(cut_utf8("nginx", 4), "ngin");
  EXPECT_EQ(cut_utf8("1234é", 5), "1234");
  EXPECT_EQ(cut_utf8("12😀", 5), "12");
  EXPECT_EQ(cut_utf8("12😀", 6), "12😀");
  EXPECT_EQ(cut_utf8("1\xff", 3), "1");  // U+FFFD takes three octets
  EXPECT_EQ(cut_utf8("1\xff", 4), "1\xef\xbf\xbd");
  EXPECT_EQ(cut_utf8("", 4), "");
}

/// The functions above know every element: a new one makes this fail.
TEST(IpfixEncodeTable, EveryElementHasAnExpectation) {
  const FlowRecord record = test::tcp_record();
  for (const IpfixElement& element : ipfix_elements())
    EXPECT_EQ(
        expected(element.name, record, record.forward, false).empty(),
        element.set == IpfixSet::options_only || (element.set == IpfixSet::added && !is_of_tcp(element)))
        << element.name;
}

TEST(IpfixEncodeSplit, ADirectionWithoutPacketsHasNoRecord) {
  test::IpfixSession session({.biflow = IpfixBiflow::split, .links = test::no_links()});
  FlowRecord record = test::tcp_record();
  record.reverse.delta = {};
  session.encode({&record, 1});
  ASSERT_EQ(session.flow_records().size(), 1U);
  EXPECT_EQ(session.flow_records()[0].number(0, 239), 1U);
  std::swap(record.forward.delta, record.reverse.delta);
  session.decoder.records.clear();
  session.encode({&record, 1});
  ASSERT_EQ(session.flow_records().size(), 1U);
  EXPECT_EQ(session.flow_records()[0].number(0, 239), 2U);
  EXPECT_EQ(session.flow_records()[0].number(0, 7), 443U);
}

}  // namespace
}  // namespace rheo
