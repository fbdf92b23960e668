// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/metrics_encoder.h"

#include <array>
#include <functional>

#include "export/otlp/resource.h"
#include "export/otlp/wire.h"

namespace rheo {
namespace {

constexpr std::string_view kPacket = "{packet}";
constexpr std::string_view kBytes = "By";
constexpr std::array<const char*, kEndReasonCount> kEndReasons = {
    "idle", "active", "fin", "rst", "lack_of_resources", "forced"};

/// Appends metrics to a ScopeMetrics.
class Metrics {
 public:
  explicit Metrics(std::uint64_t now_ns) : now_ns_(now_ns) {}

  void sum(const std::string& name, std::string_view unit, std::uint64_t value) {
    std::string data;
    wire::append_field(data, 1, point(value));
    sum_of(name, unit, std::move(data));
  }
  /// One that has a point for each end reason.
  void by_reason(const std::string& name, std::string_view unit,
                 const std::uint64_t (&values)[kEndReasonCount]) {
    std::string data;
    for (std::size_t i = 0; i < kEndReasons.size(); ++i)
      wire::append_field(data, 1, point(values[i]) + attribute("reason", kEndReasons[i]));
    sum_of(name, unit, std::move(data));
  }
  /// One that has a point for each lane.
  template <class Value>
  void by_lane(const std::string& name, std::string_view unit, const std::vector<LaneCounters>& lanes,
               Value value, bool is_sum = true) {
    std::string data;
    for (const LaneCounters& lane : lanes)
      wire::append_field(data, 1, point(std::invoke(value, lane)) + attribute("exporter", lane.name));
    if (is_sum)
      sum_of("lane." + name, unit, std::move(data));
    else
      metric("lane." + name, unit, 5, data);
  }
  void gauge(const std::string& name, std::string_view unit, std::uint64_t value) {
    std::string data;
    wire::append_field(data, 1, point(value));
    metric(name, unit, 5, data);
  }
  void counts(const std::string& name, const FlowCounts& counts) {
    sum(name + ".packets", kPacket, counts.packets);
    sum(name + ".l3_bytes", kBytes, counts.l3_bytes);
    sum(name + ".l2_bytes", kBytes, counts.l2_bytes);
  }
  const std::string& bytes() const { return out_; }

 private:
  /// Of NumberDataPoint: the time and the value.
  std::string point(std::uint64_t value) const {
    char bytes[18] = {wire::key(3, wire::Type::fixed64)};
    wire::put_fixed64(bytes + 1, now_ns_);
    bytes[9] = wire::key(6, wire::Type::fixed64);
    wire::put_fixed64(bytes + 10, value);
    return {bytes, sizeof bytes};
  }
  static std::string attribute(const char* key, const std::string& value) {
    std::string out;
    wire::append_field(out, 7, encode_attribute({.key = key, .value = value}));
    return out;
  }
  void sum_of(const std::string& name, std::string_view unit, std::string data) {
    constexpr char cumulative = 2;
    data += {wire::key(2, wire::Type::varint), cumulative, wire::key(3, wire::Type::varint), 1};
    metric(name, unit, 7, data);
  }
  void metric(const std::string& name, std::string_view unit, unsigned field, const std::string& data) {
    std::string one;
    wire::append_field(one, 1, "rheo." + name);
    wire::append_field(one, 3, unit);
    wire::append_field(one, field, data);
    wire::append_field(out_, 2, one);
  }

  const std::uint64_t now_ns_;
  std::string out_;
};

void add_datapath(Metrics& metrics, const DatapathCounters& datapath) {
  metrics.sum("datapath.seen_packets", kPacket, datapath.seen_packets);
  metrics.sum("datapath.seen_bytes", kBytes, datapath.seen_bytes);
  metrics.sum("datapath.evicted_rows", "{row}", datapath.evicted_rows);
  metrics.sum("datapath.nonlinear_packets", kPacket, datapath.nonlinear_packets);
  metrics.sum("datapath.fragments_unknown", kPacket, datapath.fragments_unknown);
  for (const NamedLoss& loss : kNamedLosses) {
    const std::string name = std::string("datapath.") + loss.name;
    metrics.sum(name + ".packets", kPacket, (datapath.*loss.count).packets);
    metrics.sum(name + ".bytes", kBytes, (datapath.*loss.count).bytes);
  }
}

void add_table(Metrics& metrics, const TableCounters& table) {
  metrics.gauge("table.active_flows", "{flow}", table.active_flows);
  metrics.sum("table.rows_merged", "{row}", table.rows_merged);
  metrics.sum("table.flows_made", "{flow}", table.flows_made);
  metrics.by_reason("table.records", "{record}", table.records);
  metrics.counts("table.merged", table.merged);
  metrics.counts("table.recorded", table.recorded);
  metrics.counts("table.duplicate", table.duplicate);
  metrics.gauge("table.outbox_pending", "{record}", table.outbox_pending);
}

void add_lanes(Metrics& metrics, const std::vector<LaneCounters>& lanes) {
  if (lanes.empty()) return;
  constexpr std::string_view records = "{record}";
  metrics.by_lane("records_sent", records, lanes, &LaneCounters::records_sent);
  metrics.by_lane("writes_failed", "{write}", lanes, &LaneCounters::writes_failed);
  metrics.by_lane("records_pending", records, lanes, &LaneCounters::records_pending, false);
  metrics.by_lane("records_lost", records, lanes, &LaneCounters::records_lost);
  metrics.by_lane("records_spooled", records, lanes, &LaneCounters::records_spooled, false);
  metrics.by_lane("records_rejected", records, lanes, &LaneCounters::records_rejected);
  metrics.by_lane("lost.packets", kPacket, lanes, [](const auto& lane) { return lane.lost.packets; });
  metrics.by_lane("lost.l3_bytes", kBytes, lanes, [](const auto& lane) { return lane.lost.l3_bytes; });
  metrics.by_lane("lost.l2_bytes", kBytes, lanes, [](const auto& lane) { return lane.lost.l2_bytes; });
}

}  // namespace

std::string encode_metrics(const MeteringCounters& counters, const MetricsContext& context) {
  Metrics metrics(context.now_ns);
  add_datapath(metrics, counters.datapath);
  add_table(metrics, counters.table);
  add_lanes(metrics, counters.lanes);
  std::string scope_metrics;
  wire::append_field(scope_metrics, 1, context.scope);
  scope_metrics += metrics.bytes();
  std::string resource_metrics;
  wire::append_field(resource_metrics, 1, context.resource);
  wire::append_field(resource_metrics, 2, scope_metrics);
  std::string request;
  wire::append_field(request, 1, resource_metrics);
  return request;
}

}  // namespace rheo
