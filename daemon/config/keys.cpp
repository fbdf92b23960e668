// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

namespace rheo {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kKiB = 1ULL << 10U;
constexpr std::uint64_t kGiB = 1ULL << 30U;
constexpr std::uint64_t kMaxOutbox = 16'777'216;  // records

// In the order of their enumerators.
constexpr std::array<std::string_view, 2> kDeduplicates = {"first-interface", "none"};
constexpr std::array<std::string_view, 2> kBiflows = {"rfc5103", "split"};
constexpr std::array<std::string_view, 3> kElements = {"compact", "standard", "full"};
constexpr std::array<std::string_view, 3> kDirections = {"both", "ingress", "egress"};
constexpr std::array<std::string_view, 3> kHooks = {"auto", "tcx", "clsact"};
constexpr std::array<std::string_view, 2> kTcxOrders = {"first", "last"};
constexpr std::array<std::string_view, 2> kOtlpProtocols = {"grpc", "http/protobuf"};
constexpr std::array<std::string_view, 2> kCompressions = {"none", "gzip"};
constexpr std::array<std::string_view, 5> kLogLevels = {"error", "warning", "notice", "info", "debug"};

// What a key of each type is made of: the member that it sets, then what it allows.

template <class S>
auto duration(Duration S::* member, Duration low, Duration high) {
  return [=](const TomlValue& value, S& section) {
    return read_duration(value, {low, high}, S{}.*member, section.*member);
  };
}

template <class S, class Integer>
auto number(Integer S::* member, std::uint64_t low, std::uint64_t high, bool power_of_two = false) {
  return [=](const TomlValue& value, S& section) {
    std::uint64_t read = section.*member;
    Fault fault = read_number(value, {low, high, power_of_two}, read);
    section.*member = static_cast<Integer>(read);
    return fault;
  };
}

template <class S>
auto size(std::uint64_t S::* member, std::uint64_t low, std::uint64_t high, bool power_of_two) {
  return [=](const TomlValue& value, S& section) {
    return read_size(value, {low, high, power_of_two}, section.*member);
  };
}

template <class S, class Word>
auto word(Word S::* member, std::span<const std::string_view> words) {
  return [=](const TomlValue& value, S& section) {
    auto index = static_cast<std::size_t>(section.*member);
    Fault fault = read_word(value, words, index);
    section.*member = static_cast<Word>(index);
    return fault;
  };
}

// Of settings that may be absent, which is not their default.

template <class S>
auto duration(std::optional<Duration> S::* member, Duration example, Duration low, Duration high) {
  return [=](const TomlValue& value, S& section) {
    Duration read = example;
    Fault fault = read_duration(value, {low, high}, example, read);
    if (!fault) section.*member = read;
    return fault;
  };
}

template <class S, class Word>
auto word(std::optional<Word> S::* member, std::span<const std::string_view> words) {
  return [=](const TomlValue& value, S& section) {
    std::size_t index = 0;
    Fault fault = read_word(value, words, index);
    if (!fault) section.*member = static_cast<Word>(index);
    return fault;
  };
}

template <class S>
auto headers(std::map<std::string, std::string> S::* member) {
  return [=](const TomlValue& value, S& section) { return read_headers(value, section.*member); };
}

/// One of the places of a secret.
template <class S>
auto secret(SecretConfig S::* member, std::string SecretConfig::* place) {
  return [=](const TomlValue& value, S& section) { return read_secret(value, section.*member.*place); };
}

template <class S>
auto secret_file(SecretConfig S::* member) {
  return [=](const TomlValue& value, S& section) { return read_file_name(value, (section.*member).file); };
}

template <class S>
auto credential(SecretConfig S::* member) {
  return [=](const TomlValue& value, S& section) {
    return read_credential(value, (section.*member).credential);
  };
}

template <class S>
auto otlp_endpoint(std::string S::* member) {
  return [=](const TomlValue& value, S& section) { return read_otlp_endpoint(value, section.*member); };
}

template <class S>
auto on_off(bool S::* member) {
  return [=](const TomlValue& value, S& section) { return read_switch(value, section.*member); };
}

template <class S>
auto directory(std::string S::* member) {
  return [=](const TomlValue& value, S& section) { return read_directory(value, section.*member); };
}

template <class S>
auto output(std::string S::* member) {
  return [=](const TomlValue& value, S& section) { return read_output(value, section.*member); };
}

template <class S>
auto file(std::string S::* member) {
  return [=](const TomlValue& value, S& section) { return read_file_name(value, section.*member); };
}

template <class S>
auto prefixes(std::vector<IpPrefix> S::* member) {
  return [=](const TomlValue& value, S& section) { return read_prefixes(value, section.*member); };
}

template <class S>
auto endpoint(std::string S::* member) {
  return [=](const TomlValue& value, S& section) { return read_endpoint(value, section.*member); };
}

template <class S>
auto address(std::string S::* member) {
  return [=](const TomlValue& value, S& section) { return read_address(value, section.*member); };
}

template <class S>
auto host(std::string S::* member) {
  return [=](const TomlValue& value, S& section) { return read_host(value, section.*member); };
}

template <class S>
auto names(std::vector<std::string> S::* member) {
  return [=](const TomlValue& value, S& section) { return read_names(value, section.*member); };
}

template <class S>
auto globs(std::vector<std::string> S::* member, std::size_t least) {
  return [=](const TomlValue& value, S& section) { return read_globs(value, least, section.*member); };
}

template <class S>
auto namespaces(std::vector<std::string> S::* member) {
  return [=](const TomlValue& value, S& section) { return read_namespaces(value, section.*member); };
}

template <class S>
auto directions(std::map<std::string, DirectionChoice> S::* member) {
  return [=](const TomlValue& value, S& section) {
    return read_directions(value, kDirections, section.*member);
  };
}

template <class S>
auto ports(std::vector<std::uint16_t> S::* member) {
  return [=](const TomlValue& value, S& section) { return read_ports(value, section.*member); };
}

template <class S>
void add_names(std::vector<std::string>& names, std::string_view section, const Keys<S>& keys) {
  for (const Key<S>& key : keys) names.push_back(fmt::format("{}.{}", section, key.name));
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0U);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j + 1] + 1, row[j] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

