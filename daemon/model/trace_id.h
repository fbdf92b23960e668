// SPDX-License-Identifier: Apache-2.0
// The identity of a flow as a trace, and of a record as a span. The same numbers on every host that sees the
// connection, and after every restart; nothing is drawn at random. Pure, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "daemon/model/community_id.h"
#include "daemon/model/flow_record.h"

namespace rheo {

using TraceId = std::array<std::uint8_t, 16>;

/// The first 128 bits of SHA-256 over the Community ID's text and the number of the bucket of `bucket_ns`
/// (not 0) in which the flow began, in 8 octets, big-endian. Starts of one connection that fall into one
/// bucket, on whichever host, are one trace.
TraceId trace_id(std::span<const char, kCommunityIdSize> community_id, std::uint64_t flow_start_ns,
                 std::uint64_t bucket_ns);

/// What tells this host's spans from those of another; `host_id` is what host.id says.
std::uint64_t host_key(std::string_view host_id);

/// Of the trace, the host, and the record's flow and sequence number: a record has one span id however often
/// it is sent. Never 0, which OpenTelemetry reserves.
std::uint64_t span_id(const TraceId& trace, std::uint64_t host_key, const FlowRecord& record);

}  // namespace rheo
