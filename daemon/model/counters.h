// SPDX-License-Identifier: Apache-2.0
// DaemonCounters: every number that rheod keeps about its own work, by stage. One value, made by the
// collector and the lanes, for SIGUSR1, the exit summary, the bus and the metrics exporters. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/model/flow_record.h"

namespace rheo {

struct LossCount {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;  // layer-2 octets
};

/// The kernel side (or a replay), since its maps were made.
struct DatapathCounters {
  std::uint64_t seen_packets = 0;
  std::uint64_t seen_bytes = 0;
  std::uint64_t evicted_rows = 0;
  std::uint64_t nonlinear_packets = 0;
  std::uint64_t fragments_unknown = 0;
  LossCount not_ip;
  LossCount truncated;
  LossCount malformed;
  LossCount too_deep;
  LossCount evicted_full;
};

/// The flow table: `merged`, `recorded` and `duplicate` since its file was made, the rest by this process.
struct TableCounters {
  std::uint64_t active_flows = 0;
  std::uint64_t rows_merged = 0;
  std::uint64_t flows_made = 0;
  std::uint64_t records[kEndReasonCount] = {};
  FlowCounts merged;     // all rows ever merged but for `duplicate`
  FlowCounts recorded;   // all deltas ever put into records; merged - recorded is still in the table
  FlowCounts duplicate;  // packets that another link had reported; in no flow
  std::uint64_t outbox_pending = 0;  // of the slowest lane
};

struct LaneCounters {
  std::string name;  // "json.default"
  std::uint64_t records_sent = 0;
  std::uint64_t writes_failed = 0;
  std::uint64_t records_pending = 0;
  std::uint64_t records_lost = 0;
  std::uint64_t records_rejected = 0;  // sent, but not kept by the receiver (OTLP's partial_success)
  std::uint64_t records_spooled = 0;   // of records_sent: on disk, for a receiver that is away
  FlowCounts lost = {};
};

struct CollectorCounters {
  std::uint64_t drains = 0;
  std::uint64_t drain_ns_last = 0;
  std::uint64_t drain_ns_longest = 0;
  std::uint64_t drains_failed = 0;
  std::uint64_t clock_steps = 0;
};

/// Of the interfaces, and of watching them.
struct LinkCounters {
  std::uint64_t metered = 0;   // now
  std::uint64_t failing = 0;   // wanted now, and refused by the kernel
  std::uint64_t attached = 0;  // times that one was attached
  std::uint64_t detached = 0;  // times that one was detached, or was gone
  std::uint64_t attach_failures = 0;
  std::uint64_t watch_overruns = 0;  // times that the kernel had more to tell than there was room for
};

/// Of the owners of sockets, since this process started.
struct OwnerCounters {
  std::uint64_t resolved = 0;   // found in the kernel's notes
  std::uint64_t forgotten = 0;  // asked for when the note had made room for another
  std::uint64_t known = 0;      // now
  // Times that the files of container runtimes were read, and told a name, or none.
  std::uint64_t containers_named = 0;
  std::uint64_t containers_unnamed = 0;
};

struct DaemonCounters {
  DatapathCounters datapath;
  CollectorCounters collector;
  TableCounters table;
  std::vector<LaneCounters> lanes;
  LinkCounters links;
  OwnerCounters owners;
};

}  // namespace rheo
