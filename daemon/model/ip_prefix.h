// SPDX-License-Identifier: Apache-2.0
// IpPrefix: a range of addresses as people write it, "10.1.0.0/16". A plain value, any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/model/flow_record.h"

namespace rheo {

/// The bits in front of an IPv4 address, ::ffff:0:0/96.
inline constexpr std::uint8_t kMappedBits = 96;

bool is_mapped_v4(const Address& address);

struct IpPrefix {
  Address address{};      // behind `bits` all is zero
  std::uint8_t bits = 0;  // of all 128: those of an IPv4 prefix are at least 96
  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

/// "10.1.0.0/16", "2001:db8::/32", or an address alone. What is IPv4 in IPv6's notation is IPv4. Fails where
/// a bit behind the prefix is set, since that is a slip more often than not, and says what may have been
/// meant.
Result<IpPrefix> parse_ip_prefix(std::string_view text);

/// The first `bits` (of 128) of the address.
IpPrefix prefix_of(const Address& address, unsigned bits);

/// As parse_ip_prefix() reads it, with the number of bits. ::/0 covers no IPv4.
std::string ip_prefix_text(const IpPrefix& prefix);

}  // namespace rheo
