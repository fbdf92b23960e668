// SPDX-License-Identifier: Apache-2.0
// How long IPFIX messages become, what is together in one, and which settings no message could be made of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "export/ipfix/elements.h"
#include "tests/unit/ipfix_session.h"

namespace rheo {
namespace {

using testing::HasSubstr;

TEST(IpfixBounds, NoMessageIsLongerThanAllowed) {
  for (const IpfixBiflow biflow : {IpfixBiflow::rfc5103, IpfixBiflow::split})
    for (const std::size_t size : {700UL, 1'420UL, 9'000UL, 65'535UL}) {
      test::IpfixSession session({.biflow = biflow,
                                  .profile = IpfixProfile::full,
                                  .max_message_size = size,
                                  .links = test::no_links()});
      std::vector<FlowRecord> records;
      for (int i = 0; i < 40; ++i)
        for (const FlowRecord& record : test::records_of_every_kind()) records.push_back(record);
      session.encode(records);
      EXPECT_LE(session.longest_message, size);
      EXPECT_GT(session.longest_message, size / 2);
      const std::size_t halves = biflow == IpfixBiflow::split ? 2 : 1;
      EXPECT_EQ(session.flow_records().size(), records.size() * halves) << size;
    }
}

TEST(IpfixBounds, RecordsAreGroupedByTemplateWithinAMessage) {
  test::IpfixSession session({.profile = IpfixProfile::compact, .links = test::no_links()});
  std::vector<FlowRecord> records;
  for (int i = 0; i < 4; ++i) {
    records.push_back(test::tcp_record());
    records.push_back(test::icmp_record());
  }
  session.encode({});
  session.decoder.sets.clear();
  session.encode(records);
  EXPECT_EQ(session.decoder.sets.size(), 2U);
}

TEST(IpfixBounds, EachSettingIsRefusedInOneSentence) {
  const auto complaint = [](const IpfixEncoderOptions& options) {
    const auto made = IpfixEncoder::create(options);
    return made ? std::string("made") : made.error().what;
  };
  const Snapshot<LinkTable>& links = test::no_links();
  EXPECT_EQ(complaint({.max_message_size = 511, .links = links}),
            "max_message_size 511: a message has 512 to 65535 octets");
  EXPECT_EQ(complaint({.max_message_size = 65'536, .links = links}),
            "max_message_size 65536: a message has 512 to 65535 octets");
  EXPECT_EQ(complaint({.pen = 0, .links = links}), "pen 0: not the number of a private enterprise");
  EXPECT_EQ(complaint({.pen = 29'305, .links = links}), "pen 29305: not the number of a private enterprise");
  EXPECT_EQ(complaint({.sample_one_in = 0, .links = links}),
            "sample_one_in 0: at least one packet in 1 is counted");
  EXPECT_THAT(complaint({.add = {"nothing"}, .links = links}), HasSubstr("\"nothing\""));
  EXPECT_THAT(complaint({.biflow = IpfixBiflow::split,
                         .profile = IpfixProfile::full,
                         .max_message_size = 512,
                         .links = links}),
              HasSubstr("max_message_size 512: these elements need messages of"));
  std::vector<std::string> all;
  for (const IpfixElement& element : ipfix_elements())
    if (element.set == IpfixSet::compact) all.emplace_back(element.name);
  EXPECT_EQ(complaint({.profile = IpfixProfile::compact, .remove = all, .links = links}),
            "remove: no element is left for some of the records");
}

}  // namespace
}  // namespace rheo
