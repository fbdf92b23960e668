// SPDX-License-Identifier: Apache-2.0
// Who sends: the attributes of an OTLP Resource, as the specification's messages have them. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rheo {

using AttributeValue = std::variant<std::string, std::int64_t, double, bool, std::vector<std::string>>;

struct OtlpAttribute {
  std::string key;
  AttributeValue value;
  friend bool operator==(const OtlpAttribute&, const OtlpAttribute&) = default;
};

/// Of equal keys the last one's value stands, in the first one's place.
void set_attribute(std::vector<OtlpAttribute>& attributes, std::string_view key, AttributeValue value);

/// opentelemetry.proto.common.v1.KeyValue. Text that is not UTF-8 is made so, and cut at 4096 octets.
std::string encode_attribute(const OtlpAttribute& attribute);

/// opentelemetry.proto.resource.v1.Resource.
std::string encode_resource(const std::vector<OtlpAttribute>& attributes);

/// opentelemetry.proto.common.v1.InstrumentationScope: rheo, its version, and the version of the span's
/// names.
std::string encode_scope(std::string_view version);

}  // namespace rheo
