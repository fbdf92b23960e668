// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/client.h"

#include <fnmatch.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "daemon/base/clock.h"
#include "dbus/rheoctl/flow_rows.h"

namespace rheo::ctl {
namespace {

constexpr const char* kService = "org.rheo.Rheo1";
constexpr const char* kManagerPath = "/org/rheo/Rheo1";
constexpr const char* kManager = "org.rheo.Rheo1.Manager";
constexpr const char* kInterface = "org.rheo.Rheo1.Interface";
constexpr const char* kExporter = "org.rheo.Rheo1.Exporter";
constexpr const char* kObjects = "org.freedesktop.DBus.ObjectManager";
constexpr const char* kUnknownObject = "org.freedesktop.DBus.Error.UnknownObject";
constexpr const char* kBusDaemon = "org.freedesktop.DBus";

using Properties = std::map<std::string, std::map<std::string, sdbus::Variant>>;

Table event(const char* what, const std::string& name, const std::string& detail) {
  return {.columns = {{"TIME", "time"}, {"EVENT", "event"}, {"NAME", "name"}, {"DETAIL", "detail"}},
          .rows = {{time_cell(realtime_ns()), state_cell(what, std::string_view(what) == "loss started"),
                    text_cell(name), text_cell(detail)}}};
}

}  // namespace

Client::Client() : connection_(sdbus::createSystemBusConnection()) {
  connection_->setMethodCallTimeout(kAnswer);
  manager_ = object(kManagerPath);
}

std::unique_ptr<sdbus::IProxy> Client::object(const std::string& path) {
  return sdbus::createProxy(*connection_, bus::ServiceName(kService), sdbus::ObjectPath(path));
}

template <class T>
T Client::property(sdbus::IProxy& proxy, const char* interface, const char* name) {
  return proxy.getProperty(name).onInterface(interface).template get<T>();
}

Table Client::status() {
  const auto text = [&](const char* name) {
    return text_cell(property<std::string>(*manager_, kManager, name));
  };
  return {.columns = {{"Version", "version"},
                      {"State", "state"},
                      {"Started", "started_at"},
                      {"Configuration", "config_path"},
                      {"Kernel mode", "kernel_mode"},
                      {"Log level", "log_level"},
                      {"Interfaces", "interfaces"},
                      {"Exporters", "exporters"},
                      {"Flows", "active_flows"}},
          .rows = {{text("Version"), text("State"),
                    time_cell(property<std::uint64_t>(*manager_, kManager, "StartedAt")), text("ConfigPath"),
                    text("KernelMode"), text("LogLevel"), number_cell(metered_interfaces()),
                    number_cell(exporters().rows.size()),
                    number_cell(property<std::uint64_t>(*manager_, kManager, "ActiveFlows"))}}};
}

Table Client::interfaces() {
  std::vector<sdbus::Struct<std::uint32_t, std::string, sdbus::ObjectPath>> listed;
  manager_->callMethod("ListInterfaces").onInterface(kManager).storeResultsTo(listed);
  Table table{.columns = {{"NAME", "name"},
                          {"INDEX", "index"},
                          {"STATE", "state"},
                          {"KIND", "kind"},
                          {"MAC", "mac"},
                          {"MTU", "mtu"},
                          {"ADDRESSES", "addresses"},
                          {"NEXT ATTEMPT", "next_attempt_at"},
                          {"FAILURE", "failure"},
                          {"NETNS", "netns"}},
              .rows = {}};
  for (const auto& row : listed) {
    try {
      table.rows.push_back(
          interface_row(row.template get<0>(), row.template get<1>(), row.template get<2>()));
    } catch (const sdbus::Error& error) {
      if (error.getName() != kUnknownObject) throw;  // it has gone since it was listed
    }
  }
  if (std::ranges::all_of(table.rows, [](const auto& row) { return row.back().text.empty(); })) {
    table.columns.pop_back();
    for (auto& row : table.rows) row.pop_back();
  }
  return table;
}

std::vector<Cell> Client::interface_row(std::uint32_t index, const std::string& name,
                                        const std::string& path) {
  const auto proxy = object(path);
  const auto text = [&](const char* property_name) {
    return text_cell(property<std::string>(*proxy, kInterface, property_name));
  };
  std::string addresses;
  for (const std::string& address : property<std::vector<std::string>>(*proxy, kInterface, "Addresses"))
    addresses += (addresses.empty() ? "" : " ") + address;
  const auto next_attempt_at = property<std::uint64_t>(*proxy, kInterface, "NextAttemptAt");
  return {text_cell(name),      number_cell(index),
          text("State"),        text("Kind"),
          text("MacAddress"),   number_cell(property<std::uint32_t>(*proxy, kInterface, "Mtu")),
          text_cell(addresses), next_attempt_at == 0 ? text_cell("") : time_cell(next_attempt_at),
          text("Failure"),      text("Netns")};
}

std::size_t Client::metered_interfaces() {
  const Table table = interfaces();
  return static_cast<std::size_t>(
      std::ranges::count_if(table.rows, [](const auto& row) { return row[2].text == "metered"; }));
}

Table Client::exporters() {
  std::vector<sdbus::Struct<std::string, std::string, sdbus::ObjectPath>> listed;
  manager_->callMethod("ListExporters").onInterface(kManager).storeResultsTo(listed);
  Table table{.columns = {{"NAME", "name"},
                          {"STATE", "state"},
                          {"SENT", "records_sent"},
                          {"WAITING", "records_pending"},
                          {"LOST", "records_lost"},
                          {"FAILED WRITES", "writes_failed"}},
              .rows = {}};
  for (const auto& row : listed) {
    const auto proxy = object(row.template get<2>());
    const auto counter = [&](const char* name) {
      return number_cell(property<std::uint64_t>(*proxy, kExporter, name));
    };
    table.rows.push_back({text_cell(row.template get<0>()),
                          state_cell(row.template get<1>(), row.template get<1>() == "failing"),
                          counter("RecordsSent"), counter("RecordsPending"), counter("RecordsLost"),
                          counter("WritesFailed")});
  }
  return table;
}

Table Client::flows(const FlowsWanted& wanted) {
  const std::vector<Flow> listed = list_flows(wanted, kAnswer);
  Table table{.columns = {{"INTERFACE", "interface"},
                          {"PROTOCOL", "protocol"},
                          {"INITIATOR", "source"},
                          {"RESPONDER", "destination"},
                          {"INITIATED BY", "source_owner"},
                          {"ANSWERED BY", "destination_owner"},
                          {"STATE", "tcp_state"},
                          {"PACKETS", "packets"},
                          {"BYTES", "bytes"},
                          {"REPLY PACKETS", "reverse_packets"},
                          {"REPLY BYTES", "reverse_bytes"},
                          {"STARTED", "started_at"},
                          {"ID", "flow_id"}},
              .rows = {}};
  for (const Flow& flow : listed) table.rows.push_back(flow_row(flow));
  drop_empty_columns(table, 4, 2);
  return table;
}

std::vector<Flow> Client::list_flows(const FlowsWanted& wanted, std::chrono::seconds most) {
  std::vector<Flow> listed;
  manager_->callMethod("ListFlows")
      .onInterface(kManager)
      .withTimeout(most)
      .withArguments(wanted.filter, wanted.limit, wanted.sort)
      .storeResultsTo(listed);
  return listed;
}

std::vector<GroupedFlow> Client::grouped_flows(const FlowsWanted& wanted, const std::string& by,
                                               std::chrono::seconds most) {
  std::vector<GroupedFlow> flows;
  for (const Flow& flow : list_flows(wanted, most)) flows.push_back(grouped_flow(flow, by));
  return flows;
}

std::unordered_map<std::uint32_t, std::string> Client::owner_groups(const std::vector<std::uint32_t>& numbers,
                                                                    const std::string& by) {
  std::map<std::uint32_t, Flow> owners;
  std::string text;
  for (const std::uint32_t number : numbers) text += (text.empty() ? "" : " ") + std::to_string(number);
  manager_->callMethod("ListOwners")
      .onInterface(kManager)
      .withTimeout(kAnswer)
      .withArguments(text)
      .storeResultsTo(owners);
  std::unordered_map<std::uint32_t, std::string> groups;
  for (const auto& [number, owner] : owners) groups.emplace(number, owner_group(owner, by));
  return groups;
}

UniqueFd Client::flow_table() {
  sdbus::UnixFd file;
  manager_->callMethod("GetFlowTable").onInterface(kManager).withTimeout(kAnswer).storeResultsTo(file);
  return UniqueFd(file.release());
}

LinkTable Client::links() {
  std::vector<sdbus::Struct<std::uint32_t, std::string, sdbus::ObjectPath>> listed;
  manager_->callMethod("ListInterfaces").onInterface(kManager).withTimeout(kGlance).storeResultsTo(listed);
  LinkTable links;
  for (const auto& row : listed) {
    const std::uint32_t index = row.template get<0>();
    links[index].index = index;
    links[index].name = row.template get<1>();
  }
  return links;
}

Table Client::statistics(const std::string& pattern) {
  std::map<std::string, std::uint64_t> counters;
  manager_->callMethod("GetStatistics").onInterface(kManager).storeResultsTo(counters);
  Table table{.columns = {{"COUNTER", "counter"}, {"VALUE", "value"}}, .rows = {}};
  for (const auto& [name, value] : counters) {
    if (::fnmatch(pattern.c_str(), name.c_str(), 0) == 0)
      table.rows.push_back({text_cell(name), number_cell(value)});
  }
  return table;
}

Table Client::losses() {
  std::vector<sdbus::Struct<std::string, std::uint64_t, std::uint64_t, bool>> listed;
  manager_->callMethod("GetLosses").onInterface(kManager).storeResultsTo(listed);
  Table table{.columns = {{"LOSS", "name"}, {"PACKETS", "packets"}, {"BYTES", "bytes"}, {"NOW", "losing"}},
              .rows = {}};
  for (const auto& row : listed)
    table.rows.push_back({text_cell(row.template get<0>()), number_cell(row.template get<1>()),
                          bytes_cell(row.template get<2>()),
                          state_cell(row.template get<3>() ? "losing" : "quiet", row.template get<3>())});
  return table;
}

std::string Client::log_level() { return property<std::string>(*manager_, kManager, "LogLevel"); }

void Client::set_log_level(const std::string& level) {
  manager_->callMethod("SetLogLevel").onInterface(kManager).withTimeout(kAnswer).withArguments(level);
}

void Client::attach_interface(const std::string& name, bool persist) {
  manager_->callMethod("AttachInterface")
      .onInterface(kManager)
      .withTimeout(kAnswer)
      .withArguments(name, persist);
}

void Client::detach_interface(const std::string& name, bool persist) {
  manager_->callMethod("DetachInterface")
      .onInterface(kManager)
      .withTimeout(kAnswer)
      .withArguments(name, persist);
}

Table Client::orphans() { return orphans_by("ListOrphans"); }
Table Client::clean_orphans() { return orphans_by("CleanOrphans"); }

Table Client::orphans_by(const char* method) {
  std::vector<sdbus::Struct<std::string, std::string, std::string>> listed;
  manager_->callMethod(method).onInterface(kManager).withTimeout(kAnswer).storeResultsTo(listed);
  Table table{.columns = {{"KIND", "kind"}, {"PLACE", "place"}, {"EXPLANATION", "explanation"}}, .rows = {}};
  for (const auto& row : listed)
    table.rows.push_back({text_cell(row.template get<0>()), text_cell(row.template get<1>()),
                          text_cell(row.template get<2>())});
  return table;
}

void Client::enable_exporter(const std::string& name, bool enabled, bool persist) {
  manager_->callMethod(enabled ? "EnableExporter" : "DisableExporter")
      .onInterface(kManager)
      .withTimeout(kAnswer)
      .withArguments(name, persist);
}

void Client::flush_exporter(const std::string& name) {
  manager_->callMethod("FlushExporter").onInterface(kManager).withTimeout(kAnswer).withArguments(name);
}

void Client::reload() { manager_->callMethod("Reload").onInterface(kManager).withTimeout(kAnswer); }

void Client::drain() { manager_->callMethod("Drain").onInterface(kManager).withTimeout(kAnswer); }

void Client::monitor(const std::function<void(const Table&)>& show) {
  manager_->uponSignal("LossStarted").onInterface(kManager).call([&](const std::string& name) {
    show(event("loss started", name, ""));
  });
  manager_->uponSignal("LossEnded")
      .onInterface(kManager)
      .call([&](const std::string& name, std::uint64_t packets) {
        show(event("loss ended", name, std::to_string(packets) + " packets"));
      });
  manager_->uponSignal("ExporterStateChanged")
      .onInterface(kManager)
      .call([&](const std::string& name, const std::string& state) {
        show(event("exporter state", name, state));
      });
  for (const auto& [signal, what] :
       {std::pair("InterfaceAdded", "interface added"), std::pair("InterfaceRemoved", "interface removed")}) {
    manager_->uponSignal(signal).onInterface(kManager).call(
        [&show, what](std::uint32_t index, const std::string& name) {
          show(event(what, name, "index " + std::to_string(index)));
        });
  }
  manager_->uponSignal("InterfacesAdded")
      .onInterface(kObjects)
      .call([&](const sdbus::ObjectPath& path, const Properties& /*values*/) {
        show(event("object added", path, ""));
      });
  manager_->uponSignal("InterfacesRemoved")
      .onInterface(kObjects)
      .call([&](const sdbus::ObjectPath& path, const std::vector<std::string>& /*interfaces*/) {
        show(event("object removed", path, ""));
      });
  bus::finish_signals(*manager_);

  const auto daemon = sdbus::createProxy(*connection_, bus::ServiceName(kBusDaemon),
                                         sdbus::ObjectPath("/org/freedesktop/DBus"));
  daemon->uponSignal("NameOwnerChanged")
      .onInterface(kBusDaemon)
      .call([&](const std::string& name, const std::string& /*old_owner*/, const std::string& new_owner) {
        if (name == kService) show(event(new_owner.empty() ? "rheod left" : "rheod came", name, ""));
      });
  bus::finish_signals(*daemon);
  connection_->enterEventLoop();
}

}  // namespace rheo::ctl
