// SPDX-License-Identifier: Apache-2.0
// How an exporter cuts a batch into requests, how each is settled by its answer, and what goes to the spool.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "tests/unit/otlp_exporter_fixture.h"

namespace rheo::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(OtlpExporterTest, ARequestHasNoMoreOctetsThanAReceiverTakes) {
  auto settings = options();
  settings.max_batch_size = 10'000;
  const auto exporter = make(settings);
  ASSERT_TRUE(exporter->write(batch(5'000)));  // about 6 MB
  EXPECT_THAT(exporter->take_settled().value().back().end, 5'000U);
  EXPECT_EQ(flows(receiver_), numbers(0, 5'000));
  EXPECT_GE(receiver_.requests().size(), 2U);
  for (const auto& request : receiver_.requests()) EXPECT_LE(request.ByteSizeLong(), 4U << 20U);
}

TEST_F(OtlpExporterTest, WhatIsTooLargeForAReceiverIsCutInTwo) {
  Receiver small(150'000);
  auto settings = options();
  settings.transport.endpoint = *parse_otlp_endpoint(small.endpoint(), OtlpProtocol::grpc);
  const auto exporter = make(settings);
  ASSERT_TRUE(exporter->write(batch(1'000)));
  for (const SettledPart& part : exporter->take_settled().value_or(std::vector<SettledPart>()))
    EXPECT_FALSE(part.given_up);
  EXPECT_EQ(flows(small), numbers(0, 1'000));
  EXPECT_THAT(exporter->take_notice(), HasSubstr("octets at most from now on"));
  const std::size_t requests = small.requests().size();
  ASSERT_TRUE(exporter->write(batch(1'000, 1'000)));
  EXPECT_EQ(exporter->take_notice(), "") << "it knows by now";
  EXPECT_LE(small.requests().size(), 2 * requests);
  EXPECT_EQ(flows(small), numbers(0, 2'000));
}

TEST_F(OtlpExporterTest, AReceiverToWhichAllIsTooLargeTakesNothing) {
  Receiver tiny(1'000);
  auto settings = options();
  settings.transport.endpoint = *parse_otlp_endpoint(tiny.endpoint(), OtlpProtocol::grpc);
  const auto exporter = make(settings);
  EXPECT_EQ(exporter->write(batch(200)).error().code, std::errc::bad_message);
  std::size_t lost = 0;
  for (const SettledPart& part : exporter->take_settled().value_or(std::vector<SettledPart>()))
    lost += part.given_up ? part.end - part.begin : 0;
  EXPECT_EQ(lost, 200U);
}

TEST_F(OtlpExporterTest, SeveralRequestsAreUnderWayAtOnce) {
  std::mutex mutex;
  std::condition_variable arrived;
  int here = 0;
  int together = 0;
  receiver_.decide = [&](const ExportTraceServiceRequest&) -> grpc::Status {
    std::unique_lock lock(mutex);
    ++here;
    arrived.notify_all();
    const bool all = arrived.wait_for(lock, std::chrono::seconds(10), [&] { return here >= 3; });
    together += all ? 1 : 0;
    return grpc::Status::OK;
  };
  auto settings = options();
  settings.transport.timeout = std::chrono::seconds(20);
  settings.max_batch_size = 10;
  settings.max_concurrent_exports = 3;
  const auto exporter = make(settings);
  ASSERT_TRUE(exporter->write(batch(30)));
  EXPECT_EQ(together, 3);
  EXPECT_EQ(flows(receiver_), numbers(0, 30));
}

TEST_F(OtlpExporterTest, EachRequestIsSettledByItsOwnAnswer) {
  std::atomic<bool> well = false;
  receiver_.decide = [&](const ExportTraceServiceRequest& request) -> grpc::Status {
    const std::uint64_t first = flow_of(request.resource_spans(0).scope_spans(0).spans(0));
    if (first == 10 && !well) return {grpc::StatusCode::UNAVAILABLE, "later"};
    if (first == 20) return {grpc::StatusCode::INVALID_ARGUMENT, "never"};
    return grpc::Status::OK;
  };
  auto settings = options();
  settings.max_batch_size = 10;
  settings.max_concurrent_exports = 4;
  const auto exporter = make(settings);
  const Status failed = exporter->write(batch(60));
  EXPECT_EQ(failed.error().code, std::errc::resource_unavailable_try_again);
  EXPECT_THAT(failed.error().what, HasSubstr("send 10 spans"));
  EXPECT_THAT(exporter->take_settled().value(),
              ElementsAre(SettledPart{0, 10}, SettledPart{20, 30, true}, SettledPart{30, 40}))
      << "what came behind the failure is not tried";
  EXPECT_THAT(exporter->take_notice(), HasSubstr("INVALID_ARGUMENT (never); counted as lost"));
  well = true;
  ASSERT_TRUE(exporter->write(batch(10, 10)));
  EXPECT_THAT(exporter->take_settled().value(), ElementsAre(SettledPart{0, 10}));
  ASSERT_TRUE(exporter->write(batch(20, 40)));
  std::vector<std::uint64_t> expected = numbers(0, 60);
  expected.erase(expected.begin() + 20, expected.begin() + 30);
  EXPECT_EQ(flows(receiver_), expected);
}

TEST_F(OtlpExporterTest, WhatTheDiskDidNotKeepIsLostAndSaid) {
  std::string pattern = (std::filesystem::temp_directory_path() / "rheo-otlp-XXXXXX").string();
  auto settings = options();
  settings.spool = {.folder = std::string(::mkdtemp(pattern.data())) + "/spool", .limit = 1U << 20U};
  receiver_.answer({grpc::StatusCode::UNAVAILABLE, ""});
  {
    const auto exporter = make(settings);
    ASSERT_TRUE(exporter->open());
    ASSERT_TRUE(exporter->write(batch(2)));
    EXPECT_EQ(exporter->records_spooled(), 2U);
  }
  std::fstream(settings.spool.folder + "/0000000000000000").seekp(200).put('?').put('!');
  receiver_.answer(grpc::Status::OK);
  const auto exporter = make(settings);
  RecordLosses lost;
  exporter->count_late_losses([&](const RecordLosses& late) { lost = late; });
  ASSERT_TRUE(exporter->open());
  EXPECT_EQ(exporter->records_spooled(), 2U);
  ASSERT_TRUE(exporter->idle());
  EXPECT_THAT(exporter->take_notice(), HasSubstr("damaged on the disk; 2 records are counted as lost"));
  EXPECT_EQ(lost.records, 2U);
  EXPECT_EQ(lost.counts.packets, 2 * record_counts(tcp_record()).packets);
  EXPECT_EQ(exporter->records_spooled(), 0U);
  EXPECT_EQ(receiver_.requests().size(), 1U) << "the one before the damage";
  std::filesystem::remove_all(pattern);
}

TEST_F(OtlpExporterTest, WhatIsSpooledIsInSmallRequests) {
  std::string pattern = (std::filesystem::temp_directory_path() / "rheo-otlp-XXXXXX").string();
  auto settings = options();
  settings.max_concurrent_exports = 2;
  settings.spool = {.folder = std::string(::mkdtemp(pattern.data())) + "/spool", .limit = 16U << 20U};
  const auto exporter = make(settings);
  ASSERT_TRUE(exporter->open());
  receiver_.answer({grpc::StatusCode::UNAVAILABLE, ""});
  ASSERT_TRUE(exporter->write(batch(3'000)));
  EXPECT_EQ(exporter->records_spooled(), 3'000U);
  std::size_t settled = 0;
  for (const SettledPart& part : exporter->take_settled().value_or(std::vector<SettledPart>())) {
    EXPECT_EQ(part.begin, settled);
    settled = part.end;
  }
  EXPECT_EQ(settled, 3'000U);
  receiver_.answer(grpc::Status::OK);
  const std::size_t refused = receiver_.requests().size();
  for (int i = 0; i < 50 && exporter->records_spooled() > 0; ++i) {
    std::this_thread::sleep_for(milliseconds(100));
    ASSERT_TRUE(exporter->idle());
  }
  const auto requests = receiver_.requests();
  std::vector<std::uint64_t> ids;
  for (std::size_t i = refused; i < requests.size(); ++i) {
    EXPECT_LE(requests[i].ByteSizeLong(), 512U << 10U);
    for (const auto& span : requests[i].resource_spans(0).scope_spans(0).spans())
      ids.push_back(flow_of(span));
  }
  EXPECT_EQ(ids, numbers(0, 3'000)) << "oldest first";
  std::filesystem::remove_all(pattern);
}

}  // namespace
}  // namespace rheo::test
