// SPDX-License-Identifier: Apache-2.0
// PinNames: what rheo's pins are called in the folder of a schema. All schemas up to ours call them so; what
// is called otherwise there is not touched. Pure, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/datapath/options.h"

namespace rheo {

/// Pins of the maps. flow_cache is pinned last and unpinned first: where it is, all are.
inline constexpr const char* kFlowCachePin = "flow_cache";
inline constexpr const char* kGeneration0Pin = "generation0";
inline constexpr const char* kGeneration1Pin = "generation1";
inline constexpr const char* kEvictedPin = "evicted";
inline constexpr const char* kCountersPin = "counters";
inline constexpr const char* kFragmentsPin = "fragments";
inline constexpr std::array kMapPins = {kFlowCachePin, kGeneration0Pin, kGeneration1Pin,
                                        kEvictedPin,   kFragmentsPin,   kCountersPin};

inline constexpr std::string_view kLinkPinPrefix = "link_";
inline constexpr std::string_view kQdiscMarkPrefix = "qdisc_";
inline constexpr const char* kOrderLastMark = "tcx_order_last";  // the links were made behind other programs

/// One hook of one interface.
struct Place {
  std::uint32_t ifindex = 0;
  Direction direction = Direction::ingress;
  friend auto operator<=>(const Place&, const Place&) = default;
};

inline constexpr std::array kDirections = {Direction::ingress, Direction::egress};

std::string link_pin(const Place& place);
std::string qdisc_mark(std::uint32_t ifindex);

/// Nothing for names of another form.
std::optional<Place> place_of_link_pin(std::string_view name);
std::optional<std::uint32_t> ifindex_of_qdisc_mark(std::string_view name);
bool is_map_pin(std::string_view name);

}  // namespace rheo
