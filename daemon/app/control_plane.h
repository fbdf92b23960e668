// SPDX-License-Identifier: Apache-2.0
// ControlPlane: what clients on the bus see of the daemon and may do to it. Main thread; what takes longer is
// the collector's, whose answers come back through a mailbox.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/app/collector.h"
#include "daemon/app/lanes.h"
#include "daemon/app/link_follower.h"
#include "daemon/app/mailbox.h"
#include "daemon/base/snapshot.h"
#include "daemon/datapath/datapath.h"
#include "daemon/model/counters.h"
#include "daemon/model/daemon_status.h"
#include "daemon/model/link.h"
#include "daemon/model/listeners.h"
#include "dbus/bus_service.h"
#include "dbus/control.h"
#include "netlink/address_watcher.h"

namespace rheo {

/// What is steered. All of it outlives the control plane.
struct SteeredParts {
  const Snapshot<LinkTable>& links;
  const Snapshot<Listeners>& listeners;
  const Snapshot<AddressClasses>& classes;
  Owners* owners = nullptr;  // null: nobody knows them
  Collector& collector;
  Lanes& lanes;
  Datapath& datapath;
  LinkFollower& interfaces;
  int flow_table_fd = -1;
  AddressWatcher& addresses;
  std::function<Status()> reload;
  std::function<Status(const std::string& name, bool persist)> attach_interface;
  std::function<Status(const std::string& name, bool persist)> detach_interface;
  std::function<Status(const std::string& name, bool enabled, bool persist)> enable_exporter;
  DaemonStatus fixed;  // what does not change while it runs
};

class ControlPlane final : public Control {
 public:
  /// The loop outlives the control plane.
  static Result<std::unique_ptr<ControlPlane>> start(sd_event* loop, SteeredParts parts);

  ControlPlane(sd_event* loop, std::shared_ptr<Mailbox> mailbox, SteeredParts parts);
  ~ControlPlane() override;

  /// What the daemon found in its last look at itself.
  struct Look {
    const DaemonCounters& counters;
    std::vector<LossStatus> losses;
    std::vector<LossEvent> events;
  };
  void tick(Look look);

  /// Tells that the daemon stops; then the bus is closed.
  void say_stopping();

  /// Times that messages about addresses were lost.
  std::uint64_t address_overruns() const { return parts_.addresses.overruns(); }

  /// BusService::unit_restarts.
  bool unit_restarts() { return bus_.unit_restarts(); }

  const DaemonStatus& status() const override { return status_; }
  std::vector<ListeningPort> listening_ports() const override;
  Result<UniqueFd> flow_table() const override;
  Owners* owners() const override { return parts_.owners; }
  Status set_log_level(std::string_view level) override;
  Status reload() override;
  Status enable_exporter(const std::string& name, bool enabled, bool persist) override;
  Status flush_exporter(const std::string& name) override;
  void attach_interface(const std::string& name, bool persist, Changed done) override;
  void detach_interface(const std::string& name, bool persist, Changed done) override;
  std::vector<Orphan> orphans() const override;
  std::vector<Orphan> clean_orphans() override;
  void drain(Drained done) override;
  void soon(std::function<void()> work) override { mailbox_->post(std::move(work)); }
  void find_flows(std::string_view filter, FlowOrder order, std::uint32_t limit, Found done) override;

 private:
  void look_at_interfaces();
  void change_interfaces(std::function<Status()> change, Changed done);
  void look_again();
  void tick_bus(const std::vector<LossEvent>& events);

  SteeredParts parts_;
  DaemonStatus status_;
  bool told_addresses_ = false;
  std::shared_ptr<Mailbox> mailbox_;
  BusService bus_;
};

}  // namespace rheo
