// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/detach_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/app/collector.h"
#include "daemon/app/run_directory.h"
#include "daemon/app/settings.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/snapshot.h"
#include "daemon/datapath/datapath.h"
#include "daemon/datapath/orphans.h"
#include "daemon/datapath/pin_lock.h"
#include "daemon/flow/flow_table.h"
#include "daemon/model/listeners.h"

namespace rheo {
namespace {

/// What the maps hold goes to the table, which stays for the next start where it is not empty.
Status drain_pinned(const Config& config, const RunDirectory& directory) {
  auto pinned = Datapath::open_pinned(config.daemon.pin_directory);
  if (!pinned) return forward(std::move(pinned));
  if (*pinned == nullptr) return Done{};
  Datapath& datapath = **pinned;
  auto table = FlowTable::open(table_options(config, directory.path()));
  if (!table) return forward(std::move(table));
  if ((*table)->file().set_aside())
    log::warning("{}; starting with an empty table", *(*table)->file().set_aside());
  directory.give_to_owner((*table)->file().fd());
  (*table)->recover(datapath, monotonic_ns());
  datapath.detach_all();
  const Snapshot<Listeners> listeners;
  Collector last_drains(datapath, **table, listeners, {});
  last_drains.take_leftovers();
  if (!last_drains.stop(monotonic_ns()).drained) return failure("the last drain failed", std::errc::io_error);
  const TableCounters kept = (*table)->counters();
  if (!(*table)->remove_if_empty())
    fmt::print("kept {} flows and {} records in {}/flows for the next start\n", kept.active_flows,
               kept.outbox_pending, directory.path());
  return Done{};
}

void print(const char* fate, const Orphan& orphan) {
  fmt::print("{} {} {}: {}\n", fate, orphan.kind, orphan.place, orphan.reason);
}

Status tell(const std::vector<Orphan>& before, const std::vector<Orphan>& after) {
  for (const Orphan& orphan : before)
    if (std::ranges::find(after, orphan.place, &Orphan::place) == after.end()) print("removed", orphan);
  for (const Orphan& orphan : after) print("left", orphan);
  if (before.empty() && after.empty()) fmt::print("nothing of rheo's was there\n");
  const auto ours = std::ranges::count_if(after, [](const Orphan& left) { return left.kind != "unknown"; });
  if (ours != 0) return failure(fmt::format("detach: {} could not be removed", ours), std::errc::io_error);
  return Done{};
}

}  // namespace

Status run_detach(const Config& config) {
  auto directory = RunDirectory::claim(config.daemon.run_directory);
  if (!directory) return forward(std::move(directory), "detach");
  auto lock = PinLock::take(config.daemon.pin_directory);
  if (!lock) {
    directory->clear();
    return forward(std::move(lock), "detach");
  }
  const std::vector<Orphan> before = list_everything(config.daemon.pin_directory);
  if (const Status drained = drain_pinned(config, *directory); !drained)
    log::warning("{}; what the pinned maps hold is lost", drained.error().what);
  remove_everything(config.daemon.pin_directory);
  const std::vector<Orphan> after = list_everything(config.daemon.pin_directory);
  lock->clear();
  directory->clear();
  return tell(before, after);
}

}  // namespace rheo
