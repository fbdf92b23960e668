// SPDX-License-Identifier: Apache-2.0
// LiveFlows: the flows of a table as they were at the last look, with the rates that two looks give. One
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/model/flow_filter.h"
#include "dbus/rheoctl/table_reader.h"

namespace rheo::ctl {

/// Of one direction, per second.
struct Rate {
  double packets = 0;
  double bits = 0;  // of layer 3
};

struct LiveFlow {
  FlowRecord record;  // as one closed now
  Rate forward;
  Rate reverse;
};

/// By what flows are put in order, the greatest first.
enum class LiveOrder : std::uint8_t { rate, packet_rate, bytes, packets, start, end };
inline constexpr int kLiveOrderCount = 6;

/// "rate", "packet-rate", "bytes", "packets", "start", "end"
std::string_view live_order_name(LiveOrder order);
std::optional<LiveOrder> live_order(std::string_view name);

struct LiveQuery {
  FlowFilter filter;
  LiveOrder order = LiveOrder::rate;
  std::size_t first = 0;  // of those that match, in order
  std::size_t count = 0;
};

struct LiveAnswer {
  std::vector<LiveFlow> flows;
  std::size_t matching = 0;
  Rate forward;  // of all that match
  Rate reverse;
};

class LiveFlows {
 public:
  /// Looks at every entry. Rates are those of the time between the drains that were seen by two looks: where
  /// there was none since the last look they stay.
  void look(const TableReader& table);

  std::size_t size() const { return flows_; }
  std::uint64_t drained_at_ns() const { return drained_at_ns_; }
  bool has_rates() const { return has_rates_; }

  /// Looks at no table.
  LiveAnswer answer(const LiveQuery& query, std::int64_t clock_offset_ns) const;

 private:
  struct Counted {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
  };
  /// What is known of an entry; sides are those of its key.
  struct Slot {
    EntryState state{};
    std::array<Counted, 2> drained{};  // at the last drain that was seen
    std::array<Rate, 2> rate{};
  };

  /// Between the drains that this look and the one before have seen.
  struct Interval {
    bool drained = false;  // there was a drain since
    double seconds = 0;    // 0: this is the first look
    std::uint64_t before_ns = 0;
  };

  static void look_at(Slot& slot, const EntryState& now, const Interval& interval);
  static double rank_of(const Slot& slot, LiveOrder order);

  std::vector<Slot> slots_;  // by number of the entry
  std::size_t flows_ = 0;
  std::uint64_t drained_at_ns_ = 0;
  bool has_rates_ = false;
};

}  // namespace rheo::ctl
