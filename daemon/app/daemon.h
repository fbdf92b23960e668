// SPDX-License-Identifier: Apache-2.0
// Daemon: everything that meters a live host, in the order in which it is built and torn down. Main thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/app/args.h"
#include "daemon/app/collector.h"
#include "daemon/app/control_plane.h"
#include "daemon/app/exporter_spec.h"
#include "daemon/app/lanes.h"
#include "daemon/app/link_follower.h"
#include "daemon/app/live_table.h"
#include "daemon/app/loss_watch.h"
#include "daemon/app/run_directory.h"
#include "daemon/app/service_state.h"
#include "daemon/base/result.h"
#include "daemon/base/snapshot.h"
#include "daemon/config/config.h"
#include "daemon/datapath/datapath.h"
#include "daemon/datapath/pin_lock.h"
#include "daemon/enrich/class_directory.h"
#include "daemon/enrich/owner_directory.h"
#include "daemon/flow/flow_table.h"
#include "netlink/address_watcher.h"

struct sd_event;
struct sd_event_source;

namespace rheo {

class Daemon {
 public:
  /// Everything running, or nothing left behind. Signals are blocked already.
  static Result<std::unique_ptr<Daemon>> start(const Config& config, const Args& args);

  Daemon(const Config& config, Args args, RunDirectory directory, PinLock pin_lock);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Until SIGTERM or SIGINT; then stops cleanly.
  Status run();

  void print_counters() const;

  /// Opens the exporters' files again, reads the settings again, and applies the difference; what did not
  /// change is not touched. With a mistake, or a difference that takes a restart, everything stays as it is
  /// and the error says so: std::errc::bad_message, every mistake on a line, or
  /// std::errc::operation_not_supported, the keys.
  Status reload();

  /// Until the settings say otherwise, or the next start; with `persist` the settings say so from now on. No
  /// such exporter is std::errc::no_such_file_or_directory. With an error nothing changes.
  Status enable_exporter(const std::string& name, bool enabled, bool persist);

  /// Goes on with changes of exporters; true while there is something left to wait for.
  bool settle() { return lanes_->work(); }

  void on_tick();
  void on_links();

 private:
  Status build();
  Status load_datapath();
  void drain_outdated(Datapath& outdated);
  Status meter();
  Status run_loop();
  void stop();
  void refresh_listeners();
  void look_at_classes();
  void publish_metering(const DaemonCounters& counters);
  DaemonCounters counters() const;
  Status read_again();
  void apply(Config wanted, InterfaceChooser chooser);
  void follow_exporters();
  std::vector<ExporterSpec> exporters() const;
  CollectorRules collector_rules() const;
  bool wants_live_table() const;

  Status attach_interface(const std::string& name, bool persist);
  Status detach_interface(const std::string& name, bool persist);
  Status persist_interfaces(const std::string& name,
                            Result<InterfacesConfig> (*change)(InterfacesConfig, const Link&));

  Result<std::unique_ptr<ControlPlane>> make_control(sd_event* loop);

  Config config_;  // as last read, or changed to last
  const Args args_;
  std::map<std::string, bool> switched_;  // exporters enabled or disabled until the next start
  RunDirectory directory_;
  PinLock pin_lock_;
  Snapshot<LinkTable> links_;
  Snapshot<Listeners> listeners_;
  Snapshot<MeteringCounters> metering_;
  Snapshot<AddressClasses> classes_;
  std::optional<AddressWatcher> addresses_;  // read by control_
  std::optional<ClassDirectory> class_directory_;
  std::uint64_t listeners_due_ns_ = 0;
  bool listeners_failing_ = false;

  // Built top to bottom, torn down bottom to top. The tap opens last and closes first: whatever was counted
  // still finds its way out.
  std::unique_ptr<FlowTable> table_;
  std::optional<OwnerDirectory> owners_;  // reads what datapath_ notes
  std::unique_ptr<Lanes> lanes_;
  std::unique_ptr<Datapath> datapath_;
  std::optional<Collector> collector_;
  std::unique_ptr<LinkFollower> interfaces_;
  std::optional<LossWatch> losses_;
  std::optional<LiveTable> live_;
  ServiceState service_;
  // Another rheod goes on at once: what is attached and pinned stays, and so do flows and records.
  bool restarting_ = false;
  sd_event_source* settling_ = nullptr;          // the main loop's; calls settle() soon
  std::unique_ptr<ControlPlane> control_;        // while the main loop runs
  std::uint64_t address_overruns_ = 0;           // of a control plane that has gone
  std::optional<DaemonCounters> last_counters_;  // once everything has stopped
};

}  // namespace rheo
