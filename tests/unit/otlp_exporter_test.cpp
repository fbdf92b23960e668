// SPDX-License-Identifier: Apache-2.0
// The exporter against a receiver of its own over gRPC: what is written, what an answer makes of a batch.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "export/otlp/otlp_exporter.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.grpc.pb.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"
#include "tests/unit/otlp_spans.h"

namespace rheo::test {
namespace {

using namespace opentelemetry::proto::collector::trace::v1;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace metrics = opentelemetry::proto::collector::metrics::v1;

class MetricsReceiver final : public metrics::MetricsService::Service {
 public:
  grpc::Status Export(grpc::ServerContext* /*context*/, const metrics::ExportMetricsServiceRequest* request,
                      metrics::ExportMetricsServiceResponse* /*response*/) override {
    const std::scoped_lock lock(mutex_);
    requests_.push_back(*request);
    return grpc::Status::OK;
  }
  std::vector<metrics::ExportMetricsServiceRequest> requests() {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }

 private:
  std::mutex mutex_;
  std::vector<metrics::ExportMetricsServiceRequest> requests_;
};

class Receiver final : public TraceService::Service {
 public:
  Receiver() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    builder.RegisterService(&metrics_);
    server_ = builder.BuildAndStart();
  }
  ~Receiver() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status Export(grpc::ServerContext* context, const ExportTraceServiceRequest* request,
                      ExportTraceServiceResponse* response) override {
    const std::scoped_lock lock(mutex_);
    for (const auto& [name, value] : context->client_metadata())
      metadata_.emplace(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
    requests_.push_back(*request);
    *response = response_;
    return status_;
  }
  void answer(const grpc::Status& status, std::int64_t rejected = 0, const std::string& message = "") {
    const std::scoped_lock lock(mutex_);
    status_ = status;
    response_.Clear();
    if (rejected == 0 && message.empty()) return;
    response_.mutable_partial_success()->set_rejected_spans(rejected);
    response_.mutable_partial_success()->set_error_message(message);
  }
  std::vector<ExportTraceServiceRequest> requests() {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }
  std::string metadata(const std::string& name) {
    const std::scoped_lock lock(mutex_);
    const auto found = metadata_.find(name);
    return found == metadata_.end() ? "" : found->second;
  }
  MetricsReceiver& metrics() { return metrics_; }
  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  std::mutex mutex_;
  std::vector<ExportTraceServiceRequest> requests_;
  std::multimap<std::string, std::string> metadata_;
  ExportTraceServiceResponse response_;
  grpc::Status status_;
  MetricsReceiver metrics_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class OtlpExporterTest : public ::testing::Test {
 protected:
  OtlpExporterOptions options() {
    OtlpTransportOptions transport;
    transport.endpoint = *parse_otlp_endpoint(receiver_.endpoint(), OtlpProtocol::grpc);
    transport.timeout = milliseconds(2'000);
    transport.headers = {{"x-tenant", "blue"}};
    transport.version = "9";
    return {.encoder = encoder_options(),
            .transport = transport,
            .resource = {{"service.name", "rheo"}},
            .links = links_,
            .host = host_,
            .spool = {},
            .metering = metering_};
  }
  std::unique_ptr<OtlpExporter> make(const OtlpExporterOptions& options) {
    auto made = OtlpExporter::create(options);
    EXPECT_TRUE(made) << made.error().what;
    return made ? *std::move(made) : nullptr;
  }
  static FlowBatch batch(std::size_t count, std::uint64_t position = 0) {
    FlowBatch batch{.records = std::vector<FlowRecord>(count, tcp_record()), .first_position = position};
    for (std::size_t i = 0; i < count; ++i) batch.records[i].flow_id = position + i;
    return batch;
  }

  Receiver receiver_;
  Snapshot<LinkTable> links_{links()};
  Snapshot<Listeners> host_;
  Snapshot<MeteringCounters> metering_;
};

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
  settings.max_export_timeout = milliseconds(100);
  const auto exporter = make(settings);
  receiver_.answer({grpc::StatusCode::UNAVAILABLE, ""});
  EXPECT_EQ(exporter->write(batch(1)).error().code, std::errc::resource_unavailable_try_again);
  std::this_thread::sleep_for(milliseconds(120));
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
  ASSERT_TRUE(exporter->open());
  EXPECT_EQ(exporter->records_spooled(), 2U);
  ASSERT_TRUE(exporter->idle());
  EXPECT_THAT(exporter->take_notice(), HasSubstr("damaged on the disk; 2 records are counted as lost"));
  EXPECT_EQ(exporter->late_losses().records, 2U);
  EXPECT_EQ(exporter->late_losses().counts.packets, 2 * record_counts(tcp_record()).packets);
  EXPECT_EQ(exporter->records_spooled(), 0U);
  EXPECT_EQ(receiver_.requests().size(), 1U) << "the one before the damage";
  std::filesystem::remove_all(pattern);
}

TEST_F(OtlpExporterTest, MetricsAreTheCountersAtTheirInterval) {
  auto settings = options();
  settings.metrics_interval = milliseconds(100);
  MeteringCounters counters;
  counters.datapath.seen_packets = 5;
  counters.datapath.truncated = {.packets = 6, .bytes = 7};
  counters.table.active_flows = 8;
  counters.table.records[static_cast<int>(EndReason::rst)] = 9;
  metering_.publish(counters);
  const auto exporter = make(settings);
  ASSERT_TRUE(exporter->write(batch(1)));
  ASSERT_TRUE(exporter->idle());
  ASSERT_EQ(receiver_.metrics().requests().size(), 1U) << "not before they are due";
  std::this_thread::sleep_for(milliseconds(120));
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
}

TEST_F(OtlpExporterTest, WhatCanNeverWorkIsRefused) {
  auto settings = options();
  settings.transport.tls.client_cert = "/nowhere.pem";
  EXPECT_THAT(OtlpExporter::create(settings).error().what, HasSubstr("set both or neither"));
  settings.transport.tls.client_key = "/nowhere.key";
  EXPECT_THAT(OtlpExporter::create(settings).error().what,
              HasSubstr("tls_client_cert /nowhere.pem: No such file"));
  settings.transport.tls = {.ca_cert = RHEO_SOURCE_DIR "/README.md", .client_cert = "", .client_key = ""};
  EXPECT_THAT(OtlpExporter::create(settings).error().what, HasSubstr("not a PEM file"));
}

}  // namespace
}  // namespace rheo::test
