// SPDX-License-Identifier: Apache-2.0
// The attributes of a span as octets, rendered once: whole where a value is one of a small set, up to the
// value where it is not. An attribute of a span is field 9 of trace.v1.Span, a common.v1.KeyValue; no
// attribute here has 128 octets or more, so each of its lengths is one octet. Constants after the first use;
// any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "daemon/model/flow_record.h"
#include "export/flow_fields.h"
#include "export/otlp/span_fields.h"
#include "export/otlp/wire.h"

namespace rheo {

/// Octets of the longest text of an attribute with a Head.
inline constexpr std::size_t kMaxAttributeText = 64;

/// An attribute up to its value. Up to 64 octets are written at once, so there is always room for more than
/// the attribute has.
class AttributeHead {
 public:
  AttributeHead() = default;
  AttributeHead(std::string_view name, FieldType type);

  char* put_integer(char* at, std::uint64_t value) const {
    std::memcpy(at, bytes_.data(), bytes_.size());
    char* const value_at = at + size_;
    char* const end = wire::put_varint(value_at, value);
    add_size(at, end - value_at);
    return end;
  }

  /// `put(char*)` writes the text and returns where it ends.
  template <class Put>
  char* put_text(char* at, Put put) const {
    std::memcpy(at, bytes_.data(), bytes_.size());
    char* const value_at = at + size_;
    char* const end = put(value_at);
    add_size(at, end - value_at);
    value_at[-1] = static_cast<char>(end - value_at);
    return end;
  }

 private:
  void add_size(char* at, std::ptrdiff_t size) const {
    at[1] = static_cast<char>(at[1] + size);
    at[any_value_size_at_] = static_cast<char>(at[any_value_size_at_] + size);
  }

  std::array<char, 64> bytes_{};
  std::uint8_t size_ = 0;
  std::uint8_t any_value_size_at_ = 0;
};

/// What both directions have, by the same words.
struct DirectionAttributes {
  std::array<std::string, 64> dscp;        // with the name
  std::array<std::string, 4> ecn;          // with the name
  std::array<std::string, 512> tcp_flags;  // bits and tags
  std::array<std::string, 4> hooks;
  std::array<std::string, 16> marks;
  std::array<std::array<std::string, 256>, 2> icmp_type;  // ICMP and ICMPv6, with the name
};

struct SpanAttributes {
  std::array<AttributeHead, kFieldCount> heads;
  std::array<AttributeHead, kSpanFieldCount> span_heads;

  // Field 5 of Span: flow_ipv4_tcp and so on.
  std::array<std::array<std::string, 256>, 2> span_name;

  std::array<std::string, kEndReasonCount> end_reason;  // with flow.end_by
  std::array<std::string, kTcpStateCount> tcp_state;
  std::array<std::string, kInitiatorByCount> initiator_by;  // with flow.direction
  std::array<std::array<std::string, 256>, 2> network;      // type and transport
  std::array<std::string, kTunnelTypeCount> tunnel_type;
  std::array<std::array<std::string, 256>, 2> tunnel_network;  // type and transport
  std::array<std::array<std::string, 256>, 2> ipip_network;    // type and transport
  std::array<DirectionAttributes, 2> directions;               // forward, reverse

  static const SpanAttributes& get();
};

/// Whole attributes of a span.
std::string integer_attribute(std::string_view name, std::uint64_t value);
std::string text_attribute(std::string_view name, std::string_view text);
std::string texts_attribute(std::string_view name, std::span<const std::string> texts);

}  // namespace rheo
