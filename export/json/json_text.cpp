// SPDX-License-Identifier: Apache-2.0
#include "export/json/json_text.h"

#include <array>

#include "daemon/base/clock.h"
#include "daemon/model/names.h"

namespace rheo {
namespace {

constexpr char kHex[] = "0123456789abcdef";

/// `width` decimal digits with leading zeros.
template <int width>
char* digits(char* at, std::uint32_t value) {
  for (int i = width - 1; i >= 0; --i) {
    at[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  return at + width;
}

struct Date {
  std::uint32_t year, month, day;
};

/// Days since 1970 to the Gregorian calendar, counted in eras of 400 years that begin in March.
Date date_of(std::uint32_t days_since_1970) {
  const std::uint32_t days = days_since_1970 + 719'468;  // since 0000-03-01
  const std::uint32_t era = days / 146'097;
  const std::uint32_t day_of_era = days % 146'097;
  const std::uint32_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::uint32_t month_from_march = (5 * day_of_year + 2) / 153;
  const std::uint32_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  return {.year = year_of_era + era * 400 + (month <= 2 ? 1 : 0),
          .month = month,
          .day = day_of_year - (153 * month_from_march + 2) / 5 + 1};
}

/// Length of the valid UTF-8 sequence (RFC 3629) that `text` begins with; 0 where there is none.
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

}  // namespace

void JsonText::text(std::string_view text) {
  raw('"');
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    const auto second = static_cast<unsigned char>(length == 2 ? text[1] : 0);
    const bool c1_control = first == 0xc2 && second < 0xa0;
    if (length == 0) {
      raw("\xef\xbf\xbd");
    } else if (first == '"' || first == '\\') {
      raw('\\');
      raw(text[0]);
    } else if (first < 0x20 || first == 0x7f || c1_control) {
      const unsigned char code = c1_control ? second : first;
      raw("\\u00");
      raw(kHex[code >> 4U]);
      raw(kHex[code & 15U]);
    } else {
      raw(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  raw('"');
}

void JsonText::hex(std::uint64_t value) {
  raw('"');
  for (int shift = 60; shift >= 0; shift -= 4) raw(kHex[value >> static_cast<unsigned>(shift) & 15U]);
  raw('"');
}

void JsonText::time(std::uint64_t ns) {
  const std::uint64_t seconds = ns / kNanosecondsPerSecond;
  const auto [year, month, day] = date_of(static_cast<std::uint32_t>(seconds / 86'400));
  const auto second_of_day = static_cast<std::uint32_t>(seconds % 86'400);
  raw('"');
  at_ = digits<4>(at_, year);
  raw('-');
  at_ = digits<2>(at_, month);
  raw('-');
  at_ = digits<2>(at_, day);
  raw('T');
  at_ = digits<2>(at_, second_of_day / 3'600);
  raw(':');
  at_ = digits<2>(at_, second_of_day / 60 % 60);
  raw(':');
  at_ = digits<2>(at_, second_of_day % 60);
  raw('.');
  at_ = digits<9>(at_, static_cast<std::uint32_t>(ns % kNanosecondsPerSecond));
  raw("Z\"");
}

void JsonText::mac(const MacAddress& mac) {
  raw('"');
  for (const std::uint8_t byte : mac) {
    raw(kHex[byte >> 4U]);
    raw(kHex[byte & 15U]);
    raw(':');
  }
  at_[-1] = '"';
}

void JsonText::address(const Address& address, bool is_ipv6) {
  raw('"');
  if (is_ipv6)
    ipv6(address);
  else
    ipv4(address.data() + 12);
  raw('"');
}

void JsonText::ipv4(const std::uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) raw('.');
    integer(bytes[i]);
  }
}

/// RFC 5952.
void JsonText::ipv6(const Address& address) {
  std::array<std::uint16_t, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i)
    groups[i] = static_cast<std::uint16_t>(address[2 * i] << 8U | address[2 * i + 1]);

  std::size_t zeros_at = 8;  // the longest run of two or more zero groups, the first of equals
  std::size_t zeros = 1;
  for (std::size_t i = 0; i < 8; ++i) {
    std::size_t end = i;
    while (end < 8 && groups[end] == 0) ++end;
    if (end - i > zeros) {
      zeros_at = i;
      zeros = end - i;
    }
    if (end > i) i = end;
  }
  // Embedded IPv4 is rare, and libc knows its rules.
  if (zeros_at == 0 && (zeros == 5 || zeros == 6)) return raw(address_text(address, true));

  for (std::size_t i = 0; i < 8; ++i) {
    if (i == zeros_at) {
      raw("::");
      i += zeros - 1;
      continue;
    }
    if (i > 0 && i != zeros_at + zeros) raw(':');
    at_ = std::to_chars(at_, at_ + 4, groups[i], 16).ptr;
  }
}

}  // namespace rheo
