// SPDX-License-Identifier: Apache-2.0
// An OTLP exporter and a receiver of its own over gRPC, which answers as it is told.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "export/otlp/otlp_exporter.h"
#include "opentelemetry/proto/collector/metrics/v1/metrics_service.grpc.pb.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"
#include "tests/unit/otlp_spans.h"
#include "tests/unit/patience.h"

namespace rheo::test {
using namespace opentelemetry::proto::collector::trace::v1;
using std::chrono::milliseconds;

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
  /// `most`: octets of a message.
  explicit Receiver(int most = 4 << 20) {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(most);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    builder.RegisterService(&metrics_);
    server_ = builder.BuildAndStart();
  }
  ~Receiver() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status Export(grpc::ServerContext* context, const ExportTraceServiceRequest* request,
                      ExportTraceServiceResponse* response) override {
    if (const grpc::Status decided = decide(*request); !decided.ok()) return decided;
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
  /// Asked of every request, by the threads that take them, before all else.
  std::function<grpc::Status(const ExportTraceServiceRequest&)> decide =
      [](const ExportTraceServiceRequest&) { return grpc::Status::OK; };
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

inline std::uint64_t flow_of(const opentelemetry::proto::trace::v1::Span& span) {
  return std::stoull(attributes_of(span).at("flow.id").string_value(), nullptr, 16);
}

class OtlpExporterTest : public ::testing::Test {
 protected:
  OtlpExporterOptions options() {
    OtlpTransportOptions transport;
    transport.endpoint = *parse_otlp_endpoint(receiver_.endpoint(), OtlpProtocol::grpc);
    transport.timeout = kPatience;
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

  /// Of all the spans that the receiver took, in the order of the records.
  static std::vector<std::uint64_t> flows(Receiver& receiver) {
    std::vector<std::uint64_t> ids;
    for (const auto& request : receiver.requests())
      for (const auto& span : request.resource_spans(0).scope_spans(0).spans()) ids.push_back(flow_of(span));
    std::ranges::sort(ids);
    return ids;
  }
  static std::vector<std::uint64_t> numbers(std::uint64_t begin, std::uint64_t end) {
    std::vector<std::uint64_t> all(end - begin);
    std::iota(all.begin(), all.end(), begin);
    return all;
  }

  Receiver receiver_;
  Snapshot<LinkTable> links_{links()};
  Snapshot<Listeners> host_;
  Snapshot<MeteringCounters> metering_;
};

}  // namespace rheo::test
