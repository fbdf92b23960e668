// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/lanes.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

namespace rheo {
namespace {

ExporterState state_of(const Lane* lane, bool ending, bool enabled) {
  if (ending) return ExporterState::stopping;
  if (lane == nullptr) return enabled ? ExporterState::failing : ExporterState::disabled;
  return lane->failing() ? ExporterState::failing : ExporterState::running;
}

void wait_for(const Lane& lane, std::uint64_t deadline_ns) {
  while (!lane.finished() && monotonic_ns() < deadline_ns)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

Result<std::unique_ptr<Lanes>> Lanes::start(const std::vector<ExporterSpec>& specs, Outbox& outbox,
                                            const ExporterSources& sources) {
  auto lanes = std::make_unique<Lanes>(outbox, sources);
  for (const ExporterSpec& spec : specs) lanes->seats_[spec.name].spec = spec;
  lanes->retire_others();
  for (auto& [name, seat] : lanes->seats_) {
    if (!seat.active()) continue;
    if (Status started = lanes->start_lane(seat); !started) return forward(std::move(started), "export");
  }
  return lanes;
}

void Lanes::follow(const std::vector<ExporterSpec>& specs, std::uint64_t deadline_ns) {
  for (auto& [name, seat] : seats_) {
    if (std::ranges::find(specs, name, &ExporterSpec::name) != specs.end()) continue;
    if (!std::exchange(seat.wanted, false)) continue;
    seat.flush_by_ns = deadline_ns;
    leave(seat, deadline_ns);
  }
  for (const ExporterSpec& spec : specs) want(spec, deadline_ns);
  work();
}

void Lanes::want(const ExporterSpec& spec, std::uint64_t deadline_ns) {
  Seat& seat = seats_[spec.name];
  const bool same = seat.wanted && seat.spec == spec;
  seat.wanted = true;
  seat.spec = spec;
  if (same) return;
  seat.flush_by_ns = seat.active() ? monotonic_ns() : deadline_ns;
  leave(seat, seat.flush_by_ns);
}

void Lanes::leave(Seat& seat, std::uint64_t deadline_ns) {
  if (!seat.lane) return;
  seat.ending = true;
  seat.lane->request_stop(deadline_ns);
}

bool Lanes::work() {
  for (auto& [name, seat] : seats_) {
    if (!seat.ending || !seat.lane->finished()) continue;
    finish(seat);
    // It was to make room for its successor, but none is wanted any more.
    if (!seat.active() && monotonic_ns() < seat.flush_by_ns) empty(seat, seat.flush_by_ns);
  }
  retire_others();
  bool waiting = false;
  for (auto& [name, seat] : seats_) {
    if (seat.active() && !seat.lane) start_or_complain(seat);
    waiting = waiting || seat.ending || (seat.active() && !seat.lane);
  }
  return waiting;
}

void Lanes::finish(Seat& seat) {
  seat.past = counters_of(seat);
  seat.lane.reset();
  seat.ending = false;
}

/// Another lane for what the last one left.
void Lanes::empty(Seat& seat, std::uint64_t deadline_ns) {
  if (seat.past.records_pending == 0) return;
  if (start_lane(seat)) leave(seat, deadline_ns);
}

/// The places in the outbox of who has no lane and gets none.
void Lanes::retire_others() {
  std::vector<std::string> names;
  for (const auto& [name, seat] : seats_) {
    if (seat.lane || seat.active()) names.push_back(name);
  }
  for (const RetiredLane& lane : outbox_.retire_lanes(names)) {
    const auto [entry, unknown] = seats_.try_emplace(lane.name);
    Seat& seat = entry->second;
    if (unknown) {
      seat.spec.name = lane.name;
      seat.wanted = false;
    }
    seat.past.records_pending = 0;
    if (lane.left.records == 0) continue;
    seat.past.records_lost += lane.left.records;
    seat.past.lost += lane.left.counts;
    log::write(log::Priority::warning, log::kExporterDropped,
               fmt::format("{}: {}; {} records that it had not sent are lost, and counted", lane.name,
                           seat.wanted ? "disabled" : "not configured any more", lane.left.records),
               {{"RHEO_EXPORTER", lane.name}});
  }
}

bool Lanes::is_taken(const std::string& output) const {
  return std::ranges::any_of(
      seats_, [&](const auto& entry) { return entry.second.lane && entry.second.output == output; });
}

Status Lanes::start_lane(Seat& seat) {
  auto exporter = make_exporter(seat.spec, sources_);
  if (!exporter) return forward(std::move(exporter), seat.spec.name);
  auto cursor = outbox_.open_cursor(seat.spec.name, seat.spec.queue());
  if (!cursor) return forward(std::move(cursor));
  // What is in the cursor's place already was counted for the lane before, too.
  const RecordLosses known = seat.past.name.empty() ? RecordLosses{} : (*cursor)->losses();
  seat.past.records_lost -= std::min(known.records, seat.past.records_lost);
  seat.past.lost = seat.past.lost - known.counts;
  seat.past.name = seat.spec.name;
  seat.output = seat.spec.output();
  seat.complaint.clear();
  seat.lane = std::make_unique<Lane>(*std::move(cursor), *std::move(exporter),
                                     lane_options(seat.spec, outbox_.queue_of(seat.spec.queue())));
  return Done{};
}

/// An output passes from one exporter to the next when the first has closed it.
void Lanes::start_or_complain(Seat& seat) {
  if (is_taken(seat.spec.output())) return;
  const Status started = start_lane(seat);
  if (started || started.error().what == seat.complaint) return;
  seat.complaint = started.error().what;
  log::write(log::Priority::error, log::kExporterFailed,
             fmt::format("export: {}; trying again", seat.complaint), {{"RHEO_EXPORTER", seat.spec.name}});
}

LaneCounters Lanes::counters_of(const Seat& seat) const {
  LaneCounters total = seat.past;
  total.name = seat.spec.name;
  if (!seat.lane) return total;
  const LaneCounters now = seat.lane->counters();
  total.records_sent += now.records_sent;
  total.writes_failed += now.writes_failed;
  total.records_pending = now.records_pending;
  total.records_lost += now.records_lost;
  total.records_rejected += now.records_rejected;
  total.records_spooled = now.records_spooled;
  total.lost += now.lost;
  return total;
}

std::vector<LaneCounters> Lanes::counters() const {
  std::vector<LaneCounters> counters;
  for (const auto& [name, seat] : seats_) counters.push_back(counters_of(seat));
  return counters;
}

void Lanes::reopen() {
  for (const auto& [name, seat] : seats_)
    if (seat.lane) seat.lane->reopen();
}

std::vector<ExporterStatus> Lanes::status() const {
  std::vector<ExporterStatus> status;
  for (const auto& [name, seat] : seats_) {
    if (!seat.wanted && !seat.ending) continue;
    status.push_back({.name = name,
                      .state = state_of(seat.lane.get(), seat.ending, seat.spec.enabled()),
                      .counters = counters_of(seat)});
  }
  return status;
}

Status Lanes::flush(const std::string& name) {
  const auto found = seats_.find(name);
  if (found == seats_.end() || !found->second.wanted)
    return failure("no exporter has this name; ListExporters has the names",
                   std::errc::no_such_file_or_directory);
  if (!found->second.lane) return failure("this exporter is disabled: nothing waits for it");
  found->second.lane->flush();
  return Done{};
}

std::vector<LaneCounters> Lanes::stop(std::uint64_t deadline_ns) {
  std::vector<Seat*> ended_early;
  for (auto& [name, seat] : seats_) {
    if (seat.ending)
      ended_early.push_back(&seat);
    else
      leave(seat, deadline_ns);
  }
  for (Seat* const seat : ended_early) {
    wait_for(*seat->lane, deadline_ns);
    if (!seat->lane->finished()) continue;
    finish(*seat);
    const std::uint64_t until_ns = seat->active() ? deadline_ns : std::min(deadline_ns, seat->flush_by_ns);
    if (monotonic_ns() < until_ns) empty(*seat, until_ns);
  }
  for (auto& [name, seat] : seats_) {
    if (seat.lane) wait_for(*seat.lane, UINT64_MAX);  // their own deadline ends them
  }
  for (auto& [name, seat] : seats_) {
    if (seat.lane) finish(seat);
  }
  retire_others();
  return counters();
}

}  // namespace rheo
