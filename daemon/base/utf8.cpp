// SPDX-License-Identifier: Apache-2.0
#include "daemon/base/utf8.h"

#include <algorithm>
#include <cstdint>

namespace rheo {

std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length == 0 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0U) != 0x80) return 0;
  if (length < 3) return length;
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second >= 0xa0;
  const bool too_large = first == 0xf4 && second >= 0x90;
  return overlong || surrogate || too_large ? 0 : length;
}

namespace {

/// Of a valid sequence: U+FDD0 to U+FDEF, and the last two of each plane.
bool is_noncharacter(std::string_view sequence) {
  if (sequence.size() < 3) return false;
  std::uint32_t character = 0;
  for (const char byte : sequence.substr(1))
    character = character << 6U | (static_cast<unsigned char>(byte) & 0x3fU);
  const unsigned first_bits = sequence.size() == 3 ? 0x0fU : 0x07U;
  character |= (static_cast<unsigned char>(sequence[0]) & first_bits) << 6U * (sequence.size() - 1);
  return (character >= 0xfdd0 && character <= 0xfdef) || (character & 0xfffeU) == 0xfffe;
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const bool none = length == 0 || is_noncharacter(text.substr(0, length));
    valid += none ? "\xef\xbf\xbd" : text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return valid;
}

bool is_control(std::string_view text, std::size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x20 || byte == 0x7f) return true;
  // The C1 controls are U+0080 to U+009F: C2 80 to C2 9F.
  return byte == 0xc2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xa0;
}

std::string without_controls(std::string_view text, std::string_view kept) {
  std::string printed;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool control = is_control(text, at) && kept.find(text[at]) == std::string_view::npos;
    if (control && static_cast<unsigned char>(text[at]) == 0xc2) ++at;
    printed += control ? '?' : text[at];
  }
  return printed;
}

}  // namespace rheo
