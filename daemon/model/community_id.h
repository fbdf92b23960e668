// SPDX-License-Identifier: Apache-2.0
// Community ID version 1 (github.com/corelight/community-id-spec): one string for a flow in every tool.
// Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "daemon/model/flow_record.h"

namespace rheo {

/// "1:" and the base64 of a SHA-1 over seed, end points and protocol; the same for both directions.
/// ICMP and ICMPv6 map request and reply types onto each other as the specification's table says;
/// protocols without ports are hashed by addresses alone.
std::string community_id(const FlowRecord& record, std::uint16_t seed);

inline constexpr std::size_t kCommunityIdSize = 30;

/// As community_id, without allocating; no terminating zero.
void write_community_id(const FlowRecord& record, std::uint16_t seed, std::span<char, kCommunityIdSize> out);

}  // namespace rheo
