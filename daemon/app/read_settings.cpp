// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/read_settings.h"

#include <utility>

#include "daemon/app/exporter_spec.h"
#include "daemon/config/load_config.h"

namespace rheo {

ReadSettings read_settings(const Args& args) {
  ParsedConfig parsed = args.config_path ? load_config(*args.config_path, WhenMissing::complain)
                                         : load_config(kDefaultConfigPath, WhenMissing::use_defaults);
  ReadSettings read;
  for (const Complaint& complaint : parsed.complaints) read.complaints.push_back(complaint_text(complaint));
  for (const Complaint& note : parsed.notes) read.notes.push_back(complaint_text(note));
  if (!read.complaints.empty()) return read;
  if (args.ipfix_endpoint)
    parsed.config.exporters = {
        .json = {}, .ipfix = {{"replay", {.endpoint = *args.ipfix_endpoint}}}, .otlp = {}};
  read.complaints = exporter_complaints(parsed.config);
  if (!args.interfaces.empty()) {
    parsed.config.interfaces.include = args.interfaces;
    parsed.config.interfaces.exclude = {};
  }
  read.config = std::move(parsed.config);
  return read;
}

std::vector<std::string> keys_for_restart(const Config& running, const Config& wanted) {
  const DaemonConfig& daemon = running.daemon;
  const DatapathConfig& datapath = running.datapath;
  const TunnelsConfig& tunnels = running.tunnels;
  const FlowConfig& flow = running.flow;
  const std::pair<const char*, bool> keys[] = {
      {"daemon.run_directory", wanted.daemon.run_directory == daemon.run_directory},
      {"daemon.pin_directory", wanted.daemon.pin_directory == daemon.pin_directory},
      {"daemon.state_directory", wanted.daemon.state_directory == daemon.state_directory},
      {"datapath.hook", wanted.datapath.hook == datapath.hook},
      {"datapath.tcx_order", wanted.datapath.tcx_order == datapath.tcx_order},
      {"datapath.tc_priority", wanted.datapath.tc_priority == datapath.tc_priority},
      {"datapath.flow_cache_rows", wanted.datapath.flow_cache_rows == datapath.flow_cache_rows},
      {"datapath.evicted_ring", wanted.datapath.evicted_ring == datapath.evicted_ring},
      {"datapath.fragments", wanted.datapath.fragments == datapath.fragments},
      {"datapath.owners", wanted.datapath.owners == datapath.owners},
      {"datapath.command_lines", wanted.datapath.command_lines == datapath.command_lines},
      {"datapath.container_names", wanted.datapath.container_names == datapath.container_names},
      {"datapath.tcp", wanted.datapath.tcp == datapath.tcp},
      {"tunnels.vxlan_ports", wanted.tunnels.vxlan_ports == tunnels.vxlan_ports},
      {"tunnels.geneve_ports", wanted.tunnels.geneve_ports == tunnels.geneve_ports},
      {"tunnels.wireguard_ports", wanted.tunnels.wireguard_ports == tunnels.wireguard_ports},
      {"tunnels.gre", wanted.tunnels.gre == tunnels.gre},
      {"tunnels.ipip", wanted.tunnels.ipip == tunnels.ipip},
      {"flow.deduplicate", wanted.flow.deduplicate == flow.deduplicate},
      {"flow.max_flows", wanted.flow.max_flows == flow.max_flows},
      {"flow.outbox_records", wanted.flow.outbox_records == flow.outbox_records}};
  std::vector<std::string> different;
  for (const auto& [name, same] : keys) {
    if (!same) different.emplace_back(name);
  }
  return different;
}

}  // namespace rheo
