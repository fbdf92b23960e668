// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/replay_run.h"

#include <chrono>
#include <thread>

#include "daemon/app/counter_list.h"
#include "daemon/app/lanes.h"
#include "daemon/app/settings.h"
#include "daemon/base/clock.h"
#include "daemon/replay/replay.h"

namespace rheo {
namespace {

/// Rows of a capture lie nowhere: there is nothing to release.
class NoOwner final : public RowOwner {
 public:
  void release(const RowPlace& /*place*/) override {}
  std::uint64_t identity() const override { return 0; }
};

/// A capture can wait where the wire cannot: no lane is overtaken while it moves on at all. False: the
/// slowest one has not moved for `patience`.
bool wait_for_room(Outbox& outbox, std::uint64_t most_pending, Duration patience) {
  std::uint64_t before = outbox.slowest_pending();
  std::uint64_t since_ns = monotonic_ns();
  for (;;) {
    const std::uint64_t pending = outbox.slowest_pending();
    if (pending <= most_pending) return true;
    const std::uint64_t now_ns = monotonic_ns();
    if (pending != before) {
      before = pending;
      since_ns = now_ns;
    }
    if (now_ns - since_ns > static_cast<std::uint64_t>(patience.count())) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

class ReplayRun {
 public:
  ReplayRun(FlowTable& table, const Config& config)
      : table_(table), patience_(config.daemon.shutdown_timeout) {
    table_.recover(owner_, 0);
  }

  Status meter(Replay& replay, Snapshot<LinkTable>& links, Snapshot<MeteringCounters>& metering) {
    for (;;) {
      auto step = replay.next();
      if (!step) return forward(std::move(step));
      if (replay.links().size() != links.get()->size()) links.publish(replay.links());
      if (auto merged = merge(step->rows); !merged) return merged;
      while (!table_.expire(step->now_ns, table_.outbox().share() / 2)) {
        if (auto room = make_room(); !room) return room;
      }
      metering.publish({.datapath = replay.counters(), .table = table_.counters()});
      if (step->at_end) return Done{};
    }
  }

  /// The end of the capture is the end of every flow in it.
  Status close() {
    while (table_.close_some(table_.outbox().share() / 2) > 0) {
      if (auto room = make_room(); !room) return room;
    }
    return Done{};
  }

  Status stuck() const {
    return failure("an exporter has taken nothing for the shutdown_timeout, giving up with " +
                       std::to_string(table_.counters().outbox_pending) + " records unsent",
                   std::errc::timed_out);
  }

 private:
  /// In pieces that cannot finish more records than the outbox has room for.
  Status merge(std::span<const Row> rows) {
    const std::size_t piece = table_.outbox().share() / 4;
    while (!rows.empty()) {
      if (auto room = make_room(); !room) return room;
      const auto part = rows.first(std::min(piece, rows.size()));
      table_.merge(part, owner_);
      rows = rows.subspan(part.size());
    }
    return make_room();
  }

  Status make_room() {
    return wait_for_room(table_.outbox(), table_.outbox().share() / 4, patience_) ? Status(Done{}) : stuck();
  }

  FlowTable& table_;
  const Duration patience_;
  NoOwner owner_;
};

}  // namespace

Status run_replay(const std::string& path, const Config& config) {
  auto replay = Replay::open(path, replay_options(config));
  if (!replay) return forward(std::move(replay));
  FlowTableOptions options = table_options(config, "");
  options.deduplicate = Deduplicate::none;  // a capture's interfaces, VLANs and tunnels are what is asked for
  auto table = FlowTable::open(options);
  if (!table) return forward(std::move(table));

  ReplayRun run(**table, config);
  Snapshot<LinkTable> links(replay->links());
  Snapshot<MeteringCounters> metering;
  const Snapshot<Listeners> no_host;
  Config settings = config;
  for (auto& [name, otlp] : settings.exporters.otlp) {
    otlp.spool = 0;  // that is the daemon's
    otlp.metrics_interval = {};
  }
  auto lanes = Lanes::start(exporter_specs(settings), (*table)->outbox(),
                            {.links = links, .metering = metering, .host = no_host});
  if (!lanes) return forward(std::move(lanes));

  Status status = run.meter(*replay, links, metering);
  if (const Status closed = run.close(); status && !closed) status = closed;
  DaemonCounters counters{
      .datapath = replay->counters(), .collector = {}, .table = {}, .lanes = {}, .links = {}, .owners = {}};
  counters.lanes =
      (*lanes)->stop(monotonic_ns() + static_cast<std::uint64_t>(config.daemon.shutdown_timeout.count()));
  counters.table = (*table)->counters();
  log_counters(counters);
  if (status && counters.table.outbox_pending > 0) return run.stuck();
  return status;
}

}  // namespace rheo
