// SPDX-License-Identifier: Apache-2.0
// What the options tell, read back by an independent decoder.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "export/ipfix/options.h"
#include "tests/unit/ipfix_session.h"

namespace rheo {
namespace {

using test::DecodedRecord;

constexpr std::uint32_t kPen = kDocumentationPen;

std::vector<DecodedRecord> told(const test::IpfixSession& session, IpfixOptionsKind kind) {
  return session.option_records(static_cast<std::size_t>(kind));
}

LinkTable two_links() {
  LinkTable table;
  table[2] = {.index = 2, .name = "eth0", .kind = ""};
  table[7] = {.index = 7, .name = "a-name-of-15-chr", .kind = "veth"};
  return table;
}

TEST(IpfixOptions, InterfacesAreNamedInBothForms) {
  const Snapshot<LinkTable> links(two_links());
  test::IpfixSession session({.observation_domain = 5, .links = links});
  session.encode({});
  const auto by_domain = told(session, IpfixOptionsKind::interfaces);
  ASSERT_EQ(by_domain.size(), 2U);
  EXPECT_EQ(by_domain[0].number(0, 149), 5U);
  EXPECT_EQ(by_domain[0].number(0, 10), 2U);
  EXPECT_EQ(by_domain[0].text(0, 82), "eth0");
  EXPECT_EQ(by_domain[0].text(0, 83), "eth0 (physical)");
  EXPECT_EQ(by_domain[1].text(0, 82), "a-name-of-15-chr");
  EXPECT_EQ(by_domain[1].text(0, 83), "a-name-of-15-chr (veth)");
  const auto by_scope = told(session, IpfixOptionsKind::interfaces_by_scope);
  ASSERT_EQ(by_scope.size(), 2U);
  EXPECT_EQ(by_scope[1].fields.front().number, 10);
  EXPECT_EQ(by_scope[1].text(0, 82), "a-name-of-15-chr");
}

TEST(IpfixOptions, ANewInterfaceIsToldAtOnce) {
  Snapshot<LinkTable> links(two_links());
  test::IpfixSession session({.links = links});
  session.encode({});
  const std::size_t before = session.messages;
  LinkTable same_names = two_links();
  same_names[2].up = true;
  links.publish(same_names);
  session.encode({});
  EXPECT_EQ(session.messages, before) << "nothing that is told has changed";
  session.decoder.records.clear();
  same_names[9] = {.index = 9, .name = "wg0", .kind = "wireguard"};
  links.publish(same_names);
  session.encode({});
  EXPECT_EQ(told(session, IpfixOptionsKind::interfaces).size(), 3U);
  EXPECT_EQ(told(session, IpfixOptionsKind::interfaces_by_scope).size(), 3U);
  EXPECT_EQ(session.messages, before + 2);
}

TEST(IpfixOptions, LossesAreNamedAndSummed) {
  test::IpfixSession session({.observation_domain = 5, .links = test::no_links()});
  const IpfixStatistics statistics = {.exported_messages = 1,
                                      .exported_octets = 2,
                                      .exported_records = 3,
                                      .not_sent_records = 4,
                                      .not_sent_packets = 5,
                                      .not_sent_octets = 6,
                                      .observed_flows = 7,
                                      .losses = {{"not_ip", 100, 6'000, false}, {"evicted_full", 20, 999}}};
  session.encode({}, statistics);
  const auto process = told(session, IpfixOptionsKind::exporting_process);
  ASSERT_EQ(process.size(), 1U);
  const std::map<std::uint16_t, std::uint64_t> expected = {
      {149, 5}, {41, 1}, {40, 2}, {42, 3}, {166, 4}, {167, 5}, {168, 6}, {163, 7}, {164, 20}, {165, 999}};
  EXPECT_EQ(process[0].fields.size(), expected.size());
  for (const auto& [number, value] : expected) EXPECT_EQ(process[0].number(0, number), value) << number;
  const auto losses = told(session, IpfixOptionsKind::metering_losses);
  ASSERT_EQ(losses.size(), 2U);
  EXPECT_EQ(losses[1].text(kPen, 1), "evicted_full");
  EXPECT_EQ(losses[1].number(0, 164), 20U);
  EXPECT_EQ(losses[1].number(0, 165), 999U);
}

TEST(IpfixOptions, SamplingIsToldInBothForms) {
  test::IpfixSession session({.sample_one_in = 64, .links = test::no_links()});
  session.encode({});
  const auto sampling = told(session, IpfixOptionsKind::sampling);
  ASSERT_EQ(sampling.size(), 1U);
  EXPECT_EQ(sampling[0].number(0, 304), 1U);
  EXPECT_EQ(sampling[0].number(0, 305), 1U);
  EXPECT_EQ(sampling[0].number(0, 306), 63U);
  const auto legacy = told(session, IpfixOptionsKind::sampling_legacy);
  ASSERT_EQ(legacy.size(), 1U);
  EXPECT_EQ(legacy[0].fields.size(), 2U);  // nfdump 1.7.1 reads it only without samplingAlgorithm
  EXPECT_EQ(legacy[0].number(0, 34), 64U);
}

/// Every enterprise field of every template has its type, and the length fits.
TEST(IpfixOptions, EveryElementOfOursIsAnnounced) {
  for (const IpfixBiflow biflow : {IpfixBiflow::rfc5103, IpfixBiflow::split}) {
    test::IpfixSession session(
        {.biflow = biflow, .profile = IpfixProfile::full, .pen = 4'711, .links = test::no_links()});
    session.encode({});
    std::map<std::uint64_t, DecodedRecord> types;
    for (const DecodedRecord& record : told(session, IpfixOptionsKind::element_types)) {
      EXPECT_EQ(record.number(0, 346), 4'711U);
      types[record.number(0, 303)] = record;
    }
    // ipfixDump takes type information only from a template that has all of these.
    for (const int part : {346, 303, 339, 340, 341, 342, 343, 344, 345})
      EXPECT_NE(types.begin()->second.find(0, static_cast<std::uint16_t>(part)), nullptr) << part;
    std::size_t met = 0;
    for (const auto& [id, layout] : session.decoder.templates)
      for (const test::DecodedField& field : layout.fields) {
        if (field.enterprise == 0 || field.enterprise == kReversePen) continue;
        ++met;
        EXPECT_EQ(field.enterprise, 4'711U);
        EXPECT_TRUE(types.contains(field.number)) << field.number;
      }
    EXPECT_GT(met, 100U);
    EXPECT_EQ(types[3].text(0, 341), "rheoFlowSequence");
    EXPECT_EQ(types[3].number(0, 339), 3U);  // unsigned32
    EXPECT_EQ(types[3].number(0, 344), 4U);  // identifier
    EXPECT_EQ(types[4].number(0, 345), 6U);  // milliseconds
    EXPECT_NE(types[3].text(0, 340).find("number of the record"), std::string::npos);
    EXPECT_EQ(types.contains(8 | 0x4000), biflow == IpfixBiflow::rfc5103);
    EXPECT_EQ(types[8 | 0x4000].text(0, 341), biflow == IpfixBiflow::rfc5103 ? "reverseRheoTcpFlags" : "?");
  }
}

/// A collector that reads in order can use them.
TEST(IpfixOptions, TypesComeBeforeTheTemplatesThatNeedThem) {
  test::IpfixSession session({.links = test::no_links()});
  session.encode({});
  const auto types = kFirstOptionsTemplate + static_cast<std::uint16_t>(IpfixOptionsKind::element_types);
  const std::vector<std::uint16_t>& sets = session.decoder.sets;
  EXPECT_LT(std::ranges::find(sets, types), std::ranges::find(sets, 2));
}

TEST(IpfixOptions, TheyFitTheSmallestMessages) {
  LinkTable table;
  for (std::uint32_t i = 1; i < 300; ++i)
    table[i] = {.index = i, .name = "veth" + std::to_string(i), .kind = "veth"};
  const Snapshot<LinkTable> links(table);
  test::IpfixSession session({.profile = IpfixProfile::compact, .max_message_size = 512, .links = links});
  session.encode({});
  EXPECT_LE(session.longest_message, 512U);
  EXPECT_EQ(told(session, IpfixOptionsKind::interfaces).size(), 299U);
}

}  // namespace
}  // namespace rheo
