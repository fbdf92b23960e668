// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/wire.h"

#include "daemon/base/utf8.h"

namespace rheo::wire {

void append_varint(std::string& out, std::uint64_t value) {
  char bytes[10];
  out.append(bytes, static_cast<std::size_t>(put_varint(bytes, value) - bytes));
}

void append_field(std::string& out, unsigned field, std::string_view value) {
  out.push_back(key(field, Type::length));
  append_varint(out, value.size());
  out.append(value);
}

std::string utf8(std::string_view text, std::size_t limit) {
  constexpr std::string_view replacement = "\xef\xbf\xbd";
  std::string valid;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view next = length == 0 ? replacement : text.substr(0, length);
    if (valid.size() + next.size() > limit) break;
    valid.append(next);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return valid;
}

std::optional<Field> Reader::malformed() {
  good_ = false;
  rest_ = {};
  return std::nullopt;
}

std::optional<std::uint64_t> Reader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70 && !rest_.empty(); shift += 7) {
    const auto octet = static_cast<unsigned char>(rest_[0]);
    rest_.remove_prefix(1);
    if (shift == 63 && octet > 1) return std::nullopt;  // beyond 64 bits
    value |= static_cast<std::uint64_t>(octet & 0x7fU) << shift;
    if (octet < 0x80) return value;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> Reader::fixed(std::size_t size) {
  if (rest_.size() < size) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value << 8U | static_cast<unsigned char>(rest_[i]);
  rest_.remove_prefix(size);
  return value;
}

std::optional<Field> Reader::next() {
  if (rest_.empty()) return std::nullopt;
  const auto head = varint();
  if (!head || *head >> 3U == 0) return malformed();
  Field field{.number = *head >> 3U, .type = static_cast<Type>(*head & 7U), .value = 0, .bytes = {}};
  std::optional<std::uint64_t> value;
  switch (field.type) {
    case Type::varint:
    case Type::length:
      value = varint();
      break;
    case Type::fixed64:
      value = fixed(8);
      break;
    case Type::fixed32:
      value = fixed(4);
      break;
  }
  if (!value) return malformed();
  field.value = *value;
  if (field.type == Type::length) {
    if (field.value > rest_.size()) return malformed();
    field.bytes = rest_.substr(0, field.value);
    rest_.remove_prefix(field.value);
  }
  return field;
}

}  // namespace rheo::wire
