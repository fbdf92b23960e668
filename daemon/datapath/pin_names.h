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
#include "daemon/model/link.h"

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

/// Of the programs that note the owners of sockets; by OwnerPrograms.
inline constexpr std::array kOwnerMapPins = {"owners", "socket_owners", "owner_numbers", "owner_sequence",
                                             "recent_owners"};
inline constexpr std::size_t kOwnersMap = 0;
inline constexpr std::size_t kSocketOwnersMap = 1;
inline constexpr std::size_t kOwnerSequenceMap = 3;
inline constexpr std::size_t kRecentOwnersMap = 4;
inline constexpr std::string_view kOwnerLinkPrefix = "owner_link_";

inline constexpr std::string_view kLinkPinPrefix = "link_";
inline constexpr std::string_view kQdiscMarkPrefix = "qdisc_";
inline constexpr std::string_view kNetnsMarkPrefix = "netns_";
inline constexpr const char* kOrderLastMark = "tcx_order_last";  // the links were made behind other programs

/// One hook of one interface.
struct Place {
  std::uint32_t ifindex = 0;
  Direction direction = Direction::ingress;
  std::uint8_t netns = 0;
  LinkId link() const { return {.netns = netns, .ifindex = ifindex}; }
  friend auto operator<=>(const Place&, const Place&) = default;
};

/// That the network namespace has the number: programs, rows and pins name it by that.
struct NetnsMark {
  std::uint8_t number = 0;
  std::uint64_t inode = 0;
  std::uint64_t name_hash = 0;  // since a later namespace may have the same inode
  friend bool operator==(const NetnsMark&, const NetnsMark&) = default;
};

inline constexpr std::array kDirections = {Direction::ingress, Direction::egress};

std::string link_pin(const Place& place);
std::string qdisc_mark(LinkId link);
std::string netns_mark(const NetnsMark& mark);

/// Of the name of a namespace, which a pin's name cannot hold: it may have dots.
std::uint64_t netns_name_hash(std::string_view name);

/// Nothing for names of another form.
std::optional<Place> place_of_link_pin(std::string_view name);
std::optional<LinkId> link_of_qdisc_mark(std::string_view name);
std::optional<NetnsMark> netns_of_mark(std::string_view name);
bool is_map_pin(std::string_view name);  // of owners, too
bool is_owner_link_pin(std::string_view name);

}  // namespace rheo
