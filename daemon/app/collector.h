// SPDX-License-Identifier: Apache-2.0
// Collector: the thread that drains the flow cache, merges into the flow table and ends records. The only one
// that reads rows. Between start() and stop() datapath rows and flow table are its own; what others may know
// of them is in report().
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "daemon/base/snapshot.h"
#include "daemon/base/unique_fd.h"
#include "daemon/config/config.h"
#include "daemon/datapath/datapath.h"
#include "daemon/flow/flow_table.h"
#include "daemon/model/counters.h"
#include "daemon/model/flow_filter.h"
#include "daemon/model/listeners.h"

namespace rheo {

struct CollectorOptions {
  Duration drain_interval = std::chrono::seconds(1);
  std::size_t live_flows = 0;  // how many of the busiest flows to report
};

/// What of its work can change while it runs.
struct CollectorRules {
  CollectorOptions options;
  FlowTimeouts timeouts;
};

/// What becomes of the flows in the table when the collector stops.
enum class FlowsAtEnd : std::uint8_t { close, keep };

/// The collector's numbers after its last drain.
struct CollectorReport {
  CollectorCounters collector;
  TableCounters table;
  std::vector<LiveFlow> busiest;
  std::uint64_t drained_at_ns = 0;  // CLOCK_MONOTONIC
};

/// Something for the collector's thread to do besides. `done` is called there; never, if rheod stops before.
struct CollectorRequest {
  std::optional<FlowQuery> flows;  // to be found; none: drain now
  std::function<void(const Status&, std::vector<FlowRecord>)> done;
};

/// What stop() left behind.
struct CollectorEnd {
  bool drained = false;  // no row is left in the kernel
  bool closed = false;   // no flow is left in the table
};

class Collector {
 public:
  /// Datapath, table and listeners outlive the collector.
  Collector(Datapath& datapath, FlowTable& table, const Snapshot<Listeners>& listeners,
            CollectorOptions options);
  ~Collector();

  /// Takes what an earlier process left in the idle generation and the ring. Before start(), no other thread
  /// running.
  void take_leftovers();

  Status start();

  /// The last drains, which are the last where Datapath::detach_all() came before; then every flow is closed
  /// as fast as the lanes take the records, until `deadline_ns` (CLOCK_MONOTONIC). Waits for that. Without a
  /// start() that succeeded, or with FlowsAtEnd::keep, the drains only: the flows stay in the table.
  CollectorEnd stop(std::uint64_t deadline_ns, FlowsAtEnd flows = FlowsAtEnd::close);

  /// Other rules from now on, taken over between two drains. Does not wait. Any thread.
  void change(const CollectorRules& rules);

  /// Fails with std::errc::device_or_resource_busy where too much is asked for already. Any thread.
  Status ask(CollectorRequest request);

  std::shared_ptr<const CollectorReport> report() const { return report_.get(); }

 private:
  void run(const std::stop_token& stop);
  void drain();
  bool swap();
  bool drain_all();
  bool close_flows();
  void follow_clock();
  void publish();
  void serve();
  void take_rules();
  Status set_timer();

  Datapath& datapath_;
  FlowTable& table_;
  const Snapshot<Listeners>& listeners_;
  CollectorOptions options_;
  MergeRows merge_;

  CollectorCounters counters_;
  std::int64_t clock_offset_ns_ = 0;
  bool swap_failing_ = false;
  Snapshot<CollectorReport> report_;

  UniqueFd timer_;
  UniqueFd wake_;  // eventfd: a stop is requested, or something is asked for
  UniqueFd epoll_;
  std::atomic<std::uint64_t> stop_deadline_ns_ = 0;
  std::atomic<FlowsAtEnd> flows_at_end_ = FlowsAtEnd::close;
  std::mutex requests_mutex_;  // also of the rules
  std::vector<CollectorRequest> requests_;
  std::optional<CollectorRules> new_rules_;
  CollectorEnd end_;  // written before the thread ends, read after it was joined
  std::jthread thread_;
};

}  // namespace rheo
