// SPDX-License-Identifier: Apache-2.0
#include "daemon/model/trace_id.h"

#include <nettle/sha2.h>

#include <cstring>

namespace rheo {
namespace {

/// The finalizer of MurmurHash3: every bit of the result hangs on every bit of the input.
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ value >> 33U) * 0xff51afd7ed558ccdU;
  value = (value ^ value >> 33U) * 0xc4ceb9fe1a85ec53U;
  return value ^ value >> 33U;
}

std::uint64_t big_endian(const std::uint8_t* bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8U | bytes[i];
  return value;
}

template <std::size_t size>
void digest_of(sha256_ctx& context, std::array<std::uint8_t, size>& out) {
  sha256_digest(&context, out.size(), out.data());
}

}  // namespace

TraceId trace_id(std::span<const char, kCommunityIdSize> community_id, std::uint64_t flow_start_ns,
                 std::uint64_t bucket_ns) {
  std::array<std::uint8_t, kCommunityIdSize + 8> message;
  std::memcpy(message.data(), community_id.data(), community_id.size());
  std::uint64_t bucket = flow_start_ns / bucket_ns;
  for (std::size_t i = message.size(); i-- > community_id.size(); bucket >>= 8U)
    message[i] = static_cast<std::uint8_t>(bucket);
  sha256_ctx context;
  sha256_init(&context);
  sha256_update(&context, message.size(), message.data());
  TraceId id;
  digest_of(context, id);
  return id;
}

std::uint64_t host_key(std::string_view host_id) {
  sha256_ctx context;
  sha256_init(&context);
  sha256_update(&context, host_id.size(), reinterpret_cast<const std::uint8_t*>(host_id.data()));
  std::array<std::uint8_t, 8> key;
  digest_of(context, key);
  return big_endian(key.data());
}

std::uint64_t span_id(const TraceId& trace, std::uint64_t host_key, const FlowRecord& record) {
  std::uint64_t id = mix(big_endian(trace.data()) ^ host_key);
  id = mix(id ^ big_endian(trace.data() + 8));
  id = mix(id ^ record.flow_id);
  id = mix(id ^ record.flow_start_ns);
  id = mix(id ^ record.sequence);
  return id == 0 ? 1 : id;
}

}  // namespace rheo
