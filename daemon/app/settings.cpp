// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/settings.h"

#include <algorithm>

namespace rheo {
namespace {

std::uint64_t nanoseconds(Duration duration) { return static_cast<std::uint64_t>(duration.count()); }

Hook hook_of(HookChoice choice) {
  switch (choice) {
    case HookChoice::tcx:
      return Hook::tcx;
    case HookChoice::clsact:
      return Hook::clsact;
    case HookChoice::automatic:
      break;
  }
  return Hook::automatic;
}

IpfixBiflow biflow_of(BiflowChoice choice) {
  return choice == BiflowChoice::split ? IpfixBiflow::split : IpfixBiflow::rfc5103;
}

IpfixProfile profile_of(ElementsChoice choice) {
  switch (choice) {
    case ElementsChoice::compact:
      return IpfixProfile::compact;
    case ElementsChoice::full:
      return IpfixProfile::full;
    case ElementsChoice::standard:
      break;
  }
  return IpfixProfile::standard;
}

/// Whoever wants templates more often than a session becomes old gets a new one for them.
Duration dtls_session_time(const IpfixExportConfig& config) {
  return std::min(config.template_refresh, IpfixTransportOptions{}.dtls_session_time);
}

}  // namespace

log::Priority threshold_of(LogLevel level) {
  return static_cast<log::Priority>(static_cast<int>(log::Priority::error) + static_cast<int>(level));
}

DatapathOptions datapath_options(const Config& config) {
  return {.hook = hook_of(config.datapath.hook),
          .tcx_order = config.datapath.tcx_order == TcxOrderChoice::last ? TcxOrder::last : TcxOrder::first,
          .tc_priority = config.datapath.tc_priority,
          .flow_cache_rows = config.datapath.flow_cache_rows,
          .evicted_ring = config.datapath.evicted_ring,
          .fragments = config.datapath.fragments,
          .vxlan_ports = config.tunnels.vxlan_ports,
          .geneve_ports = config.tunnels.geneve_ports,
          .wireguard_ports = config.tunnels.wireguard_ports,
          .decapsulate_gre = config.tunnels.gre,
          .decapsulate_ipip = config.tunnels.ipip,
          .note_owners = config.datapath.owners,
          .note_tcp = config.datapath.tcp,
          .pin_directory = config.daemon.pin_directory};
}

OwnerOptions owner_options(const Config& config) {
  return {.container_names = config.datapath.container_names, .command_lines = config.datapath.command_lines};
}

ClassSettings class_settings(const Config& config) {
  const auto named = [](const std::string& name, const ClassConfig& of) {
    return NamedPrefixes{.name = name, .prefixes = of.prefixes, .file = of.file};
  };
  ClassSettings settings{.black = named("abnormal.black", config.classes.black),
                         .white = named("abnormal.white", config.classes.white)};
  for (const auto& [name, of] : config.classes.classes) settings.classes.push_back(named(name, of));
  return settings;
}

FlowTableOptions table_options(const Config& config, const std::string& run_directory) {
  const FlowConfig& flow = config.flow;
  return {.file = {.path = run_directory.empty() ? "" : run_directory + "/flows",
                   .max_flows = flow.max_flows,
                   .outbox_records = flow.outbox_records},
          .timeouts = {.max_record_interval_ns = nanoseconds(flow.max_record_interval),
                       .generic_ns = nanoseconds(flow.generic_timeout),
                       .icmp_ns = nanoseconds(flow.icmp_timeout),
                       .tcp_ns = nanoseconds(flow.tcp_timeout),
                       .tcp_fin_ns = nanoseconds(flow.tcp_fin_timeout),
                       .tcp_rst_ns = nanoseconds(flow.tcp_rst_timeout),
                       .udp_ns = nanoseconds(flow.udp_timeout)},
          .deduplicate =
              flow.deduplicate == DeduplicateChoice::none ? Deduplicate::none : Deduplicate::first_interface};
}

Result<IpfixExporterOptions> ipfix_options(const IpfixExportConfig& config, std::uint16_t community_id_seed,
                                           const Snapshot<LinkTable>& links,
                                           const Snapshot<MeteringCounters>& metering) {
  auto endpoint = parse_ipfix_endpoint(config.endpoint);
  if (!endpoint) return forward(std::move(endpoint));
  return IpfixExporterOptions{.encoder = {.observation_domain = config.observation_domain,
                                          .biflow = biflow_of(config.biflow),
                                          .profile = profile_of(config.elements),
                                          .add = config.elements_add,
                                          .remove = config.elements_remove,
                                          .pen = config.pen,
                                          .community_id_seed = community_id_seed,
                                          .links = links},
                              .transport = {.endpoint = *std::move(endpoint),
                                            .dscp = static_cast<std::uint8_t>(config.dscp),
                                            .source_address = config.source_address,
                                            .max_message_size = config.max_message_size,
                                            .dtls_session_time = dtls_session_time(config),
                                            .tls = {.ca_cert = config.tls_ca_cert,
                                                    .client_cert = config.tls_client_cert,
                                                    .client_key = config.tls_client_key,
                                                    .server_name = config.tls_server_name,
                                                    .insecure_skip_verify = config.tls_insecure_skip_verify},
                                            .rotation = {.size = config.rotation_size,
                                                         .interval = config.rotation_interval,
                                                         .keep = config.rotation_keep}},
                              .template_refresh = config.template_refresh,
                              .template_refresh_messages = config.template_refresh_messages,
                              .rate_limit = config.rate_limit,
                              .metering = metering};
}

ReplayOptions replay_options(const Config& config) {
  return {.vxlan_ports = config.tunnels.vxlan_ports,
          .geneve_ports = config.tunnels.geneve_ports,
          .wireguard_ports = config.tunnels.wireguard_ports,
          .gre = config.tunnels.gre,
          .ipip = config.tunnels.ipip,
          .fragments = config.datapath.fragments,
          .drain_interval = config.datapath.drain_interval};
}

}  // namespace rheo
