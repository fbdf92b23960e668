// SPDX-License-Identifier: Apache-2.0
// The exporter against a receiver of its own over gRPC: what is written, what an answer makes of a batch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "tests/unit/otlp_exporter_fixture.h"

namespace rheo::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::map<std::string, AnyValue> resource_of(const ExportTraceServiceRequest& request) {
  std::map<std::string, AnyValue> attributes;
  for (const auto& one : request.resource_spans(0).resource().attributes())
    attributes[one.key()] = one.value();
  return attributes;
}

TEST_F(OtlpExporterTest, ABatchIsARequest) {
  const auto exporter = make(options());
  ASSERT_TRUE(exporter->write(batch(3)));
  ASSERT_TRUE(exporter->write(batch(2, 3)));
  const auto requests = receiver_.requests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].resource_spans(0).scope_spans(0).spans_size(), 3);
  EXPECT_EQ(requests[1].resource_spans(0).scope_spans(0).spans_size(), 2);
  EXPECT_EQ(resource_of(requests[0]).at("service.name").string_value(), "rheo");
  EXPECT_EQ(receiver_.metadata("x-tenant"), "blue");
  EXPECT_THAT(receiver_.metadata("user-agent"), HasSubstr("rheo/9"));
}

TEST_F(OtlpExporterTest, TheResourceHasTheHostsAddressesOfNow) {
  const auto exporter = make(options());
  ASSERT_TRUE(exporter->write(batch(1)));
  Listeners host;
  host.local_addresses = {address("127.0.0.1"), address("192.0.2.7"),   address("fe80::1"),
                          address("::1"),       address("2001:db8::7"), address("169.254.1.1")};
  host_.publish(host);
  ASSERT_TRUE(exporter->write(batch(1, 1)));
  const auto requests = receiver_.requests();
  EXPECT_FALSE(resource_of(requests[0]).contains("host.ip"));
  std::vector<std::string> addresses;
  const AnyValue ips = resource_of(requests[1]).at("host.ip");
  for (const auto& value : ips.array_value().values()) addresses.push_back(value.string_value());
  EXPECT_THAT(addresses, ElementsAre("192.0.2.7", "2001:db8::7"));
}

TEST_F(OtlpExporterTest, WhatIsOfferedAgainHasTheSameSpanIds) {
  const auto exporter = make(options());
  receiver_.answer({grpc::StatusCode::UNAVAILABLE, "later"});
  const Status failed = exporter->write(batch(2));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, std::errc::resource_unavailable_try_again);
  EXPECT_THAT(failed.error().what,
              HasSubstr("send 2 spans to " + receiver_.endpoint() + ": UNAVAILABLE (later)"));
  receiver_.answer(grpc::Status::OK);
  ASSERT_TRUE(exporter->write(batch(2)));
  const auto requests = receiver_.requests();
  EXPECT_EQ(requests[0].SerializeAsString(), requests[1].SerializeAsString());
}

TEST_F(OtlpExporterTest, ARefusalIsForGood) {
  const auto exporter = make(options());
  receiver_.answer({grpc::StatusCode::INVALID_ARGUMENT, "no"});
  EXPECT_EQ(exporter->write(batch(1)).error().code, std::errc::bad_message);
}

TEST_F(OtlpExporterTest, NobodyThereIsTriedAgain) {
  auto settings = options();
  settings.transport.endpoint.port = 1;  // nobody
  const auto exporter = make(settings);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(exporter->write(batch(1)).error().code, std::errc::resource_unavailable_try_again);
}

