// SPDX-License-Identifier: Apache-2.0
// Client: rheod as seen over the bus. Every answer is a table. Functions throw sdbus::Error. One thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/base/unique_fd.h"
#include "daemon/model/link.h"
#include "dbus/rheoctl/flow_groups.h"
#include "dbus/rheoctl/table.h"
#include "dbus/sdbus.h"

namespace rheo::ctl {

struct FlowsWanted {
  std::string filter;
  std::uint32_t limit = 1'000;
  std::string sort = "bytes";
};

class Client {
 public:
  /// How long an answer may take: somebody may have to type a password.
  static constexpr std::chrono::seconds kAnswer{130};
  /// Likewise while a picture stands still.
  static constexpr std::chrono::seconds kGlance{2};

  /// Connects to the system bus.
  Client();

  Table status();
  Table interfaces();
  Table exporters();
  Table flows(const FlowsWanted& wanted);
  /// `by` is what is_grouping() takes; `most` how long to wait.
  std::vector<GroupedFlow> grouped_flows(const FlowsWanted& wanted, const std::string& by,
                                         std::chrono::seconds most);
  /// How many numbers owner_groups() takes.
  static constexpr std::size_t kOwnersAtOnce = 250;
  /// The groups that owners are in, by their numbers, see owner_group(). Those that nobody knows are left
  /// out.
  std::unordered_map<std::uint32_t, std::string> owner_groups(const std::vector<std::uint32_t>& numbers,
                                                              const std::string& by);
  /// The live flow table's file, open for reading.
  UniqueFd flow_table();
  /// Indices and names of what is metered.
  LinkTable links();
  /// Those whose name matches the shell pattern.
  Table statistics(const std::string& pattern);
  Table losses();
  std::string log_level();
  Table orphans();
  /// What was removed.
  Table clean_orphans();

  void set_log_level(const std::string& level);
  void attach_interface(const std::string& name, bool persist);
  void detach_interface(const std::string& name, bool persist);
  void enable_exporter(const std::string& name, bool enabled, bool persist);
  void flush_exporter(const std::string& name);
  void drain();
  void reload();

  /// Hands over one row (time, event, name, detail) for each signal. Does not return.
  void monitor(const std::function<void(const Table&)>& show);

 private:
  std::vector<std::map<std::string, sdbus::Variant>> list_flows(const FlowsWanted& wanted,
                                                                std::chrono::seconds most);
  std::unique_ptr<sdbus::IProxy> object(const std::string& path);
  std::vector<Cell> interface_row(std::uint32_t index, const std::string& name, const std::string& path);
  std::size_t metered_interfaces();
  Table orphans_by(const char* method);
  template <class T>
  T property(sdbus::IProxy& proxy, const char* interface, const char* name);

  std::unique_ptr<sdbus::IConnection> connection_;
  std::unique_ptr<sdbus::IProxy> manager_;
};

}  // namespace rheo::ctl
