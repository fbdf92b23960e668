// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/daemon.h"

#include <fmt/ranges.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "daemon/app/counter_list.h"
#include "daemon/app/interface_drop_in.h"
#include "daemon/app/log_notes.h"
#include "daemon/app/read_settings.h"
#include "daemon/app/settings.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/config/load_config.h"
#include "daemon/config/toml_tree.h"
#include "netlink/links.h"
#include "netlink/listeners.h"

namespace rheo {
namespace {

// Who listens is asked at every tick, unless the answer takes longer than this share of the time in between.
constexpr std::uint64_t kListenersShare = 100;
constexpr std::uint64_t kSettleUsec = 20'000;

struct CloseLoop {
  void operator()(sd_event* loop) const { ::sd_event_unref(loop); }
};
using EventLoop = std::unique_ptr<sd_event, CloseLoop>;

/// Who names an interface on the command line means one that is there; the configuration may name one that
/// appears later.
Status all_are_there(const std::vector<std::string>& named) {
  if (named.empty()) return Done{};
  auto links = dump_links();
  if (!links) return forward(std::move(links));
  for (const std::string& name : named) {
    const auto pattern = InterfacePattern::parse(name);
    if (!pattern || !pattern->is_name()) continue;
    if (std::ranges::none_of(*links, [&](const auto& entry) { return pattern->matches(entry.second); }))
      return failure("interface " + name + ": there is none of this name", std::errc::no_such_device);
  }
  return Done{};
}

std::unexpected<Error> loop_error(int result) { return errno_error("main loop", -result); }

int on_reload(sd_event_source* /*source*/, const signalfd_siginfo* /*info*/, void* daemon) {
  if (const Status reloaded = static_cast<Daemon*>(daemon)->reload(); !reloaded)
    log::write(log::Priority::error, log::kReloadRefused, reloaded.error().what);
  return 0;
}

int on_print(sd_event_source* /*source*/, const signalfd_siginfo* /*info*/, void* daemon) {
  static_cast<Daemon*>(daemon)->print_counters();
  return 0;
}

int on_link_change(sd_event_source* /*source*/, int /*fd*/, std::uint32_t /*events*/, void* daemon) {
  static_cast<Daemon*>(daemon)->on_links();
  return 0;
}

int on_timer(sd_event_source* source, std::uint64_t /*usec*/, void* daemon) {
  static_cast<Daemon*>(daemon)->on_tick();
  ::sd_event_source_set_time_relative(source, 1'000'000);
  return ::sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int on_settle(sd_event_source* source, std::uint64_t /*usec*/, void* daemon) {
  if (!static_cast<Daemon*>(daemon)->settle()) return 0;
  ::sd_event_source_set_time_relative(source, kSettleUsec);
  return ::sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/// The settings mean a name in every network namespace.
Status can_persist(const std::string& name, bool persist) {
  if (!persist || name.find('/') == std::string::npos) return Done{};
  return failure(
      "interface " + printable(name) +
      ": the settings do not name an interface of one network namespace; nothing is changed, without "
      "--persist it is until the next start");
}

const char* hook_text(const Datapath& datapath) { return datapath.hook() == Hook::tcx ? "tcx" : "clsact"; }

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::start(const Config& config, const Args& args) {
  auto directory = RunDirectory::claim(config.daemon.run_directory);
  if (!directory) return forward(std::move(directory));

  auto pin_lock = PinLock::take(config.daemon.pin_directory);
  if (!pin_lock) {
    directory->clear();
    return forward(std::move(pin_lock));
  }

  auto daemon = std::make_unique<Daemon>(config, args, *std::move(directory), *std::move(pin_lock));
  if (auto built = daemon->build(); !built) {
    daemon->stop();
    return forward(std::move(built));
  }
  return daemon;
}

Daemon::Daemon(const Config& config, Args args, RunDirectory directory, PinLock pin_lock)
    : config_(config),
      args_(std::move(args)),
      directory_(std::move(directory)),
      pin_lock_(std::move(pin_lock)),
      service_(static_cast<std::uint64_t>(config.datapath.drain_interval.count())) {}

Status Daemon::build() {
  if (Status there = all_are_there(args_.interfaces); !there) return there;
  auto interfaces = LinkFollower::open(config_.interfaces, links_);
  if (!interfaces) return forward(std::move(interfaces));
  interfaces_ = *std::move(interfaces);
  refresh_listeners();
  auto addresses = AddressWatcher::open();
  if (!addresses) return forward(std::move(addresses));
  addresses_ = *std::move(addresses);
  class_directory_.emplace(classes_, class_settings(config_));
  look_at_classes();

  auto table = FlowTable::open(table_options(config_, directory_.path()));
  if (!table) return forward(std::move(table));
  table_ = *std::move(table);
  if (table_->file().set_aside())
    log::write(log::Priority::warning, log::kTableSetAside,
               *table_->file().set_aside() + "; starting with an empty table");
  if (auto loaded = load_datapath(); !loaded) return loaded;
  if (auto notes = datapath_->owners()) {
    owners_.emplace(std::move(notes), owner_options(config_));
    log_unreadable_names(owner_options(config_));
    table_->set_owner_seen([this](std::uint32_t number) { owners_->find(number); });
  }

  auto lanes = Lanes::start(exporters(), table_->outbox(),
                            {.links = links_,
                             .metering = metering_,
                             .host = listeners_,
                             .classes = &classes_,
                             .owners = owners_ ? &*owners_ : nullptr});
  if (!lanes) return forward(std::move(lanes));
  lanes_ = *std::move(lanes);
  return meter();
}

Status Daemon::load_datapath() {
  const DatapathOptions options = datapath_options(config_);
  auto outdated = Datapath::open_outdated(options);
  if (!outdated) return forward(std::move(outdated));
  if (*outdated != nullptr) drain_outdated(**outdated);

  auto loaded = Datapath::load(options);
  if (!loaded) return forward(std::move(loaded));
  datapath_ = *std::move(loaded);
  log_notes(datapath_->notes());
  if (*outdated == nullptr) table_->recover(*datapath_, monotonic_ns());
  return Done{};
}

/// Maps of another geometry give everything they hold to the table before new ones replace them.
void Daemon::drain_outdated(Datapath& outdated) {
  log::notice(
      "the sizes in [datapath] have changed: nothing is metered until the interfaces are attached again");
  table_->recover(outdated, monotonic_ns());
  outdated.detach_all();
  Collector last_drains(outdated, *table_, listeners_, {});
  last_drains.take_leftovers();
  if (!last_drains.stop(monotonic_ns()).drained) log::error("what the old flow cache holds is lost");
  outdated.remove_pins();
}

Status Daemon::meter() {
  collector_.emplace(*datapath_, *table_, listeners_, collector_rules().options);
  collector_->take_leftovers();
  if (auto attached = interfaces_->start(*datapath_); !attached) return attached;
  log_notes(datapath_->remove_orphans());
  losses_.emplace(counters());
  if (auto started = collector_->start(); !started) return started;

  const std::vector<std::string> names = interfaces_->metered();
  log::write(log::Priority::info, log::kMetering,
             fmt::format("metering {} interface{} ({}): {}", names.size(), names.size() == 1 ? "" : "s",
                         hook_text(*datapath_),
                         names.empty() ? "none is wanted now" : fmt::format("{}", fmt::join(names, ", "))),
             log::repeated("RHEO_INTERFACE", names));
  if (wants_live_table()) live_.emplace();
  return Done{};
}

Status Daemon::run() {
  const Status ended = run_loop();
  ::sd_notify(0, "STOPPING=1");
  stop();
  print_counters();
  return ended;
}

Status Daemon::run_loop() {
  sd_event* raw = nullptr;
  if (const int result = ::sd_event_new(&raw); result < 0) return loop_error(result);
  const EventLoop loop(raw);
  for (const int signal : {SIGTERM, SIGINT}) {
    if (const int result = ::sd_event_add_signal(raw, nullptr, signal, nullptr, nullptr); result < 0)
      return loop_error(result);
  }
  int result = ::sd_event_add_signal(raw, nullptr, SIGHUP, on_reload, this);
  if (result >= 0) result = ::sd_event_add_signal(raw, nullptr, SIGUSR1, on_print, this);
  if (result >= 0)
    result = ::sd_event_add_time_relative(raw, nullptr, CLOCK_MONOTONIC, 1'000'000, 0, on_timer, this);
  if (result >= 0)
    result = ::sd_event_add_time_relative(raw, &settling_, CLOCK_MONOTONIC, 0, 0, on_settle, this);
  if (result >= 0) result = ::sd_event_add_io(raw, nullptr, interfaces_->fd(), EPOLLIN, on_link_change, this);
  if (result < 0) return loop_error(result);
  auto control = make_control(raw);
  if (!control) return forward(std::move(control));
  control_ = *std::move(control);
  on_tick();
  ::sd_notify(0, "READY=1");  // whoever started it may ask it over the bus now
  result = ::sd_event_loop(raw);
  // Under a service manager its job tells a restart from a stop.
  restarting_ = std::getenv("NOTIFY_SOCKET") != nullptr && datapath_->pinned() && control_->unit_restarts();
  if (restarting_) log::info("restarting: the interfaces stay attached, and count on");
  control_->say_stopping();
  address_overruns_ = control_->address_overruns();
  control_.reset();
  settling_ = ::sd_event_source_unref(settling_);
  return result < 0 ? loop_error(result) : Status(Done{});
}

Result<std::unique_ptr<ControlPlane>> Daemon::make_control(sd_event* loop) {
  DaemonStatus fixed;
  fixed.version = RHEO_VERSION;
  fixed.state = "running";
  fixed.config_path = args_.config_path.value_or(kDefaultConfigPath);
  fixed.started_at_ns = realtime_ns();
  fixed.kernel_mode = hook_text(*datapath_);
  return ControlPlane::start(
      loop, {.links = links_,
             .listeners = listeners_,
             .classes = classes_,
             .owners = owners_ ? &*owners_ : nullptr,
             .collector = *collector_,
             .lanes = *lanes_,
             .datapath = *datapath_,
             .interfaces = *interfaces_,
             .flow_table_fd = table_->file().fd(),
             .addresses = *addresses_,
             .reload = [this] { return reload(); },
             .attach_interface = [this](const std::string& name,
                                        bool persist) { return attach_interface(name, persist); },
             .detach_interface = [this](const std::string& name,
                                        bool persist) { return detach_interface(name, persist); },
             .enable_exporter = [this](const std::string& name, bool enabled,
                                       bool persist) { return enable_exporter(name, enabled, persist); },
             .fixed = std::move(fixed)});
}

Status Daemon::attach_interface(const std::string& name, bool persist) {
  if (auto possible = can_persist(name, persist); !possible) return possible;
  Status changed = interfaces_->attach_by_name(name);
  if (!persist) return changed;
  if (!changed && changed.error().code != std::errc::already_connected) return changed;
  return persist_interfaces(name, including);
}

Status Daemon::detach_interface(const std::string& name, bool persist) {
  if (auto possible = can_persist(name, persist); !possible) return possible;
  Status changed = interfaces_->detach_by_name(name);
  if (!persist) return changed;
  if (!changed && changed.error().code != std::errc::not_connected) return changed;
  return persist_interfaces(name, excluding);
}

Status Daemon::persist_interfaces(const std::string& name,
                                  Result<InterfacesConfig> (*change)(InterfacesConfig, const Link&)) {
  const std::string changed_only = "interface " + name + ": changed until the next start, but not to last";
  if (!args_.interfaces.empty())
    return failure(changed_only + ": rheod was started with --interface, which comes before the settings");
  const auto links = links_.get();
  const auto link = std::ranges::find_if(
      *links, [&](const auto& entry) { return full_name(entry.second) == name && !entry.second.gone; });
  if (link == links->end())
    return failure(changed_only + ": it is gone", std::errc::no_such_file_or_directory);
  auto wanted = change(config_.interfaces, link->second);
  if (!wanted) return forward(std::move(wanted), changed_only);
  if (auto written = write_interfaces(args_.config_path.value_or(kDefaultConfigPath), *wanted); !written)
    return forward(std::move(written), changed_only);
  config_.interfaces = *std::move(wanted);
  return Done{};
}

/// Also of a start that failed half way.
void Daemon::stop() {
  const std::uint64_t deadline_ns =
      monotonic_ns() + static_cast<std::uint64_t>(config_.daemon.shutdown_timeout.count());
  live_.reset();
  if (interfaces_) interfaces_->stop();
  CollectorEnd end;
  if (datapath_) {
    if (!restarting_) datapath_->detach_all();
    // What a killed process left in the maps goes to the table, not away with them.
    if (!collector_) collector_.emplace(*datapath_, *table_, listeners_, CollectorOptions{});
    end = collector_->stop(deadline_ns, restarting_ ? FlowsAtEnd::keep : FlowsAtEnd::close);
  }
  DaemonCounters last = counters();
  publish_metering(last);
  // What waits for exporters waits in the table's file for the next rheod's.
  if (lanes_) last.lanes = lanes_->stop(restarting_ ? monotonic_ns() : deadline_ns);
  if (datapath_ && end.drained && !restarting_) datapath_->remove_pins();
  if (table_) {
    const TableCounters left = last.table = table_->counters();
    last_counters_ = std::move(last);
    if (!restarting_ && !table_->remove_if_empty())
      log::write(
          log::Priority::warning, log::kLeftBehind,
          fmt::format("{} flows and {} records are not exported, they stay in {}/flows for the next start",
                      left.active_flows, left.outbox_pending, directory_.path()));
  }
  pin_lock_.clear();
  directory_.clear();
}

void Daemon::on_tick() {
  if (monotonic_ns() >= listeners_due_ns_) refresh_listeners();
  const DaemonCounters now = counters();
  auto events = losses_->look(now, monotonic_ns());
  publish_metering(now);
  control_->tick({.counters = now, .losses = losses_->losses(), .events = std::move(events)});
  look_at_classes();
  const auto report = collector_->report();
  service_.tick(control_->status(), report->drained_at_ns);
  if (!live_) return;
  live_->show({.flows = report->busiest,
               .counters = now,
               .at_ns = report->drained_at_ns,
               .heading = fmt::format("rheod {}: {} ({})", RHEO_VERSION,
                                      fmt::join(interfaces_->metered(), ", "), hook_text(*datapath_))},
              *links_.get());
}

void Daemon::on_links() { interfaces_->work(); }

void Daemon::publish_metering(const DaemonCounters& counters) {
  metering_.publish({.datapath = counters.datapath, .table = counters.table, .lanes = counters.lanes});
}

void Daemon::refresh_listeners() {
  const std::uint64_t begin_ns = monotonic_ns();
  auto listeners = dump_listeners();
  const std::uint64_t end_ns = monotonic_ns();
  listeners_due_ns_ = end_ns + (end_ns - begin_ns) * kListenersShare;
  const bool failed = !listeners;
  if (failed && !listeners_failing_)
    log::write(log::Priority::warning, log::kListenersUnknown,
               listeners.error().what + "; flows are oriented without knowing who listens, trying again",
               {log::errno_field(listeners.error())});
  listeners_failing_ = failed;
  if (!failed && *listeners != *listeners_.get()) listeners_.publish(*std::move(listeners));
}

/// Behind the control plane's look at the addresses.
void Daemon::look_at_classes() {
  for (const std::string& complaint : class_directory_->look(*links_.get(), addresses_->table()))
    log::warning("{}", complaint);
}

DaemonCounters Daemon::counters() const {
  if (last_counters_) return *last_counters_;
  DaemonCounters counters;
  if (datapath_) counters.datapath = datapath_->counters();
  if (collector_) {
    const auto report = collector_->report();
    counters.collector = report->collector;
    counters.table = report->table;
  }
  if (lanes_) counters.lanes = lanes_->counters();
  if (interfaces_) counters.links = interfaces_->counters();
  if (owners_) counters.owners = owners_->counters();
  counters.links.watch_overruns += control_ ? control_->address_overruns() : address_overruns_;
  return counters;
}

void Daemon::print_counters() const { log_counters(counters()); }

}  // namespace rheo
