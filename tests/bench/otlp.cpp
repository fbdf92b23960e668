// SPDX-License-Identifier: Apache-2.0
// bench_otlp [--short]: spans a second that one core encodes, beside the same message built and serialized by
// protobuf on an arena, interleaved in one run; then encoded and sent to a receiver on loopback; bytes a
// span.
#include <fmt/core.h>
#include <grpcpp/grpcpp.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "export/otlp/resource.h"
#include "export/otlp/span_encoder.h"
#include "export/otlp/transport.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"
#include "tests/bench/otlp_sink.h"
#include "tests/tools/server_record.h"

namespace rheo {
namespace {

using namespace opentelemetry::proto::collector::trace::v1;

constexpr std::size_t kBatch = 1'024;

/// Takes the octets unread, so that what is measured is the sender.
class GrpcSink final : public TraceService::WithRawCallbackMethod_Export<TraceService::Service> {
  grpc::ServerUnaryReactor* Export(grpc::CallbackServerContext* context, const grpc::ByteBuffer*,
                                   grpc::ByteBuffer* response) override {
    const grpc::Slice empty("");
    *response = grpc::ByteBuffer(&empty, 1);
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

std::vector<FlowRecord> make_records() {
  std::vector<FlowRecord> records(kBatch);
  for (std::size_t i = 0; i < records.size(); ++i)
    records[i] = testing::server_record(i, (i * 0x9e3779b97f4a7c15U) >> 40U & 1U);
  return records;
}

double median(std::vector<double>& values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Builds the message anew as a program would that has the values, and serializes it: copying a parsed one
/// costs no more than setting each attribute, so the baseline is flattered.
std::size_t baseline(const ExportTraceServiceRequest& parsed, std::string& out) {
  google::protobuf::Arena arena;
  auto* const request = google::protobuf::Arena::CreateMessage<ExportTraceServiceRequest>(&arena);
  request->CopyFrom(parsed);
  out.clear();
  request->AppendToString(&out);
  return out.size();
}

struct Encoded {
  double ns = 0;
  double baseline_ns = 0;
  double bytes = 0;
  double attributes = 0;
};

struct Bench {
  std::vector<FlowRecord> records = make_records();
  LinkTable links = {{2, {.index = 2, .name = "eth0", .kind = "", .mac = {2, 0, 0, 0, 0, 1}}}};
  Listeners host = {.sockets = {}, .local_addresses = {records[0].destination}, .ephemeral_ports = {}};
  std::string resource = encode_resource({{"service.name", "rheo"}, {"host.name", "bench"}});
  std::deque<SpanEncoder> encoders;  // for the requests that are under way at once

  std::span<const std::byte> encode(std::size_t which = 0) {
    while (encoders.size() <= which)
      encoders.emplace_back(SpanEncoderOptions{
          .version = "0", .host_key = 1, .bucket_ns = 60'000'000'000, .community_id_seed = 0});
    return encoders[which].encode(records, {.links = links, .host = host, .resource = resource});
  }
};

Encoded measure_encoding(Bench& bench, int rounds) {
  ExportTraceServiceRequest parsed;
  const auto first = bench.encode();
  parsed.ParseFromArray(first.data(), static_cast<int>(first.size()));
  const auto& spans = parsed.resource_spans(0).scope_spans(0).spans();
  Encoded result{.bytes = static_cast<double>(first.size()) / kBatch};
  for (const auto& span : spans) result.attributes += span.attributes_size();
  result.attributes /= kBatch;
  std::vector<double> ours;
  std::vector<double> theirs;
  std::string out;
  for (int round = 0; round < rounds; ++round) {
    const std::uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    bench.encode();
    const std::uint64_t middle = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    baseline(parsed, out);
    const std::uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    ours.push_back(static_cast<double>(middle - begin) / kBatch);
    theirs.push_back(static_cast<double>(end - middle) / kBatch);
  }
  result.ns = median(ours);
  result.baseline_ns = median(theirs);
  return result;
}

struct Way {
  const char* name;
  OtlpProtocol protocol;
  bool gzip;
  std::uint16_t port;
  std::size_t at_once = 1;  // requests
  double spans_per_second = 0;
};

/// Encodes and sends; all requests that are under way at once are answered before the next. False: one was
/// not taken.
bool measure_sending(Bench& bench, Way& way, std::uint64_t milliseconds) {
  OtlpTransportOptions options;
  options.endpoint = {.tls = false, .host = "127.0.0.1", .port = way.port, .path = "", .text = ""};
  options.protocol = way.protocol;
  options.gzip = way.gzip;
  auto transport = make_otlp_transport(options);
  if (!transport) return false;
  std::size_t sent = 0;
  std::vector<OtlpRequest> requests(way.at_once);
  const std::uint64_t begin = monotonic_ns();
  std::uint64_t now = begin;
  for (; now - begin < milliseconds * 1'000'000; now = monotonic_ns(), sent += requests.size()) {
    for (std::size_t i = 0; i < requests.size(); ++i) requests[i] = bench.encode(i);
    for (const OtlpAnswer& answer : (*transport)->send_all(OtlpSignal::traces, requests)) {
      if (answer.verdict == OtlpVerdict::taken) continue;
      fmt::print(stderr, "bench_otlp: {}: {}\n", way.name, answer.what);
      return false;
    }
  }
  way.spans_per_second = static_cast<double>(sent * kBatch) * 1e9 / static_cast<double>(now - begin);
  return true;
}

/// As the transport compresses: as fast as possible.
double gzip_bytes(std::span<const std::byte> request) {
  uLongf size = ::compressBound(request.size());
  std::string out(size, '\0');
  ::compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(request.data()),
              request.size(), Z_BEST_SPEED);
  return static_cast<double>(size);
}

int run(bool is_short) {
  Bench bench;
  const Encoded encoded = measure_encoding(bench, is_short ? 50 : 1'000);
  GrpcSink service;
  grpc::ServerBuilder builder;
  int grpc_port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &grpc_port);
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  const testing::HttpSink sink;
  const auto port = static_cast<std::uint16_t>(grpc_port);
  Way ways[] = {{"grpc", OtlpProtocol::grpc, false, port},
                {"grpc_gzip", OtlpProtocol::grpc, true, port},
                {"grpc_4_at_once", OtlpProtocol::grpc, false, port, 4},
                {"http", OtlpProtocol::http_protobuf, false, sink.port()},
                {"http_gzip", OtlpProtocol::http_protobuf, true, sink.port()}};
  for (Way& way : ways)
    if (!measure_sending(bench, way, is_short ? 300 : 3'000)) return 1;
  const double compressed = gzip_bytes(bench.encode()) / kBatch;

  fmt::print("{:.1f} attributes a span, {} spans a request\n", encoded.attributes, kBatch);
  fmt::print("{:<28} {:>12} {:>16}\n", "", "ns a span", "spans a second");
  fmt::print("{:<28} {:>12.0f} {:>16.0f}\n", "encoded", encoded.ns, 1e9 / encoded.ns);
  fmt::print("{:<28} {:>12.0f} {:>16.0f}\n", "protobuf on an arena", encoded.baseline_ns,
             1e9 / encoded.baseline_ns);
  for (const Way& way : ways)
    fmt::print("{:<28} {:>12.0f} {:>16.0f}\n", fmt::format("encoded and sent, {}", way.name),
               1e9 / way.spans_per_second, way.spans_per_second);
  fmt::print("bytes a span: {:.0f}, with gzip {:.0f}\n", encoded.bytes, compressed);
  fmt::print(
      "{{\"attributes\":{:.1f},\"encode_spans_per_second\":{:.0f},\"baseline_spans_per_second\":{:.0f},"
      "\"bytes_per_span\":{:.0f},\"gzip_bytes_per_span\":{:.0f}",
      encoded.attributes, 1e9 / encoded.ns, 1e9 / encoded.baseline_ns, encoded.bytes, compressed);
  for (const Way& way : ways) fmt::print(",\"{}_spans_per_second\":{:.0f}", way.name, way.spans_per_second);
  fmt::print("}}\n");
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

}  // namespace
}  // namespace rheo

int main(int argc, char* argv[]) { return rheo::run(argc > 1 && std::strcmp(argv[1], "--short") == 0); }
