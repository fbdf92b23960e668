// SPDX-License-Identifier: Apache-2.0
// InterfaceObject and ExporterObject: one object on the bus for each wanted interface and each exporter.
// Main thread.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/model/daemon_status.h"
#include "dbus/sdbus.h"
#include "rheo_adaptor.h"

namespace rheo {

sdbus::ObjectPath interface_path(std::uint32_t index);

/// Bytes other than letters and digits become _XX.
sdbus::ObjectPath exporter_path(const std::string& name);

/// "running", "failing", "stopping" or "disabled".
std::string exporter_state(const ExporterStatus& status);

class InterfaceObject final
    : public sdbus::AdaptorInterfaces<org::rheo::Rheo1::Interface_adaptor, sdbus::ManagedObject_adaptor> {
 public:
  /// Tells that it has come, and at the end that it has gone. The connection outlives the object.
  InterfaceObject(sdbus::IConnection& connection, InterfaceStatus status);
  ~InterfaceObject();

  /// Tells of what changed.
  void update(const InterfaceStatus& status);

 private:
  std::uint32_t Index() override { return status_.index; }
  std::string Name() override { return status_.name; }
  std::string Netns() override { return status_.netns; }
  std::string Kind() override { return status_.kind; }
  std::string MacAddress() override;
  std::uint32_t Mtu() override { return status_.mtu; }
  std::vector<std::string> Addresses() override;
  std::vector<sdbus::Struct<std::string, std::string>> Neighbours() override;
  std::string State() override { return status_.metered() ? "metered" : "failing"; }
  std::string Failure() override { return status_.failure; }
  std::uint64_t NextAttemptAt() override { return status_.next_attempt_at_ns; }

  InterfaceStatus status_;
};

class ExporterObject final
    : public sdbus::AdaptorInterfaces<org::rheo::Rheo1::Exporter_adaptor, sdbus::ManagedObject_adaptor> {
 public:
  /// As InterfaceObject's.
  ExporterObject(sdbus::IConnection& connection, ExporterStatus status);
  ~ExporterObject();

  /// Tells of a changed state; true if it has.
  bool update(const ExporterStatus& status);

 private:
  std::string Name() override { return status_.name; }
  std::string State() override { return exporter_state(status_); }
  std::uint64_t RecordsSent() override { return status_.counters.records_sent; }
  std::uint64_t RecordsPending() override { return status_.counters.records_pending; }
  std::uint64_t RecordsLost() override { return status_.counters.records_lost; }
  std::uint64_t WritesFailed() override { return status_.counters.writes_failed; }

  ExporterStatus status_;
};

}  // namespace rheo
