// SPDX-License-Identifier: Apache-2.0
#include "dbus/rights.h"

namespace rheo {
namespace {

constexpr std::string_view kOpen;
constexpr std::string_view kReadFlows = "org.rheo.rheo1.read-flows";
constexpr std::string_view kReload = "org.rheo.rheo1.reload";
constexpr std::string_view kManageInterfaces = "org.rheo.rheo1.manage-interfaces";
constexpr std::string_view kManageDaemon = "org.rheo.rheo1.manage-daemon";
constexpr std::string_view kManageExporters = "org.rheo.rheo1.manage-exporters";

// Every method of org.rheo.Rheo1.xml; tests/check complains of one that is missing.
constexpr MemberRight kRights[] = {
    {"ListInterfaces", kOpen},
    {"ListExporters", kOpen},
    {"GetStatistics", kOpen},
    {"GetLosses", kOpen},
    {"ListListeningPorts", kReadFlows},
    {"ListFlows", kReadFlows},
    {"GetFlowTable", kReadFlows},
    {"ListOwners", kReadFlows},
    {"SetLogLevel", kManageDaemon},
    {"AttachInterface", kManageInterfaces},
    {"DetachInterface", kManageInterfaces},
    {"ListOrphans", kManageInterfaces},
    {"CleanOrphans", kManageInterfaces},
    {"EnableExporter", kManageExporters},
    {"DisableExporter", kManageExporters},
    {"FlushExporter", kManageExporters},
    {"Drain", kManageDaemon},
    {"Reload", kReload},
};

}  // namespace

std::span<const MemberRight> member_rights() { return kRights; }

std::optional<std::string_view> action_of(std::string_view member) {
  for (const MemberRight& right : kRights) {
    if (right.member == member) return right.action;
  }
  return std::nullopt;
}

}  // namespace rheo
