// SPDX-License-Identifier: Apache-2.0
// What kinds of IP protocols there are to rheo, by their IANA numbers. Pure, any thread.
#pragma once

#include <netinet/in.h>

#include <cstdint>

namespace rheo {

/// Packets begin with a source and a destination port.
constexpr bool has_ports(std::uint8_t protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
         protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP;
}

/// ICMP or ICMPv6, whose packets have type, code and perhaps an identifier instead of ports.
constexpr bool is_icmp(std::uint8_t protocol) {
  return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

}  // namespace rheo
