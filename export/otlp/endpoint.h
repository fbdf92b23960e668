// SPDX-License-Identifier: Apache-2.0
// Where an OTLP receiver is. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/base/result.h"

namespace rheo {

enum class OtlpProtocol : std::uint8_t { grpc, http_protobuf };

struct OtlpEndpoint {
  bool tls = false;
  std::string host;         // a name, an IPv4 address, or an IPv6 address without brackets
  std::uint16_t port = 0;   // host order
  std::string path;         // HTTP: without a slash at its end; "" for none
  bool whole_path = false;  // nothing is put behind the path
  std::string text;         // as it was written, for sentences
  bool is_ipv6() const { return host.find(':') != std::string::npos; }
  friend bool operator==(const OtlpEndpoint&, const OtlpEndpoint&) = default;
};

/// "http://host:port/path" or "https://…", an IPv6 address in brackets; without a port it is 4317 for gRPC,
/// which has no path, and 4318 for HTTP. The path of traces is "/v1/traces" behind the endpoint's, unless
/// that ends so already. The error is one sentence. User names and passwords in it are refused, not shown.
Result<OtlpEndpoint> parse_otlp_endpoint(std::string_view text, OtlpProtocol protocol);

/// "host:port", an IPv6 address in brackets.
std::string authority(const OtlpEndpoint& endpoint);

}  // namespace rheo
