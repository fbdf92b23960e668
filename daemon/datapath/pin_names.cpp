// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/pin_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace rheo {
namespace {

constexpr std::string_view kNetnsSuffix = "_netns";

/// The number at the beginning of `text`, which is cut off; 0 where there is none.
template <class Number>
Number take_number(std::string_view& text, int base = 10) {
  Number number = 0;
  const char* const end = std::from_chars(text.data(), text.data() + text.size(), number, base).ptr;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

void take(std::string_view& text, std::string_view word) {
  if (text.starts_with(word)) text.remove_prefix(word.size());
}

/// Behind the pins of other namespaces than rheod's own.
std::string netns_suffix(std::uint8_t number) {
  return number == 0 ? "" : fmt::format("{}{}", kNetnsSuffix, number);
}

}  // namespace

std::string link_pin(const Place& place) {
  return fmt::format("{}{}_{}{}", kLinkPinPrefix, place.ifindex, direction_name(place.direction),
                     netns_suffix(place.netns));
}

std::string qdisc_mark(LinkId link) {
  return fmt::format("{}{}{}", kQdiscMarkPrefix, link.ifindex, netns_suffix(link.netns));
}

std::string netns_mark(const NetnsMark& mark) {
  return fmt::format("{}{}_{}_{:x}", kNetnsMarkPrefix, mark.number, mark.inode, mark.name_hash);
}

/// FNV-1a.
std::uint64_t netns_name_hash(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

std::optional<Place> place_of_link_pin(std::string_view name) {
  if (!name.starts_with(kLinkPinPrefix)) return std::nullopt;
  std::string_view rest = name.substr(kLinkPinPrefix.size());
  const auto ifindex = take_number<std::uint32_t>(rest);
  for (const Direction direction : kDirections) {
    std::string_view behind = rest;
    take(behind, "_");
    take(behind, direction_name(direction));
    take(behind, kNetnsSuffix);
    const Place place{ifindex, direction, take_number<std::uint8_t>(behind)};
    if (ifindex != 0 && name == link_pin(place)) return place;
  }
  return std::nullopt;
}

std::optional<LinkId> link_of_qdisc_mark(std::string_view name) {
  if (!name.starts_with(kQdiscMarkPrefix)) return std::nullopt;
  std::string_view rest = name.substr(kQdiscMarkPrefix.size());
  const auto ifindex = take_number<std::uint32_t>(rest);
  take(rest, kNetnsSuffix);
  const LinkId link{.netns = take_number<std::uint8_t>(rest), .ifindex = ifindex};
  if (ifindex == 0 || name != qdisc_mark(link)) return std::nullopt;
  return link;
}

std::optional<NetnsMark> netns_of_mark(std::string_view name) {
  if (!name.starts_with(kNetnsMarkPrefix)) return std::nullopt;
  std::string_view rest = name.substr(kNetnsMarkPrefix.size());
  NetnsMark mark{.number = take_number<std::uint8_t>(rest)};
  take(rest, "_");
  mark.inode = take_number<std::uint64_t>(rest);
  take(rest, "_");
  mark.name_hash = take_number<std::uint64_t>(rest, 16);
  if (mark.number == 0 || name != netns_mark(mark)) return std::nullopt;
  return mark;
}

bool is_map_pin(std::string_view name) {
  return std::ranges::find(kMapPins, name) != kMapPins.end() ||
         std::ranges::find(kOwnerMapPins, name) != kOwnerMapPins.end();
}

bool is_owner_link_pin(std::string_view name) { return name.starts_with(kOwnerLinkPrefix); }

}  // namespace rheo
