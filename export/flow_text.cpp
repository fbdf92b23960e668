// SPDX-License-Identifier: Apache-2.0
#include "export/flow_text.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "daemon/base/clock.h"
#include "daemon/model/names.h"

namespace rheo {
namespace {

constexpr char kHex[] = "0123456789abcdef";

char* put_text(char* at, std::string_view text) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

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

char* put_ipv4(char* at, const std::uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) *at++ = '.';
    at = std::to_chars(at, at + 3, bytes[i]).ptr;
  }
  return at;
}

/// RFC 5952.
char* put_ipv6(char* at, const Address& address) {
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
  if (zeros_at == 0 && (zeros == 5 || zeros == 6)) return put_text(at, address_text(address, true));

  for (std::size_t i = 0; i < 8; ++i) {
    if (i == zeros_at) {
      at = put_text(at, "::");
      i += zeros - 1;
      continue;
    }
    if (i > 0 && i != zeros_at + zeros) *at++ = ':';
    at = std::to_chars(at, at + 4, groups[i], 16).ptr;
  }
  return at;
}

}  // namespace

char* put_address(char* at, const Address& address, bool ipv6) {
  return ipv6 ? put_ipv6(at, address) : put_ipv4(at, address.data() + 12);
}

char* put_mac(char* at, const MacAddress& mac) {
  for (std::size_t i = 0; i < mac.size(); ++i) {
    if (i > 0) *at++ = ':';
    *at++ = kHex[mac[i] >> 4U];
    *at++ = kHex[mac[i] & 15U];
  }
  return at;
}

char* put_time(char* at, std::uint64_t ns) {
  const std::uint64_t seconds = ns / kNanosecondsPerSecond;
  const auto [year, month, day] = date_of(static_cast<std::uint32_t>(seconds / 86'400));
  const auto second_of_day = static_cast<std::uint32_t>(seconds % 86'400);
  at = digits<4>(at, year);
  *at++ = '-';
  at = digits<2>(at, month);
  *at++ = '-';
  at = digits<2>(at, day);
  *at++ = 'T';
  at = digits<2>(at, second_of_day / 3'600);
  *at++ = ':';
  at = digits<2>(at, second_of_day / 60 % 60);
  *at++ = ':';
  at = digits<2>(at, second_of_day % 60);
  *at++ = '.';
  at = digits<9>(at, static_cast<std::uint32_t>(ns % kNanosecondsPerSecond));
  *at++ = 'Z';
  return at;
}

char* put_hex(char* at, std::uint64_t value) {
  for (int shift = 60; shift >= 0; shift -= 4) *at++ = kHex[value >> static_cast<unsigned>(shift) & 15U];
  return at;
}

bool holds_ipv6(const Address& address) {
  constexpr std::array<std::uint8_t, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return !std::equal(mapped.begin(), mapped.end(), address.begin());
}

bool always_has_id(TunnelType type) {
  return type == TunnelType::vxlan || type == TunnelType::geneve || type == TunnelType::nvgre;
}

}  // namespace rheo
