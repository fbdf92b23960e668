// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "export/otlp/answer.h"

namespace rheo {
namespace {

constexpr std::uint16_t kGrpcPort = 4317;
constexpr std::uint16_t kHttpPort = 4318;

bool is_host_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  return !name.empty() && name.size() <= 253 && std::ranges::all_of(name, allowed);
}

bool is_path(std::string_view path) {
  return std::ranges::all_of(path, [](char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '#'; });
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto read = std::from_chars(begin, end, port);
  if (read.ec != std::errc() || read.ptr != end || port == 0) return std::nullopt;
  return port;
}

/// "host", "host:port", "[address]" or "[address]:port"; the port stays where there is none.
bool read_authority(std::string_view text, OtlpEndpoint& endpoint) {
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    endpoint.host = text.substr(1, close - 1);
    in6_addr address{};
    if (::inet_pton(AF_INET6, endpoint.host.c_str(), &address) != 1) return false;
    port = text.substr(close + 1);
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    endpoint.host = text.substr(0, colon);
    if (!is_host_name(endpoint.host)) return false;
    port = text.substr(colon);
  }
  if (port.empty()) return true;
  const auto number = port.starts_with(':') ? parse_port(port.substr(1)) : std::nullopt;
  endpoint.port = number.value_or(0);
  return number.has_value();
}

}  // namespace

Result<OtlpEndpoint> parse_otlp_endpoint(std::string_view text, OtlpProtocol protocol) {
  const bool grpc = protocol == OtlpProtocol::grpc;
  OtlpEndpoint endpoint;
  endpoint.port = grpc ? kGrpcPort : kHttpPort;
  endpoint.text = text;
  // What stands before an "@" is a secret.
  if (text.find('@') != std::string_view::npos)
    return failure("endpoint: a user name or password in it is not allowed; allowed: auth.basic");
  const auto refused = [&] {
    return failure(
        fmt::format("endpoint \"{}\": not an endpoint; allowed: http:// or https:// and HOST:PORT{}",
                    shown(text), grpc ? "" : ", and a path"));
  };
  std::string_view rest = text;
  endpoint.tls = rest.starts_with("https://");
  if (!endpoint.tls && !rest.starts_with("http://")) return refused();
  rest.remove_prefix(endpoint.tls ? 8 : 7);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view path = rest.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (!read_authority(rest.substr(0, slash), endpoint) || !is_path(path) || (grpc && !path.empty()))
    return refused();
  constexpr std::string_view traces = "/v1/traces";
  if (path.ends_with(traces)) path.remove_suffix(traces.size());
  endpoint.path = path;
  return endpoint;
}

std::string authority(const OtlpEndpoint& endpoint) {
  return endpoint.is_ipv6() ? fmt::format("[{}]:{}", endpoint.host, endpoint.port)
                            : fmt::format("{}:{}", endpoint.host, endpoint.port);
}

}  // namespace rheo
