// SPDX-License-Identifier: Apache-2.0
// A lane between the real outbox and a real file that is rotated.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "daemon/base/clock.h"
#include "daemon/flow/outbox.h"
#include "export/json/json_exporter.h"
#include "export/lane.h"
#include "tests/unit/json_records.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

std::size_t lines_in(const fs::path& path) {
  std::ifstream file(path);
  std::size_t lines = 0;
  for (std::string line; std::getline(file, line);) ++lines;
  return lines;
}

bool wait_until_delivered(const Lane& lane) {
  for (int i = 0; i < 3'000 && lane.counters().records_pending > 0; ++i) std::this_thread::sleep_for(10ms);
  return lane.counters().records_pending == 0;
}

TEST(LaneRotation, WhatComesAfterItIsInTheNewFileAlsoWhenABatchWasFilling) {
  std::string folder = testing::TempDir() + "rheo-lane-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const fs::path path = fs::path(folder) / "flows.json";
  const fs::path rotated = fs::path(folder) / "flows.json.1";
  auto file = TableFile::open({.path = "", .max_flows = 10, .outbox_records = 1'024});
  ASSERT_TRUE(file);
  Outbox outbox(*file);
  const auto offer = [&] {
    FlowRecord record = test::tcp_record();
    record.running_sum = outbox.sum() + record_counts(record);
    outbox.put(record, outbox.head());
    outbox.wake();
  };
  Snapshot<LinkTable> links;
  Lane lane(outbox.open_cursor("lane").value(),
            std::make_unique<JsonExporter>(JsonExporterOptions{.path = path.string(), .links = links}),
            {.name = "lane", .max_batch_interval = 2s});
  offer();
  ASSERT_TRUE(wait_until_delivered(lane));

  offer();
  std::this_thread::sleep_for(100ms);  // its batch is filling
  fs::rename(path, rotated);
  lane.reopen();
  ASSERT_TRUE(wait_until_delivered(lane));
  EXPECT_EQ(lines_in(rotated), 1U);
  EXPECT_EQ(lines_in(path), 1U);
  lane.request_stop(monotonic_ns());
  fs::remove_all(folder);
}

}  // namespace
}  // namespace rheo
