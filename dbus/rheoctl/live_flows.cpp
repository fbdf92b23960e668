// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/live_flows.h"

#include <algorithm>
#include <utility>

#include "daemon/base/clock.h"

namespace rheo::ctl {
namespace {

// In the order of LiveOrder.
constexpr std::string_view kOrders[] = {"rate", "packet-rate", "bytes", "packets", "start", "end"};
static_assert(std::size(kOrders) == kLiveOrderCount);

void add(Rate& sum, const Rate& rate) {
  sum.packets += rate.packets;
  sum.bits += rate.bits;
}

}  // namespace

std::string_view live_order_name(LiveOrder order) { return kOrders[static_cast<std::size_t>(order)]; }

std::optional<LiveOrder> live_order(std::string_view name) {
  const auto* const found = std::ranges::find(kOrders, name);
  if (found == std::end(kOrders)) return std::nullopt;
  return static_cast<LiveOrder>(found - std::begin(kOrders));
}

void LiveFlows::look(const TableReader& table) {
  const std::uint64_t drained_at_ns = table.drained_at_ns();
  const bool drained = drained_at_ns > drained_at_ns_;
  const std::uint64_t before_ns = std::exchange(drained_at_ns_, drained_at_ns);
  const double seconds =
      drained && before_ns != 0 ? static_cast<double>(drained_at_ns - before_ns) / kNanosecondsPerSecond : 0;
  has_rates_ = has_rates_ || seconds > 0;
  slots_.resize(table.entries());
  flows_ = 0;
  FlowEntry entry;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (table.read(i, entry)) {
      look_at(slots_[i], entry.state, {.drained = drained, .seconds = seconds, .before_ns = before_ns});
      ++flows_;
    } else {
      slots_[i] = Slot{};
    }
  }
}

void LiveFlows::look_at(Slot& slot, const EntryState& now, const Interval& interval) {
  const bool known = slot.state.flow_id == now.flow_id;
  if (!known) slot = Slot{};
  slot.state = now;
  if (!interval.drained) return;
  // Of an older flow that could not be read at the last look, it is not known what came since.
  const bool has_rate = interval.seconds > 0 && (known || now.first_ns >= interval.before_ns);
  for (const unsigned side : {0U, 1U}) {
    const Counted counted{now.side[side].total.packets, now.side[side].total.l3_bytes};
    const Counted before = std::exchange(slot.drained[side], counted);
    if (!has_rate) continue;
    slot.rate[side] = {.packets = static_cast<double>(counted.packets - before.packets) / interval.seconds,
                       .bits = 8 * static_cast<double>(counted.bytes - before.bytes) / interval.seconds};
  }
}

double LiveFlows::rank_of(const Slot& slot, LiveOrder order) {
  const FlowCounts total = slot.state.side[0].total + slot.state.side[1].total;
  switch (order) {
    case LiveOrder::rate:
      return slot.rate[0].bits + slot.rate[1].bits;
    case LiveOrder::packet_rate:
      return slot.rate[0].packets + slot.rate[1].packets;
    case LiveOrder::bytes:
      return static_cast<double>(total.l3_bytes);
    case LiveOrder::packets:
      return static_cast<double>(total.packets);
    case LiveOrder::start:
      return static_cast<double>(slot.state.first_ns);
    case LiveOrder::end:
      break;
  }
  return static_cast<double>(last_ns(slot.state));
}

LiveAnswer LiveFlows::answer(const LiveQuery& query, std::int64_t clock_offset_ns) const {
  struct Ranked {
    double rank;
    std::uint32_t slot;
  };
  const auto record_of = [&](const Slot& slot) {
    return make_record(slot.state, EntryOrigin{}, EndReason::active, clock_offset_ns);
  };
  LiveAnswer answer;
  std::vector<Ranked> ranked;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.state.flow_id == 0 || !query.filter.matches(record_of(slot))) continue;
    ranked.push_back({rank_of(slot, query.order), i});
    add(answer.forward, slot.rate[slot.state.initiator]);
    add(answer.reverse, slot.rate[slot.state.initiator ^ 1U]);
  }
  answer.matching = ranked.size();
  const std::size_t first = std::min(query.first, ranked.size());
  const std::size_t last = std::min(first + query.count, ranked.size());
  // Of two that are equal the same is always above, or the picture would flicker.
  std::ranges::partial_sort(
      ranked, ranked.begin() + static_cast<std::ptrdiff_t>(last),
      [](const Ranked& a, const Ranked& b) { return a.rank != b.rank ? a.rank > b.rank : a.slot < b.slot; });
  for (std::size_t i = first; i < last; ++i) {
    const Slot& slot = slots_[ranked[i].slot];
    answer.flows.push_back({.record = record_of(slot),
                            .forward = slot.rate[slot.state.initiator],
                            .reverse = slot.rate[slot.state.initiator ^ 1U]});
  }
  return answer;
}

}  // namespace rheo::ctl
