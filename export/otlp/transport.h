// SPDX-License-Identifier: Apache-2.0
// OtlpTransport: carries export requests to one receiver, over gRPC or HTTP, and says what came of them. It
// knows nothing of what is in a request. Lives on its lane's thread; a request has a deadline.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/result.h"
#include "export/otlp/answer.h"
#include "export/otlp/endpoint.h"

namespace rheo {

struct OtlpTlsOptions {
  std::string ca_cert;      // PEM file of the authorities to trust; empty: those of the system
  std::string client_cert;  // PEM file with the chain; empty: none is shown
  std::string client_key;   // PEM file
  bool insecure_skip_verify = false;
};

struct OtlpTransportOptions {
  OtlpEndpoint endpoint;
  OtlpProtocol protocol = OtlpProtocol::grpc;
  bool gzip = false;
  std::chrono::nanoseconds timeout = std::chrono::seconds(10);  // of one request, connecting included
  std::vector<std::pair<std::string, std::string>> headers;     // names in lower case; values are secrets
  OtlpTlsOptions tls;
  std::string version;  // of rheo, in the User-Agent
};

/// What a request is about: the service of gRPC, the path of HTTP.
enum class OtlpSignal : std::uint8_t { traces, metrics };

/// The octets of one.
using OtlpRequest = std::span<const std::byte>;

class OtlpTransport {
 public:
  virtual ~OtlpTransport() = default;

  /// Sends Export…ServiceRequests at once and waits for the answers, at most for the timeout. They are in the
  /// order of the requests.
  virtual std::vector<OtlpAnswer> send_all(OtlpSignal signal, std::span<const OtlpRequest> requests) = 0;

  OtlpAnswer send(OtlpSignal signal, OtlpRequest request) {
    return std::move(send_all(signal, std::span(&request, 1)).front());
  }
};

/// Refuses what cannot work whatever the receiver does: certificate files that cannot be read. Connects
/// nowhere.
Result<std::unique_ptr<OtlpTransport>> make_otlp_transport(const OtlpTransportOptions& options);

// make_otlp_transport() chooses between them.
Result<std::unique_ptr<OtlpTransport>> make_http_transport(const OtlpTransportOptions& options);
Result<std::unique_ptr<OtlpTransport>> make_grpc_transport(const OtlpTransportOptions& options);

/// Why a TLS connection to the receiver does not come about, in words; "" where it does. Connects, at most
/// for the timeout: for a transport whose library does not say.
std::string diagnose_tls(const OtlpTransportOptions& options);

/// The contents of a PEM file, or a sentence.
Result<std::string> read_pem(std::string_view setting, const std::string& path);

}  // namespace rheo
