// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "export/otlp/wire.h"

namespace rheo {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::size_t kMaxShown = 200;

// By number, grpc/statuscodes.md.
constexpr std::array<std::string_view, 17> kCodes = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};
constexpr int kResourceExhausted = 8;

nanoseconds bounded(std::int64_t whole_seconds, std::int64_t nanos = 0) {
  if (whole_seconds < 0 || nanos < 0) return nanoseconds(0);
  if (whole_seconds >= seconds(kLongestRetryAfter / seconds(1)).count()) return kLongestRetryAfter;
  return std::min<nanoseconds>(
      seconds(whole_seconds) + nanoseconds(std::min<std::int64_t>(nanos, 999'999'999)), kLongestRetryAfter);
}

/// google.protobuf.Duration.
nanoseconds read_duration(std::string_view message) {
  std::int64_t whole_seconds = 0;
  std::int64_t nanos = 0;
  wire::Reader reader(message);
  while (const auto field = reader.next()) {
    if (field->type != wire::Type::varint) continue;
    if (field->number == 1) whole_seconds = static_cast<std::int64_t>(field->value);
    if (field->number == 2) nanos = static_cast<std::int32_t>(field->value);
  }
  return bounded(whole_seconds, nanos);
}

/// google.rpc.RetryInfo in a google.protobuf.Any; nothing where it is something else.
std::optional<nanoseconds> read_retry_info(std::string_view any) {
  std::string_view type;
  std::string_view value;
  wire::Reader reader(any);
  while (const auto field = reader.next()) {
    if (field->number == 1) type = field->bytes;
    if (field->number == 2) value = field->bytes;
  }
  if (!reader.good() || !type.ends_with("/google.rpc.RetryInfo")) return std::nullopt;
  nanoseconds delay(0);
  wire::Reader info(value);
  while (const auto field = info.next())
    if (field->number == 1) delay = read_duration(field->bytes);
  return delay;
}

/// google.rpc.Status.
struct RpcStatus {
  std::string message;
  std::optional<nanoseconds> retry_info;
};

RpcStatus read_status(std::string_view bytes) {
  RpcStatus status;
  wire::Reader reader(bytes);
  while (const auto field = reader.next()) {
    if (field->type != wire::Type::length) continue;
    if (field->number == 2) status.message = shown(field->bytes);
    if (field->number == 3 && !status.retry_info) status.retry_info = read_retry_info(field->bytes);
  }
  return reader.good() ? status : RpcStatus{};
}

/// How the gRPC libraries say that a message is beyond the receiver's limit. They have no code for it.
bool says_too_large(std::string_view message) {
  return message.find("larger than max") != std::string_view::npos ||
         message.find("exceeds maximum") != std::string_view::npos;
}

OtlpVerdict grpc_verdict(int code, std::string_view message, bool has_retry_info) {
  switch (code) {
    case 1:   // CANCELLED
    case 4:   // DEADLINE_EXCEEDED
    case 10:  // ABORTED
    case 11:  // OUT_OF_RANGE
    case 14:  // UNAVAILABLE
    case 15:  // DATA_LOSS
      return OtlpVerdict::retry;
    case kResourceExhausted:
      if (has_retry_info) return OtlpVerdict::retry;  // only then the receiver can recover
      return says_too_large(message) ? OtlpVerdict::too_large : OtlpVerdict::refused;
    default:
      return OtlpVerdict::refused;
  }
}

OtlpVerdict http_verdict(int status) {
  switch (status) {
    case 429:
    case 502:
    case 503:
    case 504:
      return OtlpVerdict::retry;
    case 413:
      return OtlpVerdict::too_large;
    default:
      return OtlpVerdict::refused;
  }
}

/// RFC 9110 section 10.2.3: seconds, or a date of one form.
nanoseconds read_retry_after(std::string_view text, std::int64_t now) {
  std::int64_t whole_seconds = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  if (const auto read = std::from_chars(begin, end, whole_seconds); read.ec == std::errc() && read.ptr == end)
    return bounded(whole_seconds);
  std::tm date{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (rest == nullptr || *rest != '\0') return nanoseconds(0);
  return bounded(std::max<std::int64_t>(::timegm(&date) - now, 0));
}

}  // namespace

std::string shown(std::string_view text) {
  const bool cut = text.size() > kMaxShown;
  std::string out(text.substr(0, kMaxShown));
  for (char& c : out)
    if (c < 0x20 || c > 0x7e) c = '?';
  return cut ? out + "..." : out;
}

OtlpAnswer taken_answer(std::string_view response) {
  OtlpAnswer answer{.verdict = OtlpVerdict::taken};
  wire::Reader reader(response);
  while (const auto field = reader.next()) {
    if (field->number != 1 || field->type != wire::Type::length) continue;
    wire::Reader partial(field->bytes);
    while (const auto one = partial.next()) {
      if (one->number == 1 && one->type == wire::Type::varint)
        answer.rejected = static_cast<std::int64_t>(one->value) < 0 ? 0 : one->value;
      if (one->number == 2 && one->type == wire::Type::length) answer.what = shown(one->bytes);
    }
  }
  return answer;
}

OtlpAnswer grpc_answer(int code, std::string_view message, std::string_view details) {
  const RpcStatus status = read_status(details);
  const bool known = code >= 0 && static_cast<std::size_t>(code) < kCodes.size();
  const std::string name = known ? std::string(kCodes[static_cast<std::size_t>(code)]) : std::to_string(code);
  return {.verdict = grpc_verdict(code, message, status.retry_info.has_value()),
          .what = message.empty() ? name : fmt::format("{} ({})", name, shown(message)),
          .retry_after = status.retry_info.value_or(nanoseconds(0))};
}

OtlpAnswer http_answer(int status, std::string_view body, std::string_view retry_after, std::int64_t now) {
  const OtlpVerdict verdict = http_verdict(status);
  const std::string message = read_status(body).message;
  return {.verdict = verdict,
          .what = message.empty() ? fmt::format("HTTP status {}", status)
                                  : fmt::format("HTTP status {} ({})", status, message),
          .retry_after = verdict == OtlpVerdict::retry ? read_retry_after(retry_after, now) : nanoseconds(0)};
}

OtlpAnswer no_answer(std::string what) { return {.verdict = OtlpVerdict::retry, .what = std::move(what)}; }

}  // namespace rheo
