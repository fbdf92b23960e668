// SPDX-License-Identifier: Apache-2.0
// What a FlowTable shows of the flows that are in it.
#include <algorithm>

#include "daemon/flow/flow_table.h"

namespace rheo {
namespace {

std::uint64_t rank_of(const FlowRecord& record, FlowOrder order) {
  switch (order) {
    case FlowOrder::packets:
      return record.forward.total.packets + record.reverse.total.packets;
    case FlowOrder::start:
      return record.flow_start_ns;
    case FlowOrder::end:
      return record.end_ns;
    case FlowOrder::bytes:
      break;
  }
  return record.forward.total.l3_bytes + record.reverse.total.l3_bytes;
}

}  // namespace

std::vector<LiveFlow> FlowTable::busiest(std::size_t limit) const {
  if (limit == 0) return {};  // all entries are looked at, a third of a GiB at a million flows
  struct Ranked {
    std::uint64_t bytes;
    std::uint32_t entry;
  };
  std::vector<Ranked> ranked;
  const auto used = static_cast<std::uint32_t>(file_.header().entries_used_upto);
  for (std::uint32_t i = 0; i < used; ++i) {
    const EntryState& entry = state(i);
    if (entry.flow_id != 0 && entry.recent_drain == drain_number_) ranked.push_back({entry.recent_bytes, i});
  }
  const auto end = ranked.begin() + static_cast<std::ptrdiff_t>(std::min(limit, ranked.size()));
  std::ranges::partial_sort(ranked, end, [](const Ranked& a, const Ranked& b) { return a.bytes > b.bytes; });

  std::vector<LiveFlow> flows;
  for (auto it = ranked.begin(); it != end; ++it) {
    const FlowEntry& flow = file_.entries()[it->entry];
    flows.push_back({make_record(flow.state, flow.origin, EndReason::active, clock_offset_ns_), it->bytes});
  }
  return flows;
}

std::vector<FlowRecord> FlowTable::find(const FlowQuery& query) const {
  struct Ranked {
    std::uint64_t rank;
    std::uint32_t entry;
  };
  const auto record_of = [&](std::uint32_t entry) {
    const FlowEntry& flow = file_.entries()[entry];
    return make_record(flow.state, flow.origin, EndReason::active, clock_offset_ns_);
  };
  std::vector<Ranked> ranked;
  const auto used = static_cast<std::uint32_t>(file_.header().entries_used_upto);
  for (std::uint32_t i = 0; i < used; ++i) {
    if (state(i).flow_id == 0) continue;
    const FlowRecord record = record_of(i);
    if (query.filter.matches(record)) ranked.push_back({rank_of(record, query.order), i});
  }
  const auto end =
      ranked.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(query.limit, ranked.size()));
  std::ranges::partial_sort(ranked, end, [](const Ranked& a, const Ranked& b) { return a.rank > b.rank; });

  std::vector<FlowRecord> found;
  for (auto it = ranked.begin(); it != end; ++it) found.push_back(record_of(it->entry));
  return found;
}

}  // namespace rheo
