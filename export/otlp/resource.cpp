// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/resource.h"

#include <algorithm>
#include <bit>

#include "export/otlp/span_fields.h"
#include "export/otlp/wire.h"

namespace rheo {
namespace {

constexpr std::size_t kMaxText = 4'096;

/// The fields of common.v1.AnyValue.
struct AnyValue {
  std::string operator()(const std::string& text) const {
    std::string out;
    wire::append_field(out, 1, wire::utf8(text, kMaxText));
    return out;
  }
  std::string operator()(bool on) const {
    return {wire::key(2, wire::Type::varint), static_cast<char>(on ? 1 : 0)};
  }
  std::string operator()(std::int64_t number) const {
    std::string out(1, wire::key(3, wire::Type::varint));
    wire::append_varint(out, static_cast<std::uint64_t>(number));
    return out;
  }
  std::string operator()(double number) const {
    char bytes[9] = {wire::key(4, wire::Type::fixed64)};
    wire::put_fixed64(bytes + 1, std::bit_cast<std::uint64_t>(number));
    return {bytes, sizeof bytes};
  }
  std::string operator()(const std::vector<std::string>& texts) const {
    std::string values;
    for (const std::string& text : texts) wire::append_field(values, 1, (*this)(text));
    std::string out;
    wire::append_field(out, 5, values);
    return out;
  }
};

}  // namespace

void set_attribute(std::vector<OtlpAttribute>& attributes, std::string_view key, AttributeValue value) {
  const auto found = std::ranges::find(attributes, key, &OtlpAttribute::key);
  if (found == attributes.end())
    attributes.push_back({.key = std::string(key), .value = std::move(value)});
  else
    found->value = std::move(value);
}

std::string encode_attribute(const OtlpAttribute& attribute) {
  std::string out;
  wire::append_field(out, 1, wire::utf8(attribute.key, kMaxText));
  wire::append_field(out, 2, std::visit(AnyValue{}, attribute.value));
  return out;
}

std::string encode_resource(const std::vector<OtlpAttribute>& attributes) {
  std::string out;
  for (const OtlpAttribute& attribute : attributes) wire::append_field(out, 1, encode_attribute(attribute));
  return out;
}

std::string encode_scope(std::string_view version) {
  std::string out;
  wire::append_field(out, 1, "rheo");
  wire::append_field(out, 2, version);
  wire::append_field(
      out, 3,
      encode_attribute({.key = std::string(kSpanSchemaKey), .value = std::string(kSpanSchemaVersion)}));
  return out;
}

}  // namespace rheo
