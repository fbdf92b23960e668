// SPDX-License-Identifier: Apache-2.0
#include "daemon/model/community_id.h"

#include <netinet/in.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

namespace rheo {
namespace {

struct Counterpart {
  std::uint8_t query;
  std::uint8_t answer;
};
// The specification's pairs: either type stands for both directions of one exchange.
constexpr Counterpart kIcmpPairs[] = {{8, 0}, {10, 9}, {13, 14}, {15, 16}, {17, 18}};
constexpr Counterpart kIcmp6Pairs[] = {{128, 129}, {130, 131}, {133, 134},
                                       {135, 136}, {139, 140}, {144, 145}};

template <std::size_t N>
std::optional<std::uint8_t> counterpart(const Counterpart (&pairs)[N], std::uint8_t type) {
  for (const Counterpart& pair : pairs) {
    if (pair.query == type) return pair.answer;
    if (pair.answer == type) return pair.query;
  }
  return std::nullopt;
}

struct EndPoint {
  const std::uint8_t* address;
  std::array<std::uint8_t, 2> port;  // big-endian
};

/// What is hashed, before it is put in order.
struct Tuple {
  EndPoint source;
  EndPoint destination;
  bool has_ports = false;
  bool one_way = false;  // ICMP without a counterpart: keeps its direction
};

std::array<std::uint8_t, 2> port_bytes(std::uint16_t port_be) {
  std::array<std::uint8_t, 2> bytes{};
  std::memcpy(bytes.data(), &port_be, 2);
  return bytes;
}

/// Type and counterpart take the ports' places; type and code where there is no counterpart.
void set_icmp_ports(Tuple& tuple, const FlowRecord& record) {
  const bool spoken_backward = record.forward.total.packets == 0 && record.reverse.total.packets != 0;
  const FlowDirection& spoken = spoken_backward ? record.reverse : record.forward;
  if (spoken_backward) std::swap(tuple.source, tuple.destination);
  const auto other = record.protocol == IPPROTO_ICMP ? counterpart(kIcmpPairs, spoken.icmp_type)
                                                     : counterpart(kIcmp6Pairs, spoken.icmp_type);
  tuple.has_ports = true;
  tuple.one_way = !other.has_value();
  tuple.source.port = {0, spoken.icmp_type};
  tuple.destination.port = {0, other.value_or(spoken.icmp_code)};
}

Tuple tuple_of(const FlowRecord& record) {
  const std::size_t skip = record.ipv6 ? 0 : 12;
  Tuple tuple{.source = {record.source.data() + skip, {}},
              .destination = {record.destination.data() + skip, {}}};
  switch (record.protocol) {
    case IPPROTO_TCP:
    case IPPROTO_UDP:
    case IPPROTO_SCTP:
      tuple.has_ports = true;
      tuple.source.port = port_bytes(record.source_port_be);
      tuple.destination.port = port_bytes(record.destination_port_be);
      break;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      set_icmp_ports(tuple, record);
      break;
    default:
      break;
  }
  return tuple;
}

bool in_order(const Tuple& tuple, std::size_t address_size) {
  const int order = std::memcmp(tuple.source.address, tuple.destination.address, address_size);
  return order < 0 || (order == 0 && tuple.source.port < tuple.destination.port);
}

/// The bytes that the specification hashes; at most 40.
struct Message {
  std::array<std::uint8_t, 40> bytes{};
  std::size_t size = 0;

  void append(const std::uint8_t* data, std::size_t count) {
    std::memcpy(bytes.data() + size, data, count);
    size += count;
  }
};

Message message_of(const FlowRecord& record, std::uint16_t seed) {
  const std::size_t address_size = record.ipv6 ? 16 : 4;
  Tuple tuple = tuple_of(record);
  if (!tuple.one_way && !in_order(tuple, address_size)) std::swap(tuple.source, tuple.destination);

  Message message;
  message.append(port_bytes(htons(seed)).data(), 2);
  message.append(tuple.source.address, address_size);
  message.append(tuple.destination.address, address_size);
  const std::array<std::uint8_t, 2> protocol_and_padding = {record.protocol, 0};
  message.append(protocol_and_padding.data(), 2);
  if (tuple.has_ports) {
    message.append(tuple.source.port.data(), 2);
    message.append(tuple.destination.port.data(), 2);
  }
  return message;
}

}  // namespace

void write_community_id(const FlowRecord& record, std::uint16_t seed, std::span<char, kCommunityIdSize> out) {
  const Message message = message_of(record, seed);
  sha1_ctx context;
  std::array<std::uint8_t, SHA1_DIGEST_SIZE> digest{};
  sha1_init(&context);
  sha1_update(&context, message.size, message.bytes.data());
  sha1_digest(&context, digest.size(), digest.data());

  out[0] = '1';
  out[1] = ':';
  static_assert(BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE) == kCommunityIdSize - 2);
  base64_encode_raw(out.data() + 2, digest.size(), digest.data());
}

std::string community_id(const FlowRecord& record, std::uint16_t seed) {
  std::string text(kCommunityIdSize, '\0');
  write_community_id(record, seed, std::span<char, kCommunityIdSize>(text.data(), kCommunityIdSize));
  return text;
}

}  // namespace rheo
