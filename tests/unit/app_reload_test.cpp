// SPDX-License-Identifier: Apache-2.0
// Which differences of the settings a running rheod takes over, and which it refuses by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "daemon/app/exporter_spec.h"
#include "daemon/app/read_settings.h"
#include "daemon/app/settings.h"
#include "daemon/config/keys.h"
#include "daemon/config/parse_config.h"

namespace rheo {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// For every key a value other than its default, and than that of kBase.
const std::map<std::string, std::string> kOtherValues = {
    {"daemon.run_directory", "'/x'"},
    {"daemon.pin_directory", "'/x'"},
    {"daemon.state_directory", "'/x'"},
    {"daemon.log_level", "'debug'"},
    {"daemon.shutdown_timeout", "'1s'"},
    {"interfaces.include", "['eth0']"},
    {"interfaces.exclude", "['eth1']"},
    {"interfaces.direction", "{eth0 = 'ingress'}"},
    {"interfaces.netns", "['blue']"},
    {"datapath.hook", "'clsact'"},
    {"datapath.tcx_order", "'last'"},
    {"datapath.tc_priority", "7"},
    {"datapath.flow_cache_rows", "128"},
    {"datapath.evicted_ring", "'1MiB'"},
    {"datapath.fragments", "7"},
    {"datapath.drain_interval", "'2s'"},
    {"datapath.owners", "false"},
    {"datapath.command_lines", "true"},
    {"datapath.container_names", "true"},
    {"datapath.tcp", "false"},
    {"tunnels.vxlan_ports", "[7]"},
    {"tunnels.geneve_ports", "[7]"},
    {"tunnels.wireguard_ports", "[7]"},
    {"tunnels.gre", "false"},
    {"tunnels.ipip", "false"},
    {"flow.max_record_interval", "'7s'"},
    {"flow.generic_timeout", "'7s'"},
    {"flow.icmp_timeout", "'7s'"},
    {"flow.tcp_timeout", "'7s'"},
    {"flow.tcp_fin_timeout", "'7s'"},
    {"flow.tcp_rst_timeout", "'7s'"},
    {"flow.udp_timeout", "'7s'"},
    {"flow.deduplicate", "'none'"},
    {"flow.community_id_seed", "7"},
    {"flow.max_flows", "7"},
    {"flow.outbox_records", "2048"},
    {"classes.internal", "['10.0.0.0/8']"},
    {"classes.NAME.prefixes", "['192.0.2.0/24']"},
    {"classes.NAME.file", "'/x'"},
    {"classes.abnormal.black.prefixes", "['192.0.2.0/24']"},
    {"classes.abnormal.black.file", "'/x'"},
    {"classes.abnormal.white.prefixes", "['192.0.2.0/24']"},
    {"classes.abnormal.white.file", "'/x'"},
    {"export.json.NAME.enabled", "false"},
    {"export.json.NAME.path", "'/x'"},
    {"export.json.NAME.queue", "2048"},
    {"export.json.NAME.max_batch_size", "7"},
    {"export.json.NAME.max_batch_interval", "'7s'"},
    {"export.ipfix.NAME.enabled", "false"},
    {"export.ipfix.NAME.endpoint", "'udp://x'"},
    {"export.ipfix.NAME.observation_domain", "7"},
    {"export.ipfix.NAME.biflow", "'split'"},
    {"export.ipfix.NAME.elements", "'compact'"},
    {"export.ipfix.NAME.elements_add", "['flowId']"},
    {"export.ipfix.NAME.elements_remove", "['flowId']"},
    {"export.ipfix.NAME.pen", "7"},
    {"export.ipfix.NAME.template_refresh", "'7s'"},
    {"export.ipfix.NAME.template_refresh_messages", "7"},
    {"export.ipfix.NAME.rate_limit", "7"},
    {"export.ipfix.NAME.max_message_size", "1400"},
    {"export.ipfix.NAME.dscp", "7"},
    {"export.ipfix.NAME.source_address", "'192.0.2.7'"},
    {"export.ipfix.NAME.tls_ca_cert", "'/x'"},
    {"export.ipfix.NAME.tls_client_cert", "'/x'"},
    {"export.ipfix.NAME.tls_client_key", "'/x'"},
    {"export.ipfix.NAME.tls_server_name", "'x'"},
    {"export.ipfix.NAME.tls_insecure_skip_verify", "true"},
    {"export.ipfix.NAME.rotation_size", "'7MiB'"},
    {"export.ipfix.NAME.rotation_interval", "'7m'"},
    {"export.ipfix.NAME.rotation_keep", "7"},
    {"export.ipfix.NAME.queue", "2048"},
    {"export.ipfix.NAME.max_batch_size", "7"},
    {"export.ipfix.NAME.max_batch_interval", "'7s'"},
    {"export.otlp.NAME.enabled", "false"},
    {"export.otlp.NAME.endpoint", "'http://x:4317'"},
    {"export.otlp.NAME.protocol", "'http/protobuf'"},
    {"export.otlp.NAME.compression", "'gzip'"},
    {"export.otlp.NAME.timeout", "'7s'"},
    {"export.otlp.NAME.headers", "{x = 'y'}"},
    {"export.otlp.NAME.auth.basic", "'x:y'"},
    {"export.otlp.NAME.auth.basic_file", "'/x'"},
    {"export.otlp.NAME.auth.basic_credential", "'x'"},
    {"export.otlp.NAME.auth.bearer", "'x'"},
    {"export.otlp.NAME.auth.bearer_file", "'/x'"},
    {"export.otlp.NAME.auth.bearer_credential", "'x'"},
    {"export.otlp.NAME.tls.ca_cert", "'/x'"},
    {"export.otlp.NAME.tls.client_cert", "'/x'"},
    {"export.otlp.NAME.tls.client_key", "'/x'"},
    {"export.otlp.NAME.tls.insecure_skip_verify", "true"},
    {"export.otlp.NAME.trace_id_bucket", "'7s'"},
    {"export.otlp.NAME.spool", "'7MiB'"},
    {"export.otlp.NAME.metrics_interval", "'7s'"},
    {"export.otlp.NAME.max_export_timeout", "'7s'"},
    {"export.otlp.NAME.max_queue_size", "2048"},
    {"export.otlp.NAME.max_batch_size", "7"},
    {"export.otlp.NAME.max_batch_interval", "'7s'"},
    {"export.otlp.NAME.max_concurrent_exports", "7"},
};

constexpr const char* kBase =
    "[export.json.NAME]\npath = '/base'\n[export.ipfix.NAME]\nendpoint = 'udp://base'\n[export.otlp.NAME]\n";

Config config_of(const std::string& change) {
  std::vector<ConfigText> files = {{"base", kBase}, {"change", change}};
  for (ConfigText& file : files) {
    for (std::size_t at = 0; (at = file.text.find("NAME")) != std::string::npos;)
      file.text.replace(at, 4, "a");
  }
  const ParsedConfig parsed = parse_config(files);
  for (const Complaint& complaint : parsed.complaints) ADD_FAILURE() << complaint_text(complaint);
  return parsed.config;
}

/// All that a running rheod hands to its parts when it reads its settings again.
auto taken_over(const Config& config) {
  return std::tuple(threshold_of(config.daemon.log_level), config.daemon.shutdown_timeout, config.interfaces,
                    config.datapath.drain_interval, table_options(config, "").timeouts,
                    class_settings(config), exporter_specs(config));
}

// A key that neither reaches what is taken over nor is refused by name would be changed without effect, and
// without a word.
TEST(Reload, EveryKeyIsTakenOverOrRefusedByName) {
  const Config running = config_of("");
  for (const std::string& name : config_key_names()) {
    const auto value = kOtherValues.find(name);
    if (value == kOtherValues.end()) {
      ADD_FAILURE() << name << ": no other value in kOtherValues";
      continue;
    }
    const Config wanted = config_of(name + " = " + value->second);
    EXPECT_FALSE(wanted == running) << name << " = " << value->second << ": no difference";
    const auto refused = keys_for_restart(running, wanted);
    if (refused.empty())
      EXPECT_TRUE(taken_over(wanted) != taken_over(running)) << name << ": neither taken over nor refused";
    else
      EXPECT_THAT(refused, ElementsAre(name));
  }
  EXPECT_EQ(kOtherValues.size(), config_key_names().size()) << "kOtherValues has a key that there is not";
}

TEST(Reload, AttributesAreTakenOver) {
  const Config running = config_of("");
  const Config wanted = config_of("[resource]\nx = 'y'\n");
  EXPECT_THAT(keys_for_restart(running, wanted), IsEmpty());
  EXPECT_TRUE(taken_over(wanted) != taken_over(running));
}

TEST(Reload, WhatCannotChangeIsNamed) {
  const Config running;
  Config wanted;
  wanted.daemon.log_level = LogLevel::debug;
  wanted.daemon.shutdown_timeout = std::chrono::seconds(1);
  wanted.interfaces.include = {"eth0"};
  wanted.datapath.drain_interval = std::chrono::milliseconds(100);
  wanted.flow.udp_timeout = std::chrono::seconds(1);
  wanted.flow.community_id_seed = 7;
  wanted.resource.attributes["a"] = std::string("b");
  wanted.exporters.json["x"] = {.path = "/x"};
  EXPECT_THAT(keys_for_restart(running, wanted), testing::IsEmpty());
  wanted.daemon.run_directory = "/elsewhere";
  wanted.datapath.fragments = 7;
  wanted.tunnels.gre = false;
  wanted.flow.max_flows = 7;
  wanted.flow.deduplicate = DeduplicateChoice::none;
  EXPECT_THAT(keys_for_restart(running, wanted),
              ElementsAre("daemon.run_directory", "datapath.fragments", "tunnels.gre", "flow.deduplicate",
                          "flow.max_flows"));
}

}  // namespace
}  // namespace rheo
