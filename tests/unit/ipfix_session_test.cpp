// SPDX-License-Identifier: Apache-2.0
// Transport sessions: what comes first, how messages are numbered, and what a failure leaves behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/ipfix_session.h"

// GLib's, which libfixbuf brings along; its header belongs to the encoder alone.
extern "C" void g_log(const char* domain, int level, const char* format, ...);

namespace rheo {
namespace {

using testing::Each;
using testing::Lt;

IpfixEncoderOptions options() { return {.observation_domain = 77, .links = test::no_links()}; }

std::vector<FlowRecord> many(std::size_t count) {
  std::vector<FlowRecord> records(count, test::tcp_record());
  for (std::size_t i = 0; i < count; ++i) records[i].flow_id = i;
  return records;
}

std::set<std::uint64_t> flow_ids(const test::IpfixSession& session) {
  std::set<std::uint64_t> ids;
  for (const test::DecodedRecord& record : session.flow_records()) ids.insert(record.number(0, 148));
  return ids;
}

TEST(IpfixSession, TemplatesAndOptionsComeBeforeRecords) {
  test::IpfixSession session(options());
  session.encode(many(1));
  EXPECT_EQ(session.decoder.templates.size(), kRecordKindCount + 7);
  EXPECT_EQ(session.decoder.domain, 77U);
  EXPECT_EQ(session.decoder.sets.front(), 3);
  EXPECT_EQ(session.decoder.sets.back(), kFirstRecordTemplate);
  EXPECT_FALSE(session.decoder.records.back().options);
  EXPECT_TRUE(session.decoder.records.front().options);
}

TEST(IpfixSession, OneOptionsTemplateAMessage) {
  test::IpfixSession session(options());
  session.encode({});
  EXPECT_EQ(session.decoder.most_option_templates_in_set, 1U);
  EXPECT_EQ(std::ranges::count(session.decoder.sets, 3), 7);
}

TEST(IpfixSession, TemplatesAreSentOnce) {
  test::IpfixSession session(options());
  session.encode(many(1));
  const std::size_t sent = session.decoder.templates_read.size();
  for (int i = 0; i < 5; ++i) session.encode(many(3));
  EXPECT_EQ(session.decoder.templates_read.size(), sent);
  EXPECT_EQ(session.flow_records().size(), 16U);
}

TEST(IpfixSession, ARefreshRepeatsTheSameTemplates) {
  test::IpfixSession session(options());
  session.encode(many(3));
  const std::vector<std::uint16_t> first = session.decoder.templates_read;
  session.decoder.templates_read.clear();
  session.encoder->refresh_templates();
  session.encode({});  // the decoder refuses withdrawals and changes, and wants the numbers to go on
  EXPECT_EQ(session.decoder.templates_read, first);
  session.encode(many(3));
  EXPECT_EQ(session.decoder.templates_read, first);
}

TEST(IpfixSession, ANewSessionBeginsAtZero) {
  test::IpfixSession session(options());
  session.encode(many(30));
  ASSERT_GT(session.decoder.next_sequence, 30U);
  session.decoder.new_session();
  session.encoder->begin_session();
  session.encode(many(30));
  EXPECT_EQ(session.flow_records().size(), 60U);
}

TEST(IpfixSession, ExportTimeIsNow) {
  test::IpfixSession session(options());
  const auto before = static_cast<std::uint32_t>(time(nullptr));
  session.encode(many(1));
  EXPECT_GE(session.decoder.export_time, before);
  EXPECT_LE(session.decoder.export_time, before + 30);
}

/// At whichever message the collector goes away: what was taken is in its messages, what was not is not, and
/// the new session repeats exactly the rest.
TEST(IpfixSession, AfterAFailureTheRestIsSentInANewSession) {
  const std::vector<FlowRecord> records = many(50);
  bool failed = true;
  for (std::size_t limit = 0; failed; ++limit) {
    test::IpfixSession session(options());
    session.messages_to_take = limit;
    std::size_t taken = 99;
    failed = !session.encoder->encode(records, {}, session.sink(), taken).has_value();
    EXPECT_EQ(session.flow_records().size(), taken);
    EXPECT_EQ(flow_ids(session).size(), taken);
    EXPECT_THAT(flow_ids(session), Each(Lt(taken)));
    session.messages_to_take = 1'000;
    session.decoder.new_session();
    session.encoder->begin_session();
    session.encode(std::span(records).subspan(taken));
    EXPECT_EQ(session.flow_records().size(), records.size());
    EXPECT_EQ(flow_ids(session).size(), records.size());
    ASSERT_LT(limit, 100U);
  }
}

/// Without a new session, as over UDP: numbers go on, so that no record is taken for lost.
TEST(IpfixSession, AfterAFailureTheSameSessionGoesOn) {
  const std::vector<FlowRecord> records = many(50);
  bool failed = true;
  for (std::size_t limit = 0; failed; ++limit) {
    test::IpfixSession session(options());
    session.messages_to_take = limit;
    std::size_t taken = 99;
    failed = !session.encoder->encode(records, {}, session.sink(), taken).has_value();
    session.messages_to_take = 1'000;
    session.encode(std::span(records).subspan(taken));
    EXPECT_EQ(session.decoder.templates.size(), kRecordKindCount + 7);
    EXPECT_EQ(session.flow_records().size(), records.size());
    EXPECT_EQ(flow_ids(session).size(), records.size());
    ASSERT_LT(limit, 100U);
  }
}

TEST(IpfixSession, TheSinksErrorIsReturned) {
  test::IpfixSession session(options());
  session.messages_to_take = 0;
  std::size_t taken = 99;
  const Status status = session.encoder->encode(many(3), {}, session.sink(), taken);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().what, "the collector is away");
  EXPECT_EQ(taken, 0U);
}

TEST(IpfixSession, GlibDoesNotWriteToStandardError) {
  const test::IpfixSession session(options());
  testing::internal::CaptureStderr();
  constexpr int warning = 1 << 4;
  g_log("libfixbuf", warning, "%s", "a warning that nobody should see");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace rheo
