// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/unique_fd.h"
#include "export/otlp/transport.h"

namespace rheo {

Result<std::string> read_pem(std::string_view setting, const std::string& path) {
  constexpr std::size_t kMaxPem = 4U << 20U;
  const std::string what = std::string(setting) + " " + path;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) return errno_error(what);
  if (!S_ISREG(status.st_mode)) return failure(what + ": not a regular file");
  std::string text(kMaxPem, '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(what);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  if (text.find("-----BEGIN ") == std::string::npos) return failure(what + ": not a PEM file");
  return text;
}

Result<std::unique_ptr<OtlpTransport>> make_otlp_transport(const OtlpTransportOptions& options) {
  const OtlpTlsOptions& tls = options.tls;
  if (tls.client_cert.empty() != tls.client_key.empty())
    return failure("tls_client_cert and tls_client_key are set both or neither");
  for (const auto& [setting, path] :
       {std::pair("tls_ca_cert", &tls.ca_cert), std::pair("tls_client_cert", &tls.client_cert),
        std::pair("tls_client_key", &tls.client_key)}) {
    if (path->empty()) continue;
    if (auto read = read_pem(setting, *path); !read) return forward(std::move(read));
  }
  return options.protocol == OtlpProtocol::grpc ? make_grpc_transport(options) : make_http_transport(options);
}

}  // namespace rheo