TEST_F(OtlpExporterTest, TheMaxExportTimeoutGivesABatchUp) {
  auto settings = options();
  settings.max_export_timeout = milliseconds(3'000);  // more than a connection takes on a busy machine
  const auto exporter = make(settings);
  receiver_.answer({grpc::StatusCode::UNAVAILABLE, ""});
  EXPECT_EQ(exporter->write(batch(1)).error().code, std::errc::resource_unavailable_try_again);
  std::this_thread::sleep_for(settings.max_export_timeout);
  const Status given_up = exporter->write(batch(1));
  EXPECT_EQ(given_up.error().code, std::errc::bad_message);
  EXPECT_THAT(given_up.error().what, HasSubstr("max_export_timeout"));
  EXPECT_EQ(exporter->write(batch(1, 1)).error().code, std::errc::resource_unavailable_try_again)
      << "the next batch has its own time";
}

TEST_F(OtlpExporterTest, APartialSuccessIsCountedAndToldOncePerCause) {
  const auto exporter = make(options());
  receiver_.answer(grpc::Status::OK, 2, "too old");
  ASSERT_TRUE(exporter->write(batch(5)));
  EXPECT_THAT(exporter->take_notice(), HasSubstr("did not keep 2 of the spans: too old"));
  EXPECT_EQ(exporter->take_notice(), "");
  ASSERT_TRUE(exporter->write(batch(5, 5)));
  EXPECT_EQ(exporter->take_notice(), "");
  EXPECT_EQ(exporter->records_rejected(), 4U);
  receiver_.answer(grpc::Status::OK, 1'000'000, "another");
  ASSERT_TRUE(exporter->write(batch(5, 10)));
  EXPECT_THAT(exporter->take_notice(), HasSubstr("another"));
  EXPECT_EQ(exporter->records_rejected(), 9U) << "no more than there were";
  receiver_.answer(grpc::Status::OK, 0, "a warning");
  ASSERT_TRUE(exporter->write(batch(5, 15)));
  EXPECT_THAT(exporter->take_notice(), HasSubstr("warns: a warning"));
  EXPECT_EQ(exporter->records_rejected(), 9U);
}

TEST_F(OtlpExporterTest, MetricsAreTheCountersAtTheirInterval) {
  auto settings = options();
  settings.metrics_interval = milliseconds(2'000);
  MeteringCounters counters;
  counters.datapath.seen_packets = 5;
  counters.datapath.truncated = {.packets = 6, .bytes = 7};
  counters.table.active_flows = 8;
  counters.table.records[static_cast<int>(EndReason::rst)] = 9;
  counters.lanes = {{.name = "json.a", .records_sent = 10},
                    {.name = "otlp.b",
                     .records_sent = 11,
                     .writes_failed = 12,
                     .records_pending = 13,
                     .records_lost = 14,
                     .records_rejected = 15,
                     .records_spooled = 16,
                     .lost = {17, 18, 19}}};
  metering_.publish(counters);
  const auto exporter = make(settings);
  ASSERT_TRUE(exporter->write(batch(1)));
  ASSERT_TRUE(exporter->idle());
  ASSERT_EQ(receiver_.metrics().requests().size(), 1U) << "not before they are due";
  std::this_thread::sleep_for(settings.metrics_interval);
  ASSERT_TRUE(exporter->idle());
  const auto requests = receiver_.metrics().requests();
  ASSERT_EQ(requests.size(), 2U);
  const auto& scope = requests[0].resource_metrics(0).scope_metrics(0);
  EXPECT_EQ(scope.scope().name(), "rheo");
  EXPECT_EQ(requests[0].resource_metrics(0).resource().attributes(0).key(), "service.name");
  std::map<std::string, opentelemetry::proto::metrics::v1::Metric> all;
  for (const auto& metric : scope.metrics())
    EXPECT_TRUE(all.emplace(metric.name(), metric).second) << metric.name();
  EXPECT_EQ(all.at("rheo.datapath.seen_packets").sum().data_points(0).as_int(), 5);
  EXPECT_EQ(all.at("rheo.datapath.seen_packets").unit(), "{packet}");
  EXPECT_TRUE(all.at("rheo.datapath.seen_packets").sum().is_monotonic());
  EXPECT_EQ(all.at("rheo.datapath.seen_packets").sum().aggregation_temporality(), 2);
  EXPECT_EQ(all.at("rheo.datapath.truncated.packets").sum().data_points(0).as_int(), 6);
  EXPECT_EQ(all.at("rheo.datapath.truncated.bytes").sum().data_points(0).as_int(), 7);
  EXPECT_EQ(all.at("rheo.table.active_flows").gauge().data_points(0).as_int(), 8);
  EXPECT_GT(all.at("rheo.table.active_flows").gauge().data_points(0).time_unix_nano(),
            1'700'000'000'000'000'000U);
  const auto& records = all.at("rheo.table.records").sum().data_points(3);
  EXPECT_EQ(records.as_int(), 9);
  EXPECT_EQ(records.attributes(0).value().string_value(), "rst");
  EXPECT_EQ(all.at("rheo.lane.records_sent").sum().data_points(0).as_int(), 10);
  const auto of_lane = [&](const std::string& name) {
    const auto& metric = all.at("rheo.lane." + name);
    const auto& point = metric.has_sum() ? metric.sum().data_points(1) : metric.gauge().data_points(1);
    EXPECT_EQ(point.attributes(0).key(), "exporter");
    EXPECT_EQ(point.attributes(0).value().string_value(), "otlp.b");
    return point.as_int();
  };
  EXPECT_EQ(of_lane("records_sent"), 11);
  EXPECT_EQ(of_lane("writes_failed"), 12);
  EXPECT_EQ(of_lane("records_pending"), 13);
  EXPECT_EQ(of_lane("records_lost"), 14);
  EXPECT_EQ(of_lane("records_rejected"), 15);
  EXPECT_EQ(of_lane("records_spooled"), 16);
  EXPECT_EQ(of_lane("lost.packets"), 17);
  EXPECT_EQ(of_lane("lost.l3_bytes"), 18);
  EXPECT_EQ(of_lane("lost.l2_bytes"), 19);
  EXPECT_TRUE(all.at("rheo.lane.records_pending").has_gauge());
}

TEST_F(OtlpExporterTest, WhatCanNeverWorkIsRefused) {
  auto settings = options();
  settings.transport.tls.client_cert = "/nowhere.pem";
  EXPECT_THAT(OtlpExporter::create(settings).error().what, HasSubstr("set both or neither"));
  settings.transport.tls.client_key = "/nowhere.key";
  EXPECT_THAT(OtlpExporter::create(settings).error().what,
              HasSubstr("tls.client_cert /nowhere.pem: No such file"));
  settings.transport.tls = {.ca_cert = RHEO_SOURCE_DIR "/README.md", .client_cert = "", .client_key = ""};
  EXPECT_THAT(OtlpExporter::create(settings).error().what, HasSubstr("not a PEM file"));
}

}  // namespace
}  // namespace rheo::test
