// SPDX-License-Identifier: Apache-2.0
// What a span says beside the fields of kFlowFields: names of numbers, and other names for what is there
// already, as tools that read flow spans look for them. A rename is one line here and one in rheo-otlp(5).
// `start` and `end` of kFlowFields are the span's own. Constants, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "export/flow_fields.h"

namespace rheo {

/// In the order of kSpanFields. From dscp_name to icmp_code_name and from reverse_dscp_name on the same
/// fields follow each other, for the two directions.
enum class SpanField : std::uint8_t {
  flow_direction,
  interface_mac,
  dscp_name,
  ecn_name,
  icmp_type_name,
  icmp_code_name,
  reverse_dscp_name,
  reverse_ecn_name,
  reverse_icmp_type_name,
  reverse_icmp_code_name,
  ipip_network_type,
  ipip_network_transport,
  ipip_source_address,
  ipip_destination_address,
};
inline constexpr std::size_t kSpanFieldCount =
    static_cast<std::size_t>(SpanField::ipip_destination_address) + 1;

/// By SpanField.
extern const std::array<FlowField, kSpanFieldCount> kSpanFields;

/// The version of all names of a span, an attribute of the scope; raised by a rename.
inline constexpr std::string_view kSpanSchemaKey = "flow.schema.version";
inline constexpr std::string_view kSpanSchemaVersion = "1";

/// "df", "cs1", "af11", "ef", "voice-admit", "le"; "" for a value that has no name.
std::string_view dscp_name(std::uint8_t dscp);

/// "non-ect", "ect(1)", "ect(0)", "ce".
std::string_view ecn_name(std::uint8_t ecn);

/// IANA's names in lower case with underscores, "echo", "destination_unreachable"; "" for none.
std::string_view icmp_type_name(bool icmp6, std::uint8_t type);

/// "port_unreachable", "hop_limit_exceeded"; "" for a type whose codes have no names, or an unknown code.
std::string_view icmp_code_name(bool icmp6, std::uint8_t type, std::uint8_t code);

}  // namespace rheo
