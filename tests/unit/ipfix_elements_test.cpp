// SPDX-License-Identifier: Apache-2.0
// The table of information elements, held against the standards' rules and against rheo-ipfix(5).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "daemon/model/names.h"
#include "export/ipfix/elements.h"
#include "tests/unit/json_records.h"

namespace rheo {
namespace {

using testing::HasSubstr;

std::size_t length_of(IpfixType type) {
  switch (type) {
    case IpfixType::unsigned8:
      return 1;
    case IpfixType::unsigned16:
      return 2;
    case IpfixType::unsigned32:
    case IpfixType::ipv4_address:
      return 4;
    case IpfixType::unsigned64:
    case IpfixType::date_time_milliseconds:
      return 8;
    case IpfixType::mac_address:
      return 6;
    case IpfixType::ipv6_address:
      return 16;
    case IpfixType::octet_array:
    case IpfixType::string:
      return 0;  // any
  }
  return 0;
}

TEST(IpfixElements, NamesAndNumbersAreUnique) {
  std::set<std::string_view> names;
  std::set<std::pair<bool, int>> numbers;
  for (const IpfixElement& element : ipfix_elements()) {
    EXPECT_TRUE(names.insert(element.name).second) << element.name;
    EXPECT_TRUE(numbers.insert({element.own, element.number}).second) << element.name;
    EXPECT_GT(element.number, 0) << element.name;
    EXPECT_LT(element.number, kReverseBit) << element.name;
    EXPECT_EQ(element.own, element.name.starts_with("rheo")) << element.name;
  }
}

/// nfacctd takes the second element of one number in a template for a repetition, whoever defined it.
TEST(IpfixElements, NoneOfOurOwnInRecordsHasTheNumberOfAReverseForm) {
  std::set<int> reverse;
  for (const IpfixElement& element : ipfix_elements())
    if (!element.own && element.reverse != IpfixReverse::never) reverse.insert(element.number);
  EXPECT_FALSE(reverse.empty());
  for (const IpfixElement& element : ipfix_elements()) {
    if (!element.own || element.set == IpfixSet::options_only) continue;
    EXPECT_FALSE(reverse.contains(element.number)) << element.name;
  }
}

TEST(IpfixElements, LengthsFitTypes) {
  for (const IpfixElement& element : ipfix_elements()) {
    const std::size_t length = length_of(element.type);
    if (length == 0) continue;
    if (element.name == "tcpControlBits")  // nfacctd reads no longer one
      EXPECT_EQ(element.source.length, 1);
    else
      EXPECT_EQ(element.source.length, length) << element.name;
  }
}

TEST(IpfixElements, WhatOptionsAloneHaveStandsInNoRecord) {
  for (const IpfixElement& element : ipfix_elements()) {
    const bool options = element.set == IpfixSet::options_only;
    EXPECT_EQ(element.stands_in == nullptr, options) << element.name;
    EXPECT_EQ(element.source.put == nullptr, options) << element.name;
  }
}

TEST(IpfixElements, ProfilesGrow) {
  const auto compact = choose_elements(IpfixProfile::compact, {}, {});
  const auto standard = choose_elements(IpfixProfile::standard, {}, {});
  const auto full = choose_elements(IpfixProfile::full, {}, {});
  EXPECT_LT(compact->size(), standard->size());
  EXPECT_LT(standard->size(), full->size());
  for (const IpfixElement& element : ipfix_elements())
    EXPECT_EQ(std::ranges::count(*full, &element), element.set >= IpfixSet::added ? 0 : 1) << element.name;
}

TEST(IpfixElements, AddsAndRemovesByName) {
  const std::vector<std::string> add = {"ipTTL"};
  const std::vector<std::string> remove = {"flowEndReason"};
  const auto chosen = choose_elements(IpfixProfile::compact, add, remove);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(std::ranges::count(*chosen, find_ipfix_element("ipTTL")), 1);
  EXPECT_EQ(std::ranges::count(*chosen, find_ipfix_element("flowEndReason")), 0);
}

TEST(IpfixElements, UnknownNamesAreComplaints) {
  const std::vector<std::string> unknown = {"octetdeltacount"};
  const std::vector<std::string> options = {"samplingInterval"};
  EXPECT_EQ(choose_elements(IpfixProfile::full, unknown, {}).error().what,
            "add: \"octetdeltacount\" is no information element; rheo-ipfix(5) lists them");
  EXPECT_THAT(choose_elements(IpfixProfile::full, {}, unknown).error().what, HasSubstr("remove: "));
  EXPECT_EQ(choose_elements(IpfixProfile::full, options, {}).error().what,
            "add: \"samplingInterval\" stands only in options, not in flow records");
}

TEST(IpfixElements, EveryEndReasonHasAValue) {
  const IpfixElement* element = find_ipfix_element("flowEndReason");
  FlowRecord record = test::tcp_record();
  const std::array<int, kEndReasonCount> expected = {1, 2, 3, 3, 5, 4};
  for (int reason = 0; reason < kEndReasonCount; ++reason) {
    record.end_reason = static_cast<EndReason>(reason);
    std::byte octet{};
    element->source.put(&octet, {.record = record, .counted = record.forward, .opposite = record.reverse});
    EXPECT_EQ(static_cast<int>(octet), expected[static_cast<std::size_t>(reason)]) << reason;
  }
}

/// Words for numbers, in the table and so in the type information.
TEST(IpfixElements, EveryNumberOfAClosedSetHasItsWord) {
  const auto meaning = [](std::string_view name) { return std::string(find_ipfix_element(name)->meaning); };
  for (int state = 1; state < kTcpStateCount; ++state)
    EXPECT_THAT(
        meaning("rheoTcpState"),
        HasSubstr(std::to_string(state) + " " + std::string(tcp_state_name(static_cast<TcpState>(state)))));
  for (int type = 1; type < kTunnelTypeCount; ++type)
    EXPECT_THAT(
        meaning("rheoTunnelType"),
        HasSubstr(std::to_string(type) + " " + std::string(tunnel_type_name(static_cast<TunnelType>(type)))));
  EXPECT_EQ(kInitiatorByCount, 4);
}

/// The page has one row an element: name, number (own ones behind "PEN/"), octets, profile, meaning.
TEST(IpfixElements, TheManPageHasTheTable) {
  std::ifstream file(RHEO_SOURCE_DIR "/man/rheo-ipfix.5.scd");
  std::stringstream text;
  text << file.rdbuf();
  const std::array<std::string, 5> sets = {"compact", "standard", "full", "added", "options"};
  for (const IpfixElement& element : ipfix_elements()) {
    const std::string length =
        element.source.length == 65'535 ? "variable" : std::to_string(element.source.length);
    const std::string row = "|  " + std::string(element.name) + "\n:  " + (element.own ? "PEN/" : "") +
                            std::to_string(element.number) + "\n:  " + length +
                            "\n:  " + (element.reverse == IpfixReverse::never ? "no" : "yes") +
                            "\n:  " + sets[static_cast<std::size_t>(element.set)] +
                            "\n:  " + std::string(element.meaning) + "\n";
    EXPECT_THAT(text.str(), HasSubstr(row)) << element.name;
  }
}

}  // namespace
}  // namespace rheo
