// SPDX-License-Identifier: Apache-2.0
// Control: what a client on the bus may ask of the daemon. daemon/app implements it; called on the main
// loop's thread only, and answers there.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/model/address_classes.h"
#include "daemon/model/daemon_status.h"
#include "daemon/model/flow_filter.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/link.h"
#include "daemon/model/orphan.h"
#include "daemon/model/owner.h"

namespace rheo {

/// Flows as they stand, in the order that was asked for, and the links and places of which they speak.
struct FoundFlows {
  std::vector<FlowRecord> flows;
  LinkTable links;
  std::shared_ptr<const AddressClasses> classes = std::make_shared<const AddressClasses>();
  Owners* owners = nullptr;  // of their sockets; null: nobody knows them
};

class Control {
 public:
  using Changed = std::function<void(Status)>;
  using Drained = std::function<void(Status)>;
  using Found = std::function<void(Result<FoundFlows>)>;

  virtual ~Control() = default;

  /// As of the last tick of the main loop.
  virtual const DaemonStatus& status() const = 0;

  virtual std::vector<ListeningPort> listening_ports() const = 0;

  /// The flow table's file, opened read-only.
  virtual Result<UniqueFd> flow_table() const = 0;

  /// Of the sockets of flows; null: nobody knows them.
  virtual Owners* owners() const = 0;

  /// "error", "warning", "notice", "info", "debug".
  virtual Status set_log_level(std::string_view level) = 0;

  /// Reads the settings again. Mistakes are std::errc::bad_message, differences that take a restart
  /// std::errc::operation_not_supported; both change nothing.
  virtual Status reload() = 0;

  /// Until the next start, or, with `persist`, from now on. No such exporter is
  /// std::errc::no_such_file_or_directory.
  virtual Status enable_exporter(const std::string& name, bool enabled, bool persist) = 0;

  /// No such exporter is std::errc::no_such_file_or_directory.
  virtual Status flush_exporter(const std::string& name) = 0;

  /// The settings do not count for links of this name until the next start; with `persist` they are changed,
  /// too. No such link is std::errc::no_such_file_or_directory, one that is so already already_connected or
  /// not_connected. Answer later, once status() tells of it.
  virtual void attach_interface(const std::string& name, bool persist, Changed done) = 0;
  virtual void detach_interface(const std::string& name, bool persist, Changed done) = 0;

  /// What rheo left in the kernel and does not use. Ask the kernel twice for each interface.
  virtual std::vector<Orphan> orphans() const = 0;
  /// Removes them, but those of an unknown kind; which it did.
  virtual std::vector<Orphan> clean_orphans() = 0;

  /// The main loop does it when it has looked at what else waits; or never, when rheod stops.
  virtual void soon(std::function<void()> work) = 0;

  /// Both answer later, from the main loop, once the collector has done it; or never, when rheod stops.
  virtual void drain(Drained done) = 0;
  virtual void find_flows(std::string_view filter, FlowOrder order, std::uint32_t limit, Found done) = 0;
};

}  // namespace rheo
