// SPDX-License-Identifier: Apache-2.0
// The values of a flow record as the text formats write them, into memory that is large enough, without
// allocating; and which of them a record has. Pure, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "daemon/model/flow_record.h"

namespace rheo {

/// As address_text(): at most 45 characters, no terminating zero. Returns where the text ends.
char* put_address(char* at, const Address& address, bool ipv6);

/// As mac_text(): 17 characters.
char* put_mac(char* at, const MacAddress& mac);

/// "2026-01-02T03:04:05.000000006Z" of nanoseconds since 1970: 30 characters.
char* put_time(char* at, std::uint64_t ns);

/// "0011223344556677": 16 characters.
char* put_hex(char* at, std::uint64_t value);

// The words for FlowDirection::hooks and marks, from bit 0 up.
inline constexpr std::array<std::string_view, 2> kHookNames = {"ingress", "egress"};
inline constexpr std::array<std::string_view, 4> kMarkNames = {"fragment", "truncated", "wireguard",
                                                               "undecoded"};

/// Address holds both families; a mapped one is IPv4's.
bool holds_ipv6(const Address& address);

/// Tunnels whose identifier may be 0.
bool always_has_id(TunnelType type);

inline std::string_view family_name(bool ipv6) { return ipv6 ? "ipv6" : "ipv4"; }

}  // namespace rheo
