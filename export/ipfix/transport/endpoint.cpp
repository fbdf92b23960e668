// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <charconv>
#include <utility>

#include "export/ipfix/transport.h"

namespace rheo {
namespace {

constexpr std::uint16_t kIpfixPort = 4739;
constexpr std::uint16_t kIpfixTlsPort = 4740;

constexpr std::array<std::pair<std::string_view, IpfixScheme>, 5> kSchemes = {{
    {"udp://", IpfixScheme::udp},
    {"tcp://", IpfixScheme::tcp},
    {"tls://", IpfixScheme::tls},
    {"dtls://", IpfixScheme::dtls},
    {"sctp://", IpfixScheme::sctp},
}};
constexpr std::string_view kFileScheme = "file:";

std::unexpected<Error> refuse(std::string_view text, std::string_view why) {
  return failure("endpoint \"" + std::string(text) + "\": " + std::string(why));
}

bool parse_port(std::string_view text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

Result<IpfixEndpoint> parse_file(std::string_view text) {
  std::string_view path = text.substr(kFileScheme.size());
  if (path.starts_with("//")) path.remove_prefix(2);  // file:///path has an empty host
  if (!path.starts_with('/')) return refuse(text, "after \"file:\" comes an absolute path");
  return IpfixEndpoint{
      .scheme = IpfixScheme::file, .host = {}, .path = std::string(path), .text = std::string(text)};
}

}  // namespace

Result<IpfixEndpoint> parse_ipfix_endpoint(std::string_view text) {
  if (text.starts_with(kFileScheme)) return parse_file(text);
  IpfixEndpoint endpoint{.host = {}, .path = {}, .text = std::string(text)};
  std::string_view rest;
  for (const auto& [prefix, scheme] : kSchemes) {
    if (!text.starts_with(prefix)) continue;
    endpoint.scheme = scheme;
    rest = text.substr(prefix.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.empty()) return refuse(text, "a host is missing");
  }
  if (rest.empty())
    return refuse(text, "it begins with none of udp://, tcp://, tls://, dtls://, sctp://, file:");

  const bool bracketed = rest.starts_with('[');
  const std::size_t host_end = bracketed ? rest.find(']') : rest.find(':');
  if (bracketed && host_end == std::string_view::npos) return refuse(text, "the bracket is not closed");
  endpoint.host = rest.substr(bracketed ? 1 : 0, bracketed ? host_end - 1 : host_end);
  if (endpoint.host.empty()) return refuse(text, "a host is missing");
  if (endpoint.host.find_first_of("/@?# \t") != std::string::npos)
    return refuse(text, "only a host and a port may follow the \"//\"");

  const bool secure = endpoint.scheme == IpfixScheme::tls || endpoint.scheme == IpfixScheme::dtls;
  endpoint.port = secure ? kIpfixTlsPort : kIpfixPort;
  if (host_end == std::string_view::npos) return endpoint;
  const std::string_view tail = rest.substr(host_end + (bracketed ? 1 : 0));
  if (tail.empty()) return endpoint;
  if (!bracketed && tail.find(':', 1) != std::string_view::npos)
    return refuse(text, "an IPv6 address stands in brackets, as in udp://[2001:db8::1]:4739");
  if (!tail.starts_with(':') || !parse_port(tail.substr(1), endpoint.port))
    return refuse(text, "a port is a number from 1 to 65535");
  return endpoint;
}

}  // namespace rheo
