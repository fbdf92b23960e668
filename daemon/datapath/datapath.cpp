// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/datapath.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "daemon/base/fault_point.h"
#include "daemon/datapath/attachments.h"
#include "daemon/datapath/counter_map.h"
#include "daemon/datapath/evicted_ring.h"
#include "daemon/datapath/generations.h"
#include "daemon/datapath/namespaces.h"
#include "daemon/datapath/orphans.h"
#include "daemon/datapath/owner_programs.h"
#include "daemon/datapath/pin_directory.h"
#include "daemon/datapath/pin_names.h"
#include "daemon/datapath/programs.h"
#include "daemon/datapath/refusal.h"
#include "daemon/datapath/settings.h"
#include "daemon/datapath/tcx_link.h"

namespace rheo {
namespace {

/// The maps that hold what was counted.
struct Maps {
  Generations generations;
  EvictedRing ring;
  CounterMap counters;

  Geometry geometry() const {
    const std::uint32_t sets = generations.partition_sets();
    return {.partition_sets = sets,
            .partition_count = sets == 0 ? 0 : static_cast<std::uint32_t>(generations.sets() / sets),
            .ring_bytes = ring.bytes()};
  }
};

/// The pinned counters where there are any: they go on when the other maps are replaced.
Result<CounterMap> open_or_create_counters(const PinDirectory& pins) {
  if (!pins.has(kCountersPin)) return CounterMap::create();
  auto fd = pins.get(kCountersPin);
  if (!fd) return forward(std::move(fd));
  return CounterMap::open(*std::move(fd));
}

Result<Maps> assemble(Result<Generations> generations, Result<EvictedRing> ring,
                      Result<CounterMap> counters) {
  if (!generations) return forward(std::move(generations));
  if (!ring) return forward(std::move(ring));
  if (!counters) return forward(std::move(counters));
  return Maps{*std::move(generations), *std::move(ring), *std::move(counters)};
}

Result<Maps> create_maps(const Geometry& geometry, const PinDirectory& pins) {
  auto generations = Generations::create(geometry);
  if (!generations) return forward(std::move(generations));
  return assemble(std::move(generations), EvictedRing::create(geometry.ring_bytes),
                  open_or_create_counters(pins));
}

Result<Maps> open_pinned_maps(const PinDirectory& pins) {
  auto outer = pins.get(kFlowCachePin);
  if (!outer) return forward(std::move(outer));
  auto first = pins.get(kGeneration0Pin);
  if (!first) return forward(std::move(first));
  auto second = pins.get(kGeneration1Pin);
  if (!second) return forward(std::move(second));
  auto evicted = pins.get(kEvictedPin);
  if (!evicted) return forward(std::move(evicted));
  auto maps = assemble(Generations::open(*std::move(outer), *std::move(first), *std::move(second)),
                       EvictedRing::open(*std::move(evicted)), open_or_create_counters(pins));
  if (!maps) return forward(std::move(maps), fmt::format("take over {}", pins.path()));
  return maps;
}

Status pin_maps(const PinDirectory& pins, const Maps& maps) {
  const std::pair<const char*, int> order[] = {{kGeneration0Pin, maps.generations.fd(0)},
                                               {kGeneration1Pin, maps.generations.fd(1)},
                                               {kEvictedPin, maps.ring.fd()},
                                               {kCountersPin, maps.counters.fd()},
                                               {kFlowCachePin, maps.generations.outer_fd()}};
  for (const auto& [name, fd] : order) {
    if (auto pinned = pins.pin(name, fd); !pinned) return pinned;
    RHEO_FAULT_POINT("map-pinned");
  }
  return Done{};
}

void unpin_drained_maps(const PinDirectory& pins) {
  for (const char* name : {kFlowCachePin, kGeneration0Pin, kGeneration1Pin, kEvictedPin, kFragmentsPin}) {
    pins.unpin(name);
    RHEO_FAULT_POINT("map-unpinned");
  }
}

Result<Hook> choose_hook(const DatapathOptions& options, int program_fd, DatapathNotes& notes) {
  if (options.hook == Hook::clsact) return options.hook;
  if (kernel_has_tcx(program_fd)) {
    notes.push_back({false, fmt::format("attaching by TCX links, {} other programs: this kernel has them",
                                        options.tcx_order == TcxOrder::first ? "ahead of" : "behind")});
    return Hook::tcx;
  }
  if (options.hook == Hook::tcx)
    return failure(
        "hook: tcx was asked for, and this kernel has none (Linux 6.6 does): use \"auto\" or \"clsact\"",
        std::errc::not_supported);
  notes.push_back({false, "attaching by clsact filters: this kernel has no TCX links (Linux 6.6 does)"});
  return Hook::clsact;
}

}  // namespace

struct Datapath::State {
  State(DatapathNotes its_notes, PinDirectory its_pins, Maps its_maps)
      : notes(std::move(its_notes)), pins(std::move(its_pins)), maps(std::move(its_maps)), spaces(pins) {}

