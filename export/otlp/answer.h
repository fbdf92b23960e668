// SPDX-License-Identifier: Apache-2.0
// OtlpAnswer: what came of one export request, and what the OTLP specification says is to be done then
// (opentelemetry.io/docs/specs/otlp, "OTLP/gRPC Response", "OTLP/HTTP Response"). Whatever a receiver says is
// hostile: texts are cut and made printable. Pure, any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rheo {

enum class OtlpVerdict : std::uint8_t {
  taken,      // perhaps not all: see rejected
  retry,      // the same request again, later
  too_large,  // its items again, in smaller requests
  refused,    // never again
};

struct OtlpAnswer {
  OtlpVerdict verdict = OtlpVerdict::retry;
  std::string what = {};       // a sentence; of a taken request what partial_success says, else ""
  std::uint64_t rejected = 0;  // items of a taken request that the receiver did not keep
  std::chrono::nanoseconds retry_after{0};  // the receiver's wish; 0: none
};

/// No wish of a receiver is obeyed for longer: it could stop an exporter for ever.
inline constexpr std::chrono::nanoseconds kLongestRetryAfter = std::chrono::minutes(10);

/// Of a request that got an Export…ServiceResponse.
OtlpAnswer taken_answer(std::string_view response);

/// Of a gRPC call that ended with this status code, not OK; `details` is the grpc-status-details-bin.
OtlpAnswer grpc_answer(int code, std::string_view message, std::string_view details);

/// Of an HTTP response with a status other than 2xx; `retry_after` is that header's value, or "". `now` is
/// the wall clock in seconds since 1970, for a header that has a date.
OtlpAnswer http_answer(int status, std::string_view body, std::string_view retry_after, std::int64_t now);

/// Of a request that got no response: the connection could not be had, broke, or was too slow.
OtlpAnswer no_answer(std::string what);

/// At most 200 characters of the text, those that are no printable ASCII shown as '?'.
std::string shown(std::string_view text);

}  // namespace rheo
