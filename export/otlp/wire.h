// SPDX-License-Identifier: Apache-2.0
// The protobuf wire format (protobuf.dev/programming-guides/encoding): what OTLP's messages are made of,
// written and read without a library, since a span is one pass over memory that way. Pure, any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace rheo::wire {

enum class Type : std::uint8_t { varint = 0, fixed64 = 1, length = 2, fixed32 = 5 };

/// A field's key in one octet: numbers up to 15.
constexpr char key(unsigned field, Type type) {
  return static_cast<char>(field << 3U | static_cast<unsigned>(type));
}

/// At most 10 octets. Returns where they end.
inline char* put_varint(char* at, std::uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<char>(value | 0x80U);
    value >>= 7U;
  }
  *at++ = static_cast<char>(value);
  return at;
}

inline std::size_t varint_size(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7U) ++size;
  return size;
}

inline char* put_fixed64(char* at, std::uint64_t value) {
  if constexpr (std::endian::native == std::endian::big) value = __builtin_bswap64(value);
  std::memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

void append_varint(std::string& out, std::uint64_t value);

/// A field of text, octets or a message inside.
void append_field(std::string& out, unsigned field, std::string_view value);

/// The text with every octet that is not UTF-8 replaced by U+FFFD, cut between characters at `limit` octets:
/// a receiver refuses a message whose strings are not UTF-8.
std::string utf8(std::string_view text, std::size_t limit);

/// One field of a message.
struct Field {
  std::uint64_t number = 0;
  Type type = Type::varint;
  std::uint64_t value = 0;  // of varint, fixed64 and fixed32
  std::string_view bytes;   // of length
};

/// Goes through a message's fields. What is malformed ends it: after the last field good() tells.
class Reader {
 public:
  explicit Reader(std::string_view message) : rest_(message) {}

  std::optional<Field> next();
  bool good() const { return good_; }

 private:
  std::optional<std::uint64_t> varint();
  std::optional<std::uint64_t> fixed(std::size_t size);
  std::optional<Field> malformed();

  std::string_view rest_;
  bool good_ = true;
};

}  // namespace rheo::wire