  DatapathNotes notes;
  PinDirectory pins;
  Maps maps;
  UniqueFd pinned_fragments;
  std::shared_ptr<OwnerPrograms> owners;  // null: not wanted, or not to be had
  abi::meter_settings settings{};
  std::uint32_t fragment_entries = 0;
  std::map<std::pair<std::uint8_t, LinkLayer>, Programs> programs;  // none: outdated maps, to be drained
  Hook hook = Hook::tcx;
  Namespaces spaces;  // these refer to pins: a State never moves
  std::optional<Attachments> attachments;

  bool outdated() const { return programs.empty(); }
  int fragments_fd() const {
    return programs.empty() ? pinned_fragments.get() : programs.begin()->second.fragments_fd();
  }
  Result<ProgramFds> programs_for(std::uint8_t netns, LinkLayer layer);
  Status make_ready(const DatapathOptions& options, bool inherited);
  Status pin(bool inherited);
  void take_back();
};

/// Loads them unless they are.
Result<ProgramFds> Datapath::State::programs_for(std::uint8_t netns, LinkLayer layer) {
  if (const auto found = programs.find({netns, layer}); found != programs.end()) return found->second.fds();
  abi::meter_settings constants = settings;
  constants.netns_number = netns;
  auto loaded = Programs::load(layer, constants,
                               {.flow_cache = maps.generations.outer_fd(),
                                .evicted = maps.ring.fd(),
                                .counters = maps.counters.fd(),
                                .fragments = fragments_fd(),
                                .fragment_entries = fragment_entries,
                                .socket_owners = owners ? owners->socket_owners_fd() : -1,
                                .recent_owners = owners ? owners->recent_owners_fd() : -1});
  if (!loaded) return forward(std::move(loaded));
  return programs.emplace(std::pair(netns, layer), *std::move(loaded)).first->second.fds();
}

/// Programs, those of other link layers when the first interface of theirs is attached, and pins.
Status Datapath::State::make_ready(const DatapathOptions& options, bool inherited) {
  pins.create(notes);
  if (options.note_owners)
    owners = OwnerPrograms::start(pins, notes);
  else
    OwnerPrograms::remove_pins(pins);
  settings.note_owners = owners != nullptr;
  auto loaded = programs_for(0, LinkLayer::ethernet);
  if (!loaded) return forward(std::move(loaded));
  auto chosen = choose_hook(options, loaded->ingress, notes);
  if (!chosen) return forward(std::move(chosen));
  hook = *chosen;
  return pin(inherited);
}

/// What make_ready() left in the file system when it failed.
void Datapath::State::take_back() {
  owners.reset();
  OwnerPrograms::remove_pins(pins);
  pins.remove();
}

/// Pins what is not pinned yet; where that fails, nothing new stays.
Status Datapath::State::pin(bool inherited) {
  if (!pins.usable()) return Done{};
  const bool had_counters = pins.has(kCountersPin);
  Status pinned = pins.pin(kFragmentsPin, fragments_fd());
  if (inherited) return Done{};  // with fragments unpinned, a restart forgets at most some datagrams' ports
  if (pinned) pinned = pin_maps(pins, maps);
  if (pinned) return pinned;
  unpin_drained_maps(pins);
  if (!had_counters) pins.unpin(kCountersPin);
  pins.remove();
  return pinned;
}

Datapath::Datapath(std::unique_ptr<State> state) : state_(std::move(state)) {}
Datapath::~Datapath() = default;

Result<std::unique_ptr<Datapath>> Datapath::open_pinned(const std::string& pin_directory) {
  capture_libbpf_log();
  DatapathNotes notes;
  PinDirectory pins = PinDirectory::open(pin_directory, notes);
  if (!pins.has(kFlowCachePin)) return nullptr;
  auto maps = open_pinned_maps(pins);
  if (!maps) return forward(std::move(maps));
  auto state = std::make_unique<State>(std::move(notes), std::move(pins), *std::move(maps));
  state->attachments.emplace(AttachOptions{}, state->pins, state->spaces);
  return std::make_unique<Datapath>(std::move(state));
}

Result<std::unique_ptr<Datapath>> Datapath::open_outdated(const DatapathOptions& options) {
  const auto geometry = make_geometry(options, configured_cpus());
  if (!geometry) return std::unexpected(geometry.error());
  auto pinned = open_pinned(options.pin_directory);
  if (!pinned || *pinned == nullptr) return pinned;
  const Geometry old = (*pinned)->state_->maps.geometry();
  if (old == *geometry) return nullptr;

  (*pinned)->state_->notes = {
      {false, fmt::format("the pinned flow cache ({} sets of {} CPUs, ring of {} bytes) is replaced by one "
                          "of {} sets of {} CPUs, ring of {} bytes: it is drained first",
                          old.partition_sets, old.partition_count, old.ring_bytes, geometry->partition_sets,
                          geometry->partition_count, geometry->ring_bytes)}};
  return pinned;
}

Result<std::unique_ptr<Datapath>> Datapath::load(const DatapathOptions& options) {
  capture_libbpf_log();
  const auto geometry = make_geometry(options, configured_cpus());
  if (!geometry) return std::unexpected(geometry.error());
  const auto settings = make_meter_settings(options, *geometry);
  if (!settings) return std::unexpected(settings.error());

  DatapathNotes notes;
  PinDirectory pins = PinDirectory::open(options.pin_directory, notes);
  const bool inherited = pins.has(kFlowCachePin);
  auto maps = inherited ? open_pinned_maps(pins) : create_maps(*geometry, pins);
  if (!maps) return forward(std::move(maps));
  if (maps->geometry() != *geometry)
    return failure(fmt::format("{} holds maps of another size that are not drained yet", pins.path()));

  auto state = std::make_unique<State>(std::move(notes), std::move(pins), *std::move(maps));
  state->settings = *settings;
  state->settings.has_coarse_clock = kernel_has_coarse_clock();
  state->fragment_entries = options.fragments;
  if (state->pins.has(kFragmentsPin))
    if (auto fragments = state->pins.get(kFragmentsPin); fragments)
      state->pinned_fragments = *std::move(fragments);
  if (inherited)
    state->notes.push_back({false, fmt::format("going on with the maps pinned in {}", state->pins.path())});
  if (Status ready = state->make_ready(options, inherited); !ready) {
    if (!inherited) state->take_back();
    return forward(std::move(ready));
  }
  state->attachments.emplace(
      AttachOptions{.hook = state->hook, .tcx_order = options.tcx_order, .tc_priority = options.tc_priority},
      state->pins, state->spaces);
  return std::make_unique<Datapath>(std::move(state));
}

Status Datapath::attach(const LinkTarget& target) {
  const std::string doing = fmt::format("attach {}", target.name);
  if (state_->outdated()) return failure(doing + ": the maps are outdated");
  if (target.layer == LinkLayer::unsupported)
    return failure(doing + ": packets of its kind of link cannot be parsed", std::errc::not_supported);
  auto programs = state_->programs_for(target.netns, target.layer);
  if (!programs) return forward(std::move(programs), doing);
  return state_->attachments->attach(target, *programs);
}

Result<std::uint8_t> Datapath::open_namespace(const std::string& name, std::shared_ptr<const Netns> netns) {
  return state_->spaces.open(name, std::move(netns));
}

void Datapath::close_namespace(std::uint8_t number) {
  state_->attachments->detach_namespace(number);
  state_->spaces.close(number);
  std::erase_if(state_->programs, [&](const auto& entry) { return entry.first.first == number; });
}

std::vector<Orphan> Datapath::orphans() const { return list_orphans(state_->pins, *state_->attachments); }
DatapathNotes Datapath::remove_orphans() { return rheo::remove_orphans(state_->pins, *state_->attachments); }
void Datapath::detach_unwanted() { state_->attachments->detach_unwanted(); }
void Datapath::detach(LinkId link) { state_->attachments->detach(link); }
void Datapath::forget(LinkId link) { state_->attachments->forget(link); }
void Datapath::detach_all() { state_->attachments->detach_all(); }

void Datapath::remove_pins() {
  unpin_drained_maps(state_->pins);
  if (state_->outdated()) return;  // outdated: load() goes on with the counters
  OwnerPrograms::remove_pins(state_->pins);
  state_->pins.unpin(kCountersPin);
  state_->pins.remove();
}

Status Datapath::swap() { return state_->maps.generations.swap(); }
void Datapath::drain(const MergeRows& merge) { state_->maps.generations.drain(merge); }
void Datapath::consume_evicted(const MergeRows& merge, std::uint64_t until_first_ns) {
  state_->maps.ring.consume(merge, until_first_ns);
}

void Datapath::release(const RowPlace& place) {
  switch (place.kind) {
    case RowPlace::Kind::nowhere:
      return;
    case RowPlace::Kind::cache:
      return state_->maps.generations.release(place);
    case RowPlace::Kind::ring:
      return state_->maps.ring.release(place.position);
  }
}

std::uint64_t Datapath::identity() const { return state_->maps.generations.identity(); }

DatapathCounters Datapath::counters() const { return state_->maps.counters.sum(); }
int Datapath::evicted_fd() const { return state_->maps.ring.fd(); }
bool Datapath::pinned() const { return state_->pins.usable(); }
Hook Datapath::hook() const { return state_->hook; }
std::shared_ptr<const OwnerNotes> Datapath::owners() const { return state_->owners; }
const DatapathNotes& Datapath::notes() const { return state_->notes; }

}  // namespace rheo
