// SPDX-License-Identifier: Apache-2.0
// Which of the links that a flow is seen on reports it, where such a flow is reported once: for each
// direction one link, whose packets are the flow's; those of the others are duplicates. Pure functions of an
// entry, any thread.
//
// The first to be merged is the reporter, unless one follows whose packets are older. One that is silent for
// two seconds, and in the drain before, is replaced by the next that counts. In the drain before, because of
// one that counted in it packets may still be to be merged, and would be counted twice.
#pragma once

#include <cstdint>

#include "daemon/flow/table_layout.h"

namespace rheo {

/// True while the flow was seen on this row's link only: all of the row is the flow's.
inline bool on_its_only_link(const EntryState& entry, const abi::hot_row& row) {
  return entry.many_links == 0 && entry.key.link == row.key.link;
}

/// What one row is to a flow of several links.
struct RowShare {
  abi::hot_row counted{};   // the row without the directions in which it repeats what another link reports
  FlowCounts duplicate{};   // the rest of the row, and given_back
  FlowCounts given_back{};  // what the entry had counted on a link that another replaces from the beginning
  bool new_place = false;   // the entry's key has the row's link, VLAN and tunnel now
};

/// Decides for each direction of the row. Brings `entry` up to date but for the counted row, which is not
/// added to it.
RowShare share_row(EntryState& entry, const abi::hot_row& row, std::uint32_t drain_number);

}  // namespace rheo
