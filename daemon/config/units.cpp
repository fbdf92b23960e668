// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

namespace rheo {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Large to small, the order in which the parts of a duration are written.
constexpr std::array<Unit, 4> kDurationUnits = {{
    {"h", 3'600'000'000'000},
    {"m", 60'000'000'000},
    {"s", 1'000'000'000},
    {"ms", 1'000'000},
}};

constexpr std::array<Unit, 4> kSizeUnits = {{
    {"GiB", 1ULL << 30U},
    {"MiB", 1ULL << 20U},
    {"KiB", 1ULL << 10U},
    {"B", 1},
}};

/// A number and the letters after it, taken off the front of `text`.
struct Quantity {
  std::uint64_t number;
  std::string_view unit;
};

std::optional<Quantity> take_quantity(std::string_view& text) {
  std::uint64_t number = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [after, fault] = std::from_chars(begin, end, number);
  if (fault != std::errc()) return std::nullopt;

  const char* letters = after;
  while (letters != end && (*letters < '0' || *letters > '9')) ++letters;
  const Quantity taken{number, {after, static_cast<std::size_t>(letters - after)}};
  text.remove_prefix(static_cast<std::size_t>(letters - begin));
  return taken;
}

std::optional<std::uint64_t> multiply(std::uint64_t number, std::uint64_t factor, std::uint64_t limit) {
  if (number > limit / factor) return std::nullopt;
  return number * factor;
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  constexpr auto kLimit = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (text.empty()) return std::nullopt;

  std::uint64_t sum = 0;
  auto unit = kDurationUnits.begin();
  while (!text.empty()) {
    const auto part = take_quantity(text);
    if (!part) return std::nullopt;
    while (unit != kDurationUnits.end() && unit->name != part->unit) ++unit;
    if (unit == kDurationUnits.end()) return std::nullopt;
    const auto value = multiply(part->number, unit->factor, kLimit - sum);
    if (!value) return std::nullopt;
    sum += *value;
    ++unit;
  }
  return Duration(static_cast<std::int64_t>(sum));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const auto quantity = take_quantity(text);
  if (!quantity || !text.empty()) return std::nullopt;

  for (const Unit& unit : kSizeUnits)
    if (unit.name == quantity->unit)
      return multiply(quantity->number, unit.factor, std::numeric_limits<std::uint64_t>::max());
  return std::nullopt;
}

std::string duration_text(Duration duration) {
  std::string text;
  auto rest = static_cast<std::uint64_t>(duration.count());
  for (const Unit& unit : kDurationUnits) {
    if (rest >= unit.factor) text += fmt::format("{}{}", rest / unit.factor, unit.name);
    rest %= unit.factor;
  }
  return text.empty() ? "0s" : text;
}

std::string size_text(std::uint64_t bytes) {
  for (const Unit& unit : kSizeUnits)
    if (bytes >= unit.factor && bytes % unit.factor == 0)
      return fmt::format("{}{}", bytes / unit.factor, unit.name);
  return "0B";
}

}  // namespace rheo
