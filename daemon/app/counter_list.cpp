// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/counter_list.h"

#include "daemon/base/log.h"
#include "daemon/model/metering.h"

namespace rheo {
namespace {

class List {
 public:
  void add(const std::string& name, std::uint64_t value) { counters_.push_back({name, value}); }

  void add_loss(const std::string& name, const LossCount& loss) {
    add(name + ".packets", loss.packets);
    add(name + ".bytes", loss.bytes);
  }

  void add_counts(const std::string& name, const FlowCounts& counts) {
    add(name + ".packets", counts.packets);
    add(name + ".l3_bytes", counts.l3_bytes);
    add(name + ".l2_bytes", counts.l2_bytes);
  }

  std::vector<NamedCounter> take() { return std::move(counters_); }

 private:
  std::vector<NamedCounter> counters_;
};

constexpr const char* kEndReasonKeys[kEndReasonCount] = {"idle",  "active", "fin", "rst", "lack_of_resources",
                                                         "forced"};

void add_datapath(List& list, const DatapathCounters& datapath) {
  list.add("datapath.seen_packets", datapath.seen_packets);
  list.add("datapath.seen_bytes", datapath.seen_bytes);
  list.add("datapath.evicted_rows", datapath.evicted_rows);
  list.add("datapath.nonlinear_packets", datapath.nonlinear_packets);
  list.add("datapath.fragments_unknown", datapath.fragments_unknown);
  for (const NamedLoss& loss : kNamedLosses)
    list.add_loss(std::string("datapath.") + loss.name, datapath.*loss.count);
}

void add_links(List& list, const LinkCounters& links) {
  list.add("links.metered", links.metered);
  list.add("links.failing", links.failing);
  list.add("links.attached", links.attached);
  list.add("links.detached", links.detached);
  list.add("links.attach_failures", links.attach_failures);
  list.add("links.watch_overruns", links.watch_overruns);
}

void add_table(List& list, const TableCounters& table) {
  list.add("table.active_flows", table.active_flows);
  list.add("table.rows_merged", table.rows_merged);
  list.add("table.flows_made", table.flows_made);
  for (int reason = 0; reason < kEndReasonCount; ++reason)
    list.add(std::string("table.records.") + kEndReasonKeys[reason], table.records[reason]);
  list.add_counts("table.merged", table.merged);
  list.add_counts("table.recorded", table.recorded);
  list.add_counts("table.duplicate", table.duplicate);
  list.add("table.outbox_pending", table.outbox_pending);
}

}  // namespace

std::vector<NamedCounter> list_counters(const DaemonCounters& counters) {
  List list;
  add_datapath(list, counters.datapath);
  add_links(list, counters.links);
  list.add("owners.resolved", counters.owners.resolved);
  list.add("owners.forgotten", counters.owners.forgotten);
  list.add("owners.known", counters.owners.known);
  list.add("owners.containers_named", counters.owners.containers_named);
  list.add("owners.containers_unnamed", counters.owners.containers_unnamed);
  list.add("collector.drains", counters.collector.drains);
  list.add("collector.drain_ns_last", counters.collector.drain_ns_last);
  list.add("collector.drain_ns_longest", counters.collector.drain_ns_longest);
  list.add("collector.drains_failed", counters.collector.drains_failed);
  list.add("collector.clock_steps", counters.collector.clock_steps);
  add_table(list, counters.table);
  for (const LaneCounters& lane : counters.lanes) {
    const std::string name = "lane." + lane.name;
    list.add(name + ".records_sent", lane.records_sent);
    list.add(name + ".writes_failed", lane.writes_failed);
    list.add(name + ".records_pending", lane.records_pending);
    list.add(name + ".records_lost", lane.records_lost);
    list.add(name + ".records_rejected", lane.records_rejected);
    list.add(name + ".records_spooled", lane.records_spooled);
    list.add_counts(name + ".lost", lane.lost);
  }
  return list.take();
}

void log_counters(const DaemonCounters& counters) {
  for (const NamedCounter& counter : list_counters(counters))
    log::notice("counter {} {}", counter.name, counter.value);
}

}  // namespace rheo
