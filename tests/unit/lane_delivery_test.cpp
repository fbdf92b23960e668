// SPDX-License-Identifier: Apache-2.0
// What a lane delivers, how often, when it gives up, and what it says of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "tests/unit/lane_fixture.h"

namespace rheo {
namespace {

using namespace std::chrono_literals;
using test::in;
using test::kPatience;
using test::kTooLong;
using test::LaneTest;
using test::once_within;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

Status disk_full() { return errno_error("write /x", ENOSPC); }

TEST_F(LaneTest, DeliversEverythingInOrderAndOnce) {
  box_.add(95);
  const auto lane = make_lane();
  box_.wait_until_done(95);
  EXPECT_EQ(far_.ids(), ids(95));
  EXPECT_EQ(lane->counters().records_sent, 95U);
  EXPECT_EQ(lane->counters().records_pending, 0U);
  EXPECT_EQ(lane->counters().name, "json.test");
}

TEST_F(LaneTest, FillsABatchUpToItsSize) {
  options_.max_batch_interval = kTooLong;
  const auto lane = make_lane();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(far_.tries(), 0) << "written before the batch was full";
    box_.add(1);
    std::this_thread::sleep_for(10ms);
  }
  box_.wait_until_done(10);
  EXPECT_THAT(far_.batches, ElementsAre(10));
}

TEST_F(LaneTest, ABatchWaitsNoLongerThanTheInterval) {
  options_.max_batch_interval = 200ms;
  const auto lane = make_lane();
  std::uint64_t added = 0;
  EXPECT_TRUE(once_within(1s, [&] {
    const std::uint64_t begin = monotonic_ns();
    box_.add(3);
    box_.wait_until_done(added += 3);
    EXPECT_GE(monotonic_ns() - begin, 200'000'000U);
  }));
  EXPECT_THAT(far_.batches, Each(3));
}

TEST_F(LaneTest, AFailedBatchIsOfferedAgainAndToldOnce) {
  far_.answer = [](int write) -> Status { return write <= 4 ? disk_full() : Status(Done{}); };
  box_.add(10);
  testing::internal::CaptureStderr();
  auto lane = make_lane();
  box_.wait_until_done(10);
  EXPECT_EQ(lane->counters().writes_failed, 4U);
  lane.reset();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(log,
            "rheod: json.test: write /x: No space left on device, trying again in 20 ms; "
            "records wait in the outbox\n"
            "rheod: json.test: writing again; 0 records are waiting\n");
  EXPECT_EQ(far_.ids(), ids(10));
}

TEST_F(LaneTest, AnIdleExporterIsAskedAndItsFailureToldOnce) {
  far_.idle_answer = [](int idle) -> Status { return idle <= 2 ? disk_full() : Status(Done{}); };
  box_.losses.records = 7;
  testing::internal::CaptureStderr();
  auto lane = make_lane();
  const auto idles = [this] {
    const std::scoped_lock lock(far_.mutex);
    return far_.idles;
  };
  for (int i = 0; i < 1'000 && idles() < 3; ++i) std::this_thread::sleep_for(10ms);
  box_.add(10);
  box_.wait_until_done(10);
  lane.reset();
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "rheod: json.test: write /x: No space left on device, trying again in 20 ms; "
            "records wait in the outbox\n"
            "rheod: json.test: writing again; 0 records are waiting\n");
  EXPECT_EQ(far_.lost_noted, 7U);
  EXPECT_EQ(far_.ids(), ids(10));
}

TEST_F(LaneTest, BacksOffLongerAndLonger) {
  far_.answer = [](int) { return disk_full(); };
  box_.add(1);
  const std::uint64_t begin = monotonic_ns();
  const auto lane = make_lane();
  while (far_.tries() < 9) std::this_thread::sleep_for(1ms);
  // 20 + 40 + 6 · 80 ms, each up to a quarter less; at the fixed first pace 160 ms, without a longest pace 5
  // s.
  EXPECT_GE(monotonic_ns() - begin, 400'000'000U);
}

TEST_F(LaneTest, TheFarSidesWishGoesBeforeThePace) {
  std::vector<std::uint64_t> tried_ns;
  far_.answer = [&](int write) -> Status {
    tried_ns.push_back(monotonic_ns());
    return write <= 2 ? disk_full() : Done{};
  };
  far_.retry_after = 300ms;
  box_.add(1);
  const auto lane = make_lane();
  box_.wait_until_done(1);
  ASSERT_EQ(tried_ns.size(), 3U);
  EXPECT_GE(tried_ns[1] - tried_ns[0], 300'000'000U);
  EXPECT_GE(tried_ns[2] - tried_ns[1], 300'000'000U);
}

TEST_F(LaneTest, WhatTheFarSideSaysIsLoggedAndCounted) {
  far_.notice = "some were not kept";
  box_.add(1);
  ::testing::internal::CaptureStderr();
  const auto lane = make_lane();
  box_.wait_until_done(1);
  box_.add(1);
  box_.wait_until_done(2);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(said, "rheod: json.test: some were not kept\n");
  EXPECT_EQ(lane->counters().records_rejected, 7U);
}

TEST_F(LaneTest, PartsOfABatchAreSettledWhateverBecomesOfTheRest) {
  far_.answer = [this](int write) -> Status {
    if (write == 1)
      far_.settled =
          std::vector<SettledPart>{{.begin = 0, .end = 2}, {.begin = 2, .end = 5, .given_up = true}};
    if (write == 2) far_.settled.emplace();  // nothing, and yet no failure
    return write == 1 ? disk_full() : Status(Done{});
  };
  box_.add(10);
  const auto lane = make_lane();
  box_.wait_until_done(10);
  EXPECT_EQ(far_.ids(), std::vector<std::uint64_t>({5, 6, 7, 8, 9, 5, 6, 7, 8, 9})) << "what is not settled";
  EXPECT_EQ(lane->counters().records_sent, 7U);
  EXPECT_EQ(lane->counters().records_lost, 3U);
  EXPECT_EQ(lane->counters().writes_failed, 1U);
}

TEST_F(LaneTest, TakesSeveralBatchesAtOnceWhereTheyWait) {
  options_.batches_at_once = 3;
  box_.add(70);
  const auto lane = make_lane();
  box_.wait_until_done(70);
  EXPECT_THAT(far_.batches, ElementsAre(30, 30, 10));
}

TEST_F(LaneTest, WhatIsLostLateIsCounted) {
  far_.late_losses = 4;
  box_.add(1);
  const auto lane = make_lane();
  box_.wait_until_done(1);
  EXPECT_EQ(lane->counters().records_lost, 4U);
}

TEST_F(LaneTest, AStopEmptiesWhatIsLeft) {
  options_.max_batch_interval = kTooLong;
  box_.add(25);
  const auto lane = make_lane();
  const std::uint64_t deadline = in(kTooLong);
  lane->request_stop(deadline);
  expect_ends(*lane);
  EXPECT_EQ(far_.end_ns, deadline) << "the exporter is told";
  EXPECT_EQ(far_.ids(), ids(25));
  EXPECT_EQ(box_.done(), 25U);
}

TEST_F(LaneTest, AStopInterruptsTheWaitForRecords) {
  const auto lane = make_lane();
  std::this_thread::sleep_for(50ms);
  lane->request_stop(in(kTooLong));
  expect_ends(*lane);
}

TEST_F(LaneTest, AStopEndsTheBackOffForAnotherTry) {
  options_.first_retry = options_.longest_retry = kTooLong;
  far_.answer = [](int write) -> Status { return write == 1 ? disk_full() : Status(Done{}); };
  box_.add(10);
  const auto lane = make_lane();
  while (far_.tries() < 1) std::this_thread::sleep_for(1ms);
  lane->request_stop(in(kTooLong));
  expect_ends(*lane);
  EXPECT_EQ(far_.ids(), ids(10));
}

TEST_F(LaneTest, AFailingLaneEndsAtTheDeadline) {
  far_.answer = [](int) { return disk_full(); };
  box_.add(10);
  const auto lane = make_lane();
  while (far_.tries() < 1) std::this_thread::sleep_for(1ms);
  const std::uint64_t deadline = in(200ms);
  lane->request_stop(deadline);
  std::this_thread::sleep_for(100ms);
  const bool finished = lane->finished();
  EXPECT_TRUE(!finished || monotonic_ns() > deadline) << "there was time for another try";
  expect_ends(*lane);
  EXPECT_EQ(box_.done(), 0U) << "records that were not sent stay in the outbox";
}

TEST_F(LaneTest, WithoutAStopTheDestructorEndsIt) {
  options_.first_retry = kTooLong;
  far_.answer = [](int) { return disk_full(); };
  box_.add(10);
  auto lane = make_lane();
  while (far_.tries() < 1) std::this_thread::sleep_for(1ms);
  const std::uint64_t begin = monotonic_ns();
  lane.reset();
  EXPECT_LT(std::chrono::nanoseconds(monotonic_ns() - begin), kPatience);
}

TEST_F(LaneTest, ABlockedExporterBlocksNobodyElse) {
  std::mutex gate;
  gate.lock();
  far_.answer = [&](int) -> Status {
    const std::scoped_lock wait(gate);
    return Done{};
  };
  box_.add(10);
  const auto lane = make_lane();
  std::this_thread::sleep_for(100ms);
  box_.add(20);
  EXPECT_EQ(lane->counters().records_pending, 30U);
  lane->reopen();
  EXPECT_EQ(far_.reopens, 1);
  gate.unlock();
  box_.wait_until_done(30);
  EXPECT_EQ(far_.ids(), ids(30));
}

TEST_F(LaneTest, ALossIsToldWhenItBeginsAndWhenItEnds) {
  std::atomic<bool> failing = true;
  far_.answer = [&](int) -> Status { return failing ? disk_full() : Status(Done{}); };
  options_.first_retry = options_.longest_retry = 100ms;
  box_.add(30);
  testing::internal::CaptureStderr();
  auto lane = make_lane();
  while (far_.tries() < 1) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(20ms);
  box_.overtake(12);
  while (far_.tries() < 2) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(20ms);
  box_.overtake(15);
  failing = false;
  box_.wait_until_done(30);
  std::this_thread::sleep_for(2'500ms);  // an idle lane looks once a second
  lane->request_stop(in(1s));
  EXPECT_EQ(lane->counters().records_lost, 15U);
  lane.reset();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("json.test: records are being lost, the oldest first; each is counted\n"));
  EXPECT_THAT(log,
              HasSubstr("json.test: no more records are being lost; lost were 15 records of 30 packets"));
  EXPECT_EQ(std::ranges::count(log, '\n'), 4) << log;
}

TEST_F(LaneTest, WhatIsRefusedForGoodIsGivenUpAndCounted) {
  far_.answer = [](int write) -> Status {
    return write == 1 ? failure("collector: too large", std::errc::bad_message) : Status(Done{});
  };
  box_.add(20);
  testing::internal::CaptureStderr();
  auto lane = make_lane();
  box_.wait_until_done(20);
  EXPECT_EQ(lane->counters().records_lost, 10U);
  EXPECT_EQ(lane->counters().records_sent, 10U);
  lane.reset();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("10 records are refused for good"));
  EXPECT_EQ(far_.ids().front(), 10U);
}

