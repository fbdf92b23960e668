// SPDX-License-Identifier: Apache-2.0
// ManagerObject: org.rheo.Rheo1.Manager at /org/rheo/Rheo1. Every method that not everybody may call goes
// through guarded(). Main thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "dbus/authority.h"
#include "dbus/control.h"
#include "dbus/flow_dictionary.h"
#include "dbus/replies.h"
#include "dbus/sdbus.h"
#include "rheo_adaptor.h"

namespace rheo {

inline constexpr const char* kRootPath = "/org/rheo/Rheo1";

class ManagerObject final
    : public sdbus::AdaptorInterfaces<org::rheo::Rheo1::Manager_adaptor, sdbus::ObjectManager_adaptor> {
 public:
  /// All outlive the object.
  ManagerObject(sdbus::IConnection& connection, Control& control, Authority& authority);
  ~ManagerObject();

  void emit_changed(const std::vector<std::string>& properties);

 private:
  using OrphanRow = sdbus::Struct<std::string, std::string, std::string>;
  using Port = sdbus::Struct<std::string, std::string, std::uint16_t>;
  template <class... Values>
  using Later = Replies::Later<sdbus::Result<Values...>>;

  /// Asks who may call the member, then runs `allowed`, which answers, or refuses.
  template <class Allowed, class... Values>
  void guarded(const char* member, sdbus::Result<Values...>&& result, Allowed allowed);
  Control::Changed finish_later(const Later<>& later);
  void finish(const Later<>& later, const Status& status);

  std::vector<sdbus::Struct<std::uint32_t, std::string, sdbus::ObjectPath>> ListInterfaces() override;
  std::vector<sdbus::Struct<std::string, std::string, sdbus::ObjectPath>> ListExporters() override;
  void GetStatistics(sdbus::Result<std::map<std::string, std::uint64_t>>&& result) override;
  std::vector<sdbus::Struct<std::string, std::uint64_t, std::uint64_t, bool>> GetLosses() override;
  void ListListeningPorts(sdbus::Result<std::vector<Port>>&& result) override;
  void ListFlows(sdbus::Result<std::vector<FlowDictionary>>&& result, std::string filter, std::uint32_t limit,
                 std::string sort) override;
  void GetFlowTable(sdbus::Result<sdbus::UnixFd>&& result) override;
  void ListOwners(sdbus::Result<std::map<std::uint32_t, FlowDictionary>>&& result,
                  std::string numbers) override;
  void SetLogLevel(sdbus::Result<>&& result, std::string level) override;
  void AttachInterface(sdbus::Result<>&& result, std::string name, bool persist) override;
  void DetachInterface(sdbus::Result<>&& result, std::string name, bool persist) override;
  void ListOrphans(sdbus::Result<std::vector<OrphanRow>>&& result) override;
  void CleanOrphans(sdbus::Result<std::vector<OrphanRow>>&& result) override;
  void EnableExporter(sdbus::Result<>&& result, std::string name, bool persist) override;
  void DisableExporter(sdbus::Result<>&& result, std::string name, bool persist) override;
  void FlushExporter(sdbus::Result<>&& result, std::string name) override;
  void Drain(sdbus::Result<>&& result) override;
  void Reload(sdbus::Result<>&& result) override;

  std::string Version() override;
  std::string State() override;
  std::string ConfigPath() override;
  std::uint64_t StartedAt() override;
  std::uint64_t ActiveFlows() override;
  std::string KernelMode() override;
  std::string Kubernetes() override;
  std::string LogLevel() override;

  Control& control_;
  Authority& authority_;
  // Answers of the collector come after the object is gone; they hold this to see it.
  std::shared_ptr<Replies> replies_ = std::make_shared<Replies>();
};

}  // namespace rheo
