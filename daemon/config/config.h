// SPDX-License-Identifier: Apache-2.0
// Config: every setting of rheod with its default, as plain values. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "daemon/model/ip_prefix.h"

namespace rheo {

using Duration = std::chrono::nanoseconds;

enum class DirectionChoice : std::uint8_t { both, ingress, egress };
enum class HookChoice : std::uint8_t { automatic, tcx, clsact };
enum class TcxOrderChoice : std::uint8_t { first, last };
enum class DeduplicateChoice : std::uint8_t { first_interface, none };
enum class BiflowChoice : std::uint8_t { rfc5103, split };
enum class ElementsChoice : std::uint8_t { compact, standard, full };
enum class OtlpProtocolChoice : std::uint8_t { grpc, http_protobuf };
enum class CompressionChoice : std::uint8_t { none, gzip };
enum class LogLevel : std::uint8_t { error, warning, notice, info, debug };

struct DaemonConfig {
  std::string run_directory = "/run/rheo";
  std::string pin_directory = "/sys/fs/bpf/rheo";
  std::string state_directory = "/var/lib/rheo";
  LogLevel log_level = LogLevel::info;
  Duration shutdown_timeout = std::chrono::seconds(10);
  friend bool operator==(const DaemonConfig&, const DaemonConfig&) = default;
};

struct InterfacesConfig {
  // Patterns, as InterfacePattern (interfaces.h) reads them.
  std::vector<std::string> include = {"*"};
  std::vector<std::string> exclude = {};
  std::map<std::string, DirectionChoice> direction = {};  // by pattern; the longest that matches holds
  std::vector<std::string> netns = {};                    // names in /run/netns, "auto": all
  friend bool operator==(const InterfacesConfig&, const InterfacesConfig&) = default;
};

struct DatapathConfig {
  HookChoice hook = HookChoice::automatic;
  TcxOrderChoice tcx_order = TcxOrderChoice::first;
  std::uint16_t tc_priority = 50;             // of clsact filters
  std::uint32_t flow_cache_rows = 65'536;     // of the whole machine
  std::uint64_t evicted_ring = 32ULL << 20U;  // bytes, a power of two
  std::uint32_t fragments = 8'192;            // datagrams whose ports are remembered
  Duration drain_interval = std::chrono::seconds(1);
  bool owners = true;            // note whose the sockets are
  bool command_lines = false;    // of processes, which may hold secrets
  bool container_names = false;  // read them, and images, from files of the runtimes
  bool tcp = true;               // note round-trip times, retransmissions and handshakes
  friend bool operator==(const DatapathConfig&, const DatapathConfig&) = default;
};

struct TunnelsConfig {
  std::vector<std::uint16_t> vxlan_ports = {4789, 8472};
  std::vector<std::uint16_t> geneve_ports = {6081};
  std::vector<std::uint16_t> wireguard_ports = {51820};
  bool gre = true;   // decapsulate GRE and NVGRE
  bool ipip = true;  // decapsulate IPIP, 6in4 and ip6tnl
  friend bool operator==(const TunnelsConfig&, const TunnelsConfig&) = default;
};

struct FlowConfig {
  Duration max_record_interval = std::chrono::seconds(60);
  Duration generic_timeout = std::chrono::seconds(30);
  Duration icmp_timeout = std::chrono::seconds(10);
  Duration tcp_timeout = std::chrono::seconds(20);
  Duration tcp_fin_timeout = std::chrono::seconds(5);
  Duration tcp_rst_timeout = std::chrono::seconds(5);
  Duration udp_timeout = std::chrono::seconds(60);
  DeduplicateChoice deduplicate = DeduplicateChoice::first_interface;
  std::uint16_t community_id_seed = 0;
  std::uint32_t max_flows = 1'000'000;
  std::uint32_t outbox_records = 65'536;  // a power of two
  friend bool operator==(const FlowConfig&, const FlowConfig&) = default;
};

/// The prefixes of a class of addresses, or of a list.
struct ClassConfig {
  std::vector<IpPrefix> prefixes = {};
  std::string file = {};  // more of them, one a line; empty: none
  friend bool operator==(const ClassConfig&, const ClassConfig&) = default;
};

/// RFC 1918, RFC 3927, unique local and link-local addresses of IPv6.
ClassConfig default_internal_class();

struct ClassesConfig {
  std::map<std::string, ClassConfig> classes = {{"internal", default_internal_class()}};  // by name
  ClassConfig black = {};                                                                 // abnormal.black
  ClassConfig white = {};
  friend bool operator==(const ClassesConfig&, const ClassesConfig&) = default;
};

struct JsonExportConfig {
  std::string path;         // a file, "-" for standard output, or "journal"
  std::uint32_t queue = 0;  // records; 0: the whole outbox
  std::uint32_t max_batch_size = 1'024;
  Duration max_batch_interval = std::chrono::seconds(1);
  bool enabled = true;
  friend bool operator==(const JsonExportConfig&, const JsonExportConfig&) = default;
};

struct IpfixExportConfig {
  std::string endpoint;  // "udp://host:port", "file:/path" and so on, see rheo.toml(5)
  std::uint32_t observation_domain = 1;
  BiflowChoice biflow = BiflowChoice::rfc5103;
  ElementsChoice elements = ElementsChoice::standard;
  std::vector<std::string> elements_add = {};  // by name
  std::vector<std::string> elements_remove = {};
  std::uint32_t pen = 32'473;                           // the number for documentation, RFC 5612
  Duration template_refresh = std::chrono::minutes(5);  // over UDP and DTLS, like the three below
  std::uint64_t template_refresh_messages = 50'000;
  std::uint32_t rate_limit = 20'000;   // records a second; 0: none
  std::uint32_t max_message_size = 0;  // bytes; 0: what suits the transport
  std::uint32_t dscp = 0;
  std::string source_address = {};   // empty: the route's
  std::string tls_ca_cert = {};      // files; empty: the system's authorities
  std::string tls_client_cert = {};  // empty: none is shown
  std::string tls_client_key = {};
  std::string tls_server_name = {};  // whose certificate it must be; empty: the endpoint's host
  bool tls_insecure_skip_verify = false;
  std::uint64_t rotation_size = 0;  // bytes of a file; 0: it is not put aside for this reason
  Duration rotation_interval = Duration(0);
  std::uint32_t rotation_keep = 10;
  std::uint32_t queue = 0;  // records; 0: the whole outbox
  std::uint32_t max_batch_size = 1'024;
  Duration max_batch_interval = std::chrono::seconds(1);
  bool enabled = true;
  friend bool operator==(const IpfixExportConfig&, const IpfixExportConfig&) = default;
};

/// A secret in the file itself, in a file of its own, or in a credential of systemd; at most one of them.
struct SecretConfig {
  std::string value = {};
  std::string file = {};
  std::string credential = {};
  bool empty() const { return value.empty() && file.empty() && credential.empty(); }
  friend bool operator==(const SecretConfig&, const SecretConfig&) = default;
};

/// What is empty or absent here, the environment may say (OTEL_EXPORTER_OTLP_*), else a default does.
struct OtlpExportConfig {
  std::string endpoint = {};                          // http://localhost:4317, with http/protobuf 4318
  std::optional<OtlpProtocolChoice> protocol = {};    // grpc
  std::optional<CompressionChoice> compression = {};  // none
  std::optional<Duration> timeout = {};               // 10 s; of one request
  std::map<std::string, std::string> headers = {};    // secrets
  SecretConfig auth_basic = {};                       // "user:password"
  SecretConfig auth_bearer = {};
  std::string tls_ca_cert = {};      // files; empty: the system's authorities
  std::string tls_client_cert = {};  // empty: none is shown
  std::string tls_client_key = {};
  bool tls_insecure_skip_verify = false;
  Duration trace_id_bucket = std::chrono::minutes(1);
  std::uint64_t spool = 0;                    // bytes on disk; 0: none
  Duration metrics_interval = Duration(0);    // 0: no metrics
  Duration max_export_timeout = Duration(0);  // 0: a batch is offered until it is taken
  std::uint32_t max_queue_size = 32'768;      // records
  std::uint32_t max_batch_size = 1'024;
  Duration max_batch_interval = std::chrono::seconds(2);
  std::uint32_t max_concurrent_exports = 1;
  bool enabled = true;
  friend bool operator==(const OtlpExportConfig&, const OtlpExportConfig&) = default;
};

/// Attributes of whom all OTLP exporters speak for, by name.
struct ResourceConfig {
  using Value = std::variant<std::string, std::int64_t, double, bool, std::vector<std::string>>;
  std::map<std::string, Value> attributes = {};
  friend bool operator==(const ResourceConfig&, const ResourceConfig&) = default;
};

struct ExportConfig {
  // By the <name> of [export.json.<name>] and so on.
  std::map<std::string, JsonExportConfig> json = {};
  std::map<std::string, IpfixExportConfig> ipfix = {};
  std::map<std::string, OtlpExportConfig> otlp = {};

  bool empty() const { return json.empty() && ipfix.empty() && otlp.empty(); }
  std::size_t size() const { return json.size() + ipfix.size() + otlp.size(); }
  friend bool operator==(const ExportConfig&, const ExportConfig&) = default;
};

struct Config {
  DaemonConfig daemon;
  InterfacesConfig interfaces;
  DatapathConfig datapath;
  TunnelsConfig tunnels;
  FlowConfig flow;
  ClassesConfig classes;
  ResourceConfig resource;
  ExportConfig exporters;
  friend bool operator==(const Config&, const Config&) = default;
};

}  // namespace rheo
