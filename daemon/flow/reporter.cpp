// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/reporter.h"

#include <netinet/in.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "daemon/flow/merge.h"

namespace rheo {
namespace {

constexpr std::uint64_t kSilenceNs = 2'000'000'000;
constexpr std::uint8_t kSilentDrains = 2;

// Numbers of an entry's links: 0 is that of its key, then those of EntryState::link.
constexpr unsigned kOtherLinks = std::tuple_size_v<OtherLinks>;
constexpr unsigned kUnknown = 1 + kOtherLinks;

void begin_many_links(EntryState& entry) {
  entry.many_links = 1;
  for (const unsigned direction : {0U, 1U}) {
    entry.reporter[direction] = 0;
    entry.drain[direction] = static_cast<std::uint8_t>(entry.recent_drain);
  }
}

unsigned find_link(const EntryState& entry, std::uint32_t link) {
  if (entry.key.link == link) return 0;
  const auto* const found = std::ranges::find(entry.link, link);
  return found == entry.link.end() ? kUnknown : static_cast<unsigned>(found - entry.link.begin()) + 1;
}

/// Its number, or kUnknown when there is no room to note it.
unsigned note_link(EntryState& entry, std::uint32_t link) {
  auto* const free = std::ranges::find(entry.link, 0U);
  if (free == entry.link.end()) return kUnknown;
  *free = link;
  return static_cast<unsigned>(free - entry.link.begin()) + 1;
}

/// Forgets one that reports nothing; there is one, since two at most do.
unsigned make_room_for(EntryState& entry, std::uint32_t link) {
  unsigned number = kOtherLinks;
  while (entry.reporter[0] == number || entry.reporter[1] == number) --number;
  entry.link[number - 1] = link;
  return number;
}

bool is_silent(const EntryState& entry, unsigned direction, const abi::hot_row& row,
               std::uint32_t drain_number) {
  const auto drains = static_cast<std::uint8_t>(drain_number - entry.drain[direction]);
  return drains >= kSilentDrains && row.first_ns >= entry.side[direction].last_ns + kSilenceNs;
}

/// Takes what a direction has counted out of the entry. What its flags said of the connection stays true.
FlowCounts give_back(EntryState& entry, unsigned direction) {
  EntrySide& side = entry.side[direction];
  const FlowCounts counted = side.total;
  entry.recent_bytes -= std::min(entry.recent_bytes, counted.l2_bytes);
  EntrySide fresh{};
  fresh.last_ns = side.last_ns;
  if (entry.key.protocol == IPPROTO_TCP) {
    fresh.flags = side.flags;
    fresh.window_flags = side.window_flags;
  }
  side = fresh;
  return counted;
}

/// Link `number` becomes the key's, with the VLAN and tunnel it has in `place`, and takes over the number 0.
void move_to(EntryState& entry, unsigned number, const abi::flow_key& place) {
  entry.link[number - 1] = std::exchange(entry.key.link, place.link);
  entry.key.tunnel_id = place.tunnel_id;
  entry.key.vlan = place.vlan;
  entry.key.kind = place.kind;
  for (std::uint8_t& reporter : entry.reporter) {
    if (reporter == number)
      reporter = 0;
    else if (reporter == 0)
      reporter = static_cast<std::uint8_t>(number);
  }
}

}  // namespace

RowShare share_row(EntryState& entry, const abi::hot_row& row, std::uint32_t drain_number) {
  if (entry.many_links == 0) begin_many_links(entry);
  RowShare share{.counted = row};
  unsigned here = find_link(entry, row.key.link);
  const bool is_new = here == kUnknown;
  if (is_new) here = note_link(entry, row.key.link);
  // Only for a link that is known to be new: of another, rows that were merged before would be missing.
  const bool is_older = is_new && here != kUnknown && entry.sequence == 0 && row.first_ns < entry.first_ns;

  for (const unsigned direction : {0U, 1U}) {
    if (row.direction[direction].packets == 0) continue;
    if (entry.reporter[direction] != here) {
      const bool is_free =
          entry.side[direction].total.packets == 0 || is_silent(entry, direction, row, drain_number);
      if (!is_free && !is_older) {
        share.duplicate += direction_counts(row.direction[direction]);
        share.counted.direction[direction] = {};
        continue;
      }
      if (!is_free) share.given_back += give_back(entry, direction);
      if (here == kUnknown) here = make_room_for(entry, row.key.link);
      entry.reporter[direction] = static_cast<std::uint8_t>(here);
    }
    entry.drain[direction] = static_cast<std::uint8_t>(drain_number);
  }
  share.duplicate += share.given_back;
  // The key's link is the one that reports the initiator's packets.
  if (here != 0 && here != kUnknown && entry.reporter[entry.initiator] == here) {
    move_to(entry, here, row.key);
    share.new_place = true;
  }
  return share;
}

}  // namespace rheo