const Keys<DaemonConfig>& daemon_keys() {
  static const Keys<DaemonConfig> keys = {
      {"run_directory", directory(&DaemonConfig::run_directory)},
      {"pin_directory", directory(&DaemonConfig::pin_directory)},
      {"state_directory", directory(&DaemonConfig::state_directory)},
      {"log_level", word(&DaemonConfig::log_level, kLogLevels)},
      {"shutdown_timeout", duration(&DaemonConfig::shutdown_timeout, 100ms, 10min)},
  };
  return keys;
}

const Keys<InterfacesConfig>& interfaces_keys() {
  static const Keys<InterfacesConfig> keys = {
      {"include", globs(&InterfacesConfig::include, 1)},
      {"exclude", globs(&InterfacesConfig::exclude, 0)},
      {"direction", directions(&InterfacesConfig::direction)},
      {"netns", namespaces(&InterfacesConfig::netns)},
  };
  return keys;
}

const Keys<DatapathConfig>& datapath_keys() {
  static const Keys<DatapathConfig> keys = {
      {"hook", word(&DatapathConfig::hook, kHooks)},
      {"tcx_order", word(&DatapathConfig::tcx_order, kTcxOrders)},
      {"tc_priority", number(&DatapathConfig::tc_priority, 1, 49'151)},
      {"flow_cache_rows", number(&DatapathConfig::flow_cache_rows, 64, 16'777'216)},
      {"evicted_ring", size(&DatapathConfig::evicted_ring, 64 * kKiB, kGiB, true)},
      {"fragments", number(&DatapathConfig::fragments, 1, 1'048'576)},
      {"drain_interval", duration(&DatapathConfig::drain_interval, 50ms, 60s)},
      {"owners", on_off(&DatapathConfig::owners)},
      {"command_lines", on_off(&DatapathConfig::command_lines)},
      {"container_names", on_off(&DatapathConfig::container_names)},
      {"tcp", on_off(&DatapathConfig::tcp)},
  };
  return keys;
}

const Keys<TunnelsConfig>& tunnels_keys() {
  static const Keys<TunnelsConfig> keys = {
      {"vxlan_ports", ports(&TunnelsConfig::vxlan_ports)},
      {"geneve_ports", ports(&TunnelsConfig::geneve_ports)},
      {"wireguard_ports", ports(&TunnelsConfig::wireguard_ports)},
      {"gre", on_off(&TunnelsConfig::gre)},
      {"ipip", on_off(&TunnelsConfig::ipip)},
  };
  return keys;
}

const Keys<FlowConfig>& flow_keys() {
  static const Keys<FlowConfig> keys = {
      {"max_record_interval", duration(&FlowConfig::max_record_interval, 1ms, 24h)},
      {"generic_timeout", duration(&FlowConfig::generic_timeout, 1ms, 24h)},
      {"icmp_timeout", duration(&FlowConfig::icmp_timeout, 1ms, 24h)},
      {"tcp_timeout", duration(&FlowConfig::tcp_timeout, 1ms, 24h)},
      {"tcp_fin_timeout", duration(&FlowConfig::tcp_fin_timeout, 1ms, 24h)},
      {"tcp_rst_timeout", duration(&FlowConfig::tcp_rst_timeout, 1ms, 24h)},
      {"udp_timeout", duration(&FlowConfig::udp_timeout, 1ms, 24h)},
      {"deduplicate", word(&FlowConfig::deduplicate, kDeduplicates)},
      {"community_id_seed", number(&FlowConfig::community_id_seed, 0, 65'535)},
      {"max_flows", number(&FlowConfig::max_flows, 1, 100'000'000)},
      {"outbox_records", number(&FlowConfig::outbox_records, 1'024, kMaxOutbox, true)},
  };
  return keys;
}

const Keys<ClassConfig>& class_keys() {
  static const Keys<ClassConfig> keys = {
      {"prefixes", prefixes(&ClassConfig::prefixes)},
      {"file", file(&ClassConfig::file)},
  };
  return keys;
}

const Keys<JsonExportConfig>& json_export_keys() {
  static const Keys<JsonExportConfig> keys = {
      {"enabled", on_off(&JsonExportConfig::enabled)},
      {"path", output(&JsonExportConfig::path)},
      {"queue", number(&JsonExportConfig::queue, 0, kMaxOutbox)},
      {"max_batch_size", number(&JsonExportConfig::max_batch_size, 1, 65'536)},
      {"max_batch_interval", duration(&JsonExportConfig::max_batch_interval, 1ms, 60s)},
  };
  return keys;
}

const Keys<IpfixExportConfig>& ipfix_export_keys() {
  using C = IpfixExportConfig;
  static const Keys<C> keys = {
      {"enabled", on_off(&C::enabled)},
      {"endpoint", endpoint(&C::endpoint)},
      {"observation_domain", number(&C::observation_domain, 0, 4'294'967'295)},
      {"biflow", word(&C::biflow, kBiflows)},
      {"elements", word(&C::elements, kElements)},
      {"elements_add", names(&C::elements_add)},
      {"elements_remove", names(&C::elements_remove)},
      {"pen", number(&C::pen, 1, 4'294'967'295)},
      {"template_refresh", duration(&C::template_refresh, 1s, 24h)},
      {"template_refresh_messages", number(&C::template_refresh_messages, 0, 1'000'000'000)},
      {"rate_limit", number(&C::rate_limit, 0, 100'000'000)},
      {"max_message_size", number(&C::max_message_size, 0, 65'535)},
      {"dscp", number(&C::dscp, 0, 63)},
      {"source_address", address(&C::source_address)},
      {"tls_ca_cert", file(&C::tls_ca_cert)},
      {"tls_client_cert", file(&C::tls_client_cert)},
      {"tls_client_key", file(&C::tls_client_key)},
      {"tls_server_name", host(&C::tls_server_name)},
      {"tls_insecure_skip_verify", on_off(&C::tls_insecure_skip_verify)},
      {"rotation_size", size(&C::rotation_size, 0, 1'024 * kGiB, false)},
      {"rotation_interval", duration(&C::rotation_interval, 0s, 8'760h)},
      {"rotation_keep", number(&C::rotation_keep, 1, 10'000)},
      {"queue", number(&C::queue, 0, kMaxOutbox)},
      {"max_batch_size", number(&C::max_batch_size, 1, 65'536)},
      {"max_batch_interval", duration(&C::max_batch_interval, 1ms, 60s)},
  };
  return keys;
}

const Keys<OtlpExportConfig>& otlp_export_keys() {
  using C = OtlpExportConfig;
  static const Keys<C> keys = {
      {"enabled", on_off(&C::enabled)},
      {"endpoint", otlp_endpoint(&C::endpoint), true},
      {"protocol", word(&C::protocol, kOtlpProtocols)},
      {"compression", word(&C::compression, kCompressions)},
      {"timeout", duration(&C::timeout, 10s, 10ms, 10min)},
      {"headers", headers(&C::headers), true},
      {"auth.basic", secret(&C::auth_basic, &SecretConfig::value), true},
      {"auth.basic_file", secret_file(&C::auth_basic)},
      {"auth.basic_credential", credential(&C::auth_basic)},
      {"auth.bearer", secret(&C::auth_bearer, &SecretConfig::value), true},
      {"auth.bearer_file", secret_file(&C::auth_bearer)},
      {"auth.bearer_credential", credential(&C::auth_bearer)},
      {"tls.ca_cert", file(&C::tls_ca_cert)},
      {"tls.client_cert", file(&C::tls_client_cert)},
      {"tls.client_key", file(&C::tls_client_key)},
      {"tls.insecure_skip_verify", on_off(&C::tls_insecure_skip_verify)},
      {"trace_id_bucket", duration(&C::trace_id_bucket, 1s, 24h)},
      {"spool", size(&C::spool, 0, 1'024 * kGiB, false)},
      {"metrics_interval", duration(&C::metrics_interval, 0s, 24h)},
      {"max_export_timeout", duration(&C::max_export_timeout, 0s, 24h)},
      {"max_queue_size", number(&C::max_queue_size, 1'024, kMaxOutbox)},
      {"max_batch_size", number(&C::max_batch_size, 1, 65'536)},
      {"max_batch_interval", duration(&C::max_batch_interval, 1ms, 60s)},
      {"max_concurrent_exports", number(&C::max_concurrent_exports, 1, 16)},
  };
  return keys;
}

std::vector<std::string> config_key_names() {
  std::vector<std::string> names;
  add_names(names, "daemon", daemon_keys());
  add_names(names, "interfaces", interfaces_keys());
  add_names(names, "datapath", datapath_keys());
  add_names(names, "tunnels", tunnels_keys());
  add_names(names, "flow", flow_keys());
  names.emplace_back("classes.internal");
  add_names(names, "classes.NAME", class_keys());
  add_names(names, "classes.abnormal.black", class_keys());
  add_names(names, "classes.abnormal.white", class_keys());
  add_names(names, "export.json.NAME", json_export_keys());
  add_names(names, "export.ipfix.NAME", ipfix_export_keys());
  add_names(names, "export.otlp.NAME", otlp_export_keys());
  return names;
}

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known) {
  constexpr std::size_t kLongest = 64;  // nobody mistypes a key into something longer
  if (word.size() > kLongest) return {};

  std::string_view nearest;
  // Two letters swapped are a distance of 2; in a word of three that is another word.
  std::size_t least = std::max<std::size_t>(word.size() / 3, word.size() > 3 ? 2 : 1) + 1;
  for (const std::string_view candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace rheo
