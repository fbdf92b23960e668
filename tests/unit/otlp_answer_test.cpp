// SPDX-License-Identifier: Apache-2.0
// What a receiver's answer means, by the table of the OTLP specification; hostile answers; and endpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "export/otlp/answer.h"
#include "export/otlp/endpoint.h"
#include "export/otlp/wire.h"
#include "google/rpc/status.pb.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"

namespace rheo {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

std::string with_retry_info(std::int64_t whole_seconds, int nanos) {
  google::rpc::Status status;
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(whole_seconds);
  info.mutable_retry_delay()->set_nanos(nanos);
  status.add_details()->PackFrom(google::rpc::Status());  // something else first
  status.add_details()->PackFrom(info);
  return status.SerializeAsString();
}

TEST(GrpcAnswer, IsRetriedAsTheSpecificationSays) {
  // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
  const std::set<int> retryable = {1, 4, 10, 11, 14, 15};
  for (int code = 1; code <= 20; ++code) {
    const OtlpAnswer answer = grpc_answer(code, "", "");
    EXPECT_EQ(answer.verdict, retryable.contains(code) ? OtlpVerdict::retry : OtlpVerdict::refused) << code;
    EXPECT_EQ(answer.retry_after.count(), 0);
  }
  EXPECT_EQ(grpc_answer(8, "", with_retry_info(0, 0)).verdict, OtlpVerdict::retry);
  EXPECT_EQ(grpc_answer(3, "", with_retry_info(1, 0)).verdict, OtlpVerdict::refused);
}

// As grpc, grpc-go and grpc-java say it.
TEST(GrpcAnswer, KnowsAMessageThatIsTooLarge) {
  for (const char* message : {"Received message larger than max (5000000 vs. 4194304)",
                              "grpc: received message larger than max (5000000 vs. 4194304)",
                              "gRPC message exceeds maximum size 4194304: 5000000"}) {
    EXPECT_EQ(grpc_answer(8, message, "").verdict, OtlpVerdict::too_large);
    EXPECT_EQ(grpc_answer(8, message, with_retry_info(1, 0)).verdict, OtlpVerdict::retry);
    EXPECT_EQ(grpc_answer(3, message, "").verdict, OtlpVerdict::refused);
  }
  EXPECT_EQ(grpc_answer(8, "quota", "").verdict, OtlpVerdict::refused);
}

TEST(GrpcAnswer, HonoursRetryInfoWithinReason) {
  EXPECT_EQ(grpc_answer(14, "", with_retry_info(2, 500'000'000)).retry_after, milliseconds(2'500));
  EXPECT_EQ(grpc_answer(8, "", with_retry_info(0, 1)).retry_after, nanoseconds(1));
  EXPECT_EQ(grpc_answer(14, "", with_retry_info(INT64_MAX, 5)).retry_after, kLongestRetryAfter);
  EXPECT_EQ(grpc_answer(14, "", with_retry_info(-5, 0)).retry_after, nanoseconds(0));
  EXPECT_EQ(grpc_answer(14, "", with_retry_info(1, -5)).retry_after, nanoseconds(0));
}

TEST(GrpcAnswer, SaysCodeAndMessagePrintably) {
  EXPECT_EQ(grpc_answer(14, "come back", "").what, "UNAVAILABLE (come back)");
  EXPECT_EQ(grpc_answer(99, "", "").what, "99");
  const OtlpAnswer answer = grpc_answer(3, "\x1b[31m" + std::string(5'000, 'x'), "");
  EXPECT_LT(answer.what.size(), 250U);
  EXPECT_EQ(answer.what.find('\x1b'), std::string::npos);
}

TEST(HttpAnswer, IsRetriedAsTheSpecificationSays) {
  const std::set<int> retryable = {429, 502, 503, 504};
  EXPECT_EQ(http_answer(413, "", "", 0).verdict, OtlpVerdict::too_large);
  for (const int status : {301, 400, 401, 403, 404, 408, 429, 500, 501, 502, 503, 504, 505})
    EXPECT_EQ(http_answer(status, "", "", 0).verdict,
              retryable.contains(status) ? OtlpVerdict::retry : OtlpVerdict::refused)
        << status;
}

TEST(HttpAnswer, HonoursRetryAfterWithinReason) {
  const auto after = [](const char* header) { return http_answer(503, "", header, 784'111'777).retry_after; };
  EXPECT_EQ(after("7"), seconds(7));
  EXPECT_EQ(after("Sun, 06 Nov 1994 08:49:47 GMT"), seconds(10));
  EXPECT_EQ(after("Sun, 06 Nov 1994 08:49:37 GMT"), seconds(0));
  EXPECT_EQ(after("Sun, 06 Nov 1993 08:49:37 GMT"), seconds(0));
  EXPECT_EQ(after("Sun, 06 Nov 2094 08:49:37 GMT"), kLongestRetryAfter);
  EXPECT_EQ(after("99999999999999999999"), seconds(0));
  EXPECT_EQ(after("9999999999"), kLongestRetryAfter);
  for (const char* nonsense : {"", "-1", "soon", "7 days", "Sun, 06 Nov 1994"})
    EXPECT_EQ(after(nonsense), seconds(0));
  EXPECT_EQ(http_answer(400, "", "7", 0).retry_after, seconds(0));
}

TEST(HttpAnswer, SaysStatusAndMessage) {
  google::rpc::Status status;
  status.set_message("too \n big");
  EXPECT_EQ(http_answer(413, status.SerializeAsString(), "", 0).what, "HTTP status 413 (too ? big)");
  EXPECT_EQ(http_answer(404, "<html>not found</html>", "", 0).what, "HTTP status 404");
}

TEST(TakenAnswer, TellsOfAPartialSuccess) {
  opentelemetry::proto::collector::trace::v1::ExportTraceServiceResponse response;
  EXPECT_EQ(taken_answer(response.SerializeAsString()).rejected, 0U);
  response.mutable_partial_success()->set_rejected_spans(7);
  response.mutable_partial_success()->set_error_message("no\nway");
  const OtlpAnswer answer = taken_answer(response.SerializeAsString());
  EXPECT_EQ(answer.verdict, OtlpVerdict::taken);
  EXPECT_EQ(answer.rejected, 7U);
  EXPECT_EQ(answer.what, "no?way");
  response.mutable_partial_success()->set_rejected_spans(-7);
  EXPECT_EQ(taken_answer(response.SerializeAsString()).rejected, 0U);
}

// Every beginning and every single wrong octet of real messages: no crash, nothing out of bounds (run with
// asan).
TEST(HostileAnswers, AreRead) {
  const std::string status = with_retry_info(3, 4);
  for (std::size_t size = 0; size < status.size(); ++size) grpc_answer(8, "", status.substr(0, size));
  for (std::size_t at = 0; at < status.size(); ++at) {
    for (const int octet : {0x00, 0x7f, 0x80, 0xff}) {
      std::string wrong = status;
      wrong[at] = static_cast<char>(octet);
      grpc_answer(8, wrong, wrong);
      http_answer(503, wrong, wrong, 0);
      taken_answer(wrong);
    }
  }
  taken_answer(std::string(1'000, '\x0a'));
  taken_answer(std::string(1'000, '\xff'));
}

TEST(WireReader, EndsAtWhatIsMalformed) {
  for (const std::string_view bad :
       {std::string_view("\x0a\x05xy", 4), std::string_view("\x00\x01", 2), std::string_view("\x09\x01", 2),
        std::string_view("\x0b", 1), std::string_view("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11)}) {
    wire::Reader reader(bad);
    while (reader.next()) {
    }
    EXPECT_FALSE(reader.good());
  }
}

TEST(OtlpEndpoint, IsParsed) {
  const auto grpc = parse_otlp_endpoint("http://collector.example", OtlpProtocol::grpc);
  ASSERT_TRUE(grpc);
  EXPECT_FALSE(grpc->tls);
  EXPECT_EQ(authority(*grpc), "collector.example:4317");
  const auto http = parse_otlp_endpoint("https://[2001:db8::1]/otlp/v1/traces", OtlpProtocol::http_protobuf);
  ASSERT_TRUE(http);
  EXPECT_TRUE(http->tls);
  EXPECT_EQ(authority(*http), "[2001:db8::1]:4318");
  EXPECT_EQ(http->path, "/otlp");
  EXPECT_EQ(parse_otlp_endpoint("http://h:9/base/", OtlpProtocol::http_protobuf)->path, "/base");
  EXPECT_EQ(parse_otlp_endpoint("http://h:9/v1/traces", OtlpProtocol::http_protobuf)->path, "");
}

TEST(OtlpEndpoint, IsRefusedInASentenceWithoutSecrets) {
  for (const char* text :
       {"", "h:1", "ftp://h", "http://", "http://h:0", "http://h:65536", "http://h:1x", "http://[::1",
        "http://[h]", "http://h h", "http://h\r\nX: 1", "http://h:1/pa th", "http://h:1/a\"b"}) {
    const auto parsed = parse_otlp_endpoint(text, OtlpProtocol::http_protobuf);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().what, HasSubstr("allowed: http:// or https://")) << text;
  }
  EXPECT_FALSE(parse_otlp_endpoint("http://h:1/path", OtlpProtocol::grpc));
  const auto secret = parse_otlp_endpoint("http://user:w0rd@h", OtlpProtocol::http_protobuf);
  ASSERT_FALSE(secret);
  EXPECT_THAT(secret.error().what, ::testing::Not(HasSubstr("w0rd")));
}

}  // namespace
}  // namespace rheo