TEST_F(LaneTest, ANewFilesMarkIsStoredBeforeAnythingIsWrittenThere) {
  far_.mark = {.device = 1, .inode = 2, .offset = 300};
  FileMark stored_at_write;
  far_.answer = [&](int) -> Status {
    const std::scoped_lock lock(box_.mutex);
    stored_at_write = box_.mark;
    EXPECT_EQ(box_.acknowledged, 0U);
    return Done{};
  };
  box_.add(5);
  const auto lane = make_lane();
  box_.wait_until_done(5);
  EXPECT_EQ(stored_at_write, far_.mark);
  EXPECT_THAT(box_.acknowledgements, ElementsAre(0, 5));
}

TEST_F(LaneTest, ResumesAtTheMarkAndNotBeforeThatWorked) {
  box_.mark = far_.mark = {.device = 1, .inode = 2, .offset = 300};
  far_.resume_answer = [](int resume) -> Status { return resume <= 2 ? disk_full() : Status(Done{}); };
  box_.add(5);
  testing::internal::CaptureStderr();
  auto lane = make_lane();
  box_.wait_until_done(5);
  EXPECT_EQ(far_.resumed, box_.mark);
  EXPECT_EQ(far_.resumes, 3);
  lane.reset();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("trying again"));
}

}  // namespace
}  // namespace rheo
