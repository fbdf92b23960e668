// SPDX-License-Identifier: Apache-2.0
#include "daemon/model/ip_prefix.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "daemon/model/names.h"

namespace rheo {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::size_t kLongest = INET6_ADDRSTRLEN + 4;

struct Parsed {
  Address address{};
  bool v4 = false;  // written as such
};

std::optional<Parsed> parse_address(std::string_view text) {
  std::array<char, kLongest + 1> buffer{};
  std::ranges::copy(text, buffer.begin());
  Parsed parsed;
  if (::inet_pton(AF_INET6, buffer.data(), parsed.address.data()) == 1) return parsed;
  std::ranges::copy(kMapped, parsed.address.begin());
  parsed.v4 = true;
  if (::inet_pton(AF_INET, buffer.data(), parsed.address.data() + kMapped.size()) == 1) return parsed;
  return std::nullopt;
}

/// Others chose it: short and printable.
std::string quoted(std::string_view text) {
  std::string shown = "\"";
  for (const char c : text.substr(0, kLongest)) shown += c >= ' ' && c <= '~' ? c : '?';
  return shown + (text.size() > kLongest ? "…\"" : "\"");
}

std::unexpected<Error> no_prefix(std::string_view text) {
  return failure(quoted(text) +
                 " is no prefix; allowed: an IPv4 or IPv6 address, and \"/\" and its bits, such as "
                 "\"10.1.0.0/16\" or \"2001:db8::/32\"");
}

}  // namespace

bool is_mapped_v4(const Address& address) {
  return std::equal(kMapped.begin(), kMapped.end(), address.begin());
}

IpPrefix prefix_of(const Address& address, unsigned bits) {
  IpPrefix prefix{.address = address, .bits = static_cast<std::uint8_t>(std::min(bits, 128U))};
  for (std::size_t i = 0; i < prefix.address.size(); ++i) {
    const unsigned before = static_cast<unsigned>(i) * 8;
    if (before >= prefix.bits)
      prefix.address[i] = 0;
    else if (prefix.bits - before < 8)
      prefix.address[i] &= static_cast<std::uint8_t>(0xff00U >> (prefix.bits - before));
  }
  return prefix;
}

std::string ip_prefix_text(const IpPrefix& prefix) {
  const bool v4 = prefix.bits >= kMappedBits && is_mapped_v4(prefix.address);
  return address_text(prefix.address, !v4) + "/" + std::to_string(prefix.bits - (v4 ? kMappedBits : 0));
}

Result<IpPrefix> parse_ip_prefix(std::string_view text) {
  if (text.size() > kLongest || text.find('\0') != std::string_view::npos) return no_prefix(text);
  const std::size_t slash = text.find('/');
  const auto parsed = parse_address(text.substr(0, slash));
  if (!parsed) return no_prefix(text);

  const unsigned before = parsed->v4 ? kMappedBits : 0;
  unsigned bits = 128 - before;
  if (slash != std::string_view::npos) {
    const std::string_view number = text.substr(slash + 1);
    const auto [end, fault] = std::from_chars(number.data(), number.data() + number.size(), bits);
    if (fault != std::errc() || end != number.data() + number.size() || bits > 128 - before)
      return no_prefix(text);
  }
  const IpPrefix prefix = prefix_of(parsed->address, before + bits);
  if (prefix.address != parsed->address)
    return failure(quoted(text) + " has bits behind the prefix; allowed: \"" + ip_prefix_text(prefix) +
                   "\", or another number of bits");
  return prefix;
}

}  // namespace rheo
