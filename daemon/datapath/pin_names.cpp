// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/pin_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace rheo {
namespace {

/// The number at the beginning of `text`, which is cut off; 0 where there is none.
std::uint32_t take_number(std::string_view& text) {
  std::uint32_t number = 0;
  const char* const end = std::from_chars(text.data(), text.data() + text.size(), number).ptr;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

}  // namespace

std::string link_pin(const Place& place) {
  return fmt::format("{}{}_{}", kLinkPinPrefix, place.ifindex, direction_name(place.direction));
}

std::string qdisc_mark(std::uint32_t ifindex) { return fmt::format("{}{}", kQdiscMarkPrefix, ifindex); }

std::optional<Place> place_of_link_pin(std::string_view name) {
  if (!name.starts_with(kLinkPinPrefix)) return std::nullopt;
  std::string_view rest = name.substr(kLinkPinPrefix.size());
  const std::uint32_t ifindex = take_number(rest);
  for (const Direction direction : kDirections) {
    const Place place{ifindex, direction};
    if (ifindex != 0 && name == link_pin(place)) return place;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> ifindex_of_qdisc_mark(std::string_view name) {
  if (!name.starts_with(kQdiscMarkPrefix)) return std::nullopt;
  std::string_view rest = name.substr(kQdiscMarkPrefix.size());
  const std::uint32_t ifindex = take_number(rest);
  if (ifindex == 0 || name != qdisc_mark(ifindex)) return std::nullopt;
  return ifindex;
}

bool is_map_pin(std::string_view name) { return std::ranges::find(kMapPins, name) != kMapPins.end(); }

}  // namespace rheo
