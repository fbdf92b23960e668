// SPDX-License-Identifier: Apache-2.0
// DaemonStatus: what rheod says of itself to those who steer it. Plain values, any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/model/counters.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/link_addresses.h"

namespace rheo {

struct NamedCounter {
  std::string name;  // "datapath.not_ip.packets"
  std::uint64_t value = 0;
};

/// An interface that is wanted.
struct InterfaceStatus {
  std::uint32_t index = 0;  // a FlowRecord's `link`
  std::string name;         // "eth0", "blue/eth0"
  std::string netns = {};   // the name of its network namespace; "" for rheod's own
  std::string kind;
  MacAddress mac{};
  std::uint32_t mtu = 0;
  std::shared_ptr<const LinkAddresses> addresses;  // null: none
  std::string failure;                             // why it is not metered; "": it is
  std::uint64_t next_attempt_at_ns = 0;            // since 1970, of one that is not

  bool metered() const { return failure.empty(); }
};

/// failing: the last write failed and will be tried again. stopping: empties what is left, or makes room for
/// the same exporter with other settings.
enum class ExporterState : std::uint8_t { running, failing, stopping, disabled };

struct ExporterStatus {
  std::string name;  // "json.default"
  ExporterState state = ExporterState::running;
  LaneCounters counters;
};

struct LossStatus {
  std::string name;  // "datapath.evicted_full", "lane.json.default.lost"
  LossCount count;
  bool losing = false;  // something was lost in the last ten seconds
};

/// A spell of losses that began or ended.
struct LossEvent {
  std::string name;
  bool started = false;
  std::uint64_t packets = 0;  // of the spell; at its end
};

struct ListeningPort {
  std::uint8_t protocol = 0;
  Address address{};
  std::uint16_t port_be = 0;
};

struct DaemonStatus {
  std::string version;
  std::string state;  // "running", "stopping"
  std::string config_path;
  std::uint64_t started_at_ns = 0;  // since 1970
  std::uint64_t active_flows = 0;
  std::string kernel_mode;         // "tcx", "clsact"
  std::string kubernetes = "off";  // this rheod asks no cluster
  std::string log_level;
  std::vector<InterfaceStatus> interfaces;
  std::vector<ExporterStatus> exporters;
  std::vector<LossStatus> losses;
  std::map<std::string, std::uint64_t> statistics;  // every counter by its name
};

}  // namespace rheo
