// SPDX-License-Identifier: Apache-2.0
#include "daemon/base/read_file.h"
#include "export/otlp/transport.h"

namespace rheo {

Result<std::string> read_pem(std::string_view setting, const std::string& path) {
  constexpr std::size_t kMaxPem = 4U << 20U;
  const std::string what = std::string(setting) + " " + path;
  auto text = read_file(what, path, kMaxPem);
  if (!text) return text;
  if (text->find("-----BEGIN ") == std::string::npos) return failure(what + ": not a PEM file");
  return text;
}

Result<std::unique_ptr<OtlpTransport>> make_otlp_transport(const OtlpTransportOptions& options) {
  const OtlpTlsOptions& tls = options.tls;
  if (tls.client_cert.empty() != tls.client_key.empty())
    return failure("tls.client_cert and tls.client_key are set both or neither");
  for (const auto& [setting, path] :
       {std::pair("tls.ca_cert", &tls.ca_cert), std::pair("tls.client_cert", &tls.client_cert),
        std::pair("tls.client_key", &tls.client_key)}) {
    if (path->empty()) continue;
    if (auto read = read_pem(setting, *path); !read) return forward(std::move(read));
  }
  return options.protocol == OtlpProtocol::grpc ? make_grpc_transport(options) : make_http_transport(options);
}

}  // namespace rheo
