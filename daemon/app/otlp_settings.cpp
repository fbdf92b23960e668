// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/otlp_settings.h"

#include <fmt/format.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <cstdlib>
#include <optional>

#include "daemon/app/secret.h"
#include "daemon/config/values.h"
#include "daemon/model/trace_id.h"

namespace rheo {
namespace {

using std::chrono::nanoseconds;

constexpr std::chrono::seconds kDefaultTimeout(10);

std::string host_id() {
  sd_id128_t id{};
  char text[SD_ID128_STRING_MAX] = "";
  return ::sd_id128_get_machine(&id) < 0 ? std::string() : ::sd_id128_to_string(id, text);
}

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = "";
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// "%41" is "A"; what is no such escape stays.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    out.push_back(low >= 0 ? static_cast<char>(high * 16 + low) : text[i]);
    if (low >= 0) i += 2;
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

/// "name=value,name=value", the values percent-encoded (W3C Baggage). Nothing where an item has no name or
/// no "=".
std::optional<std::vector<std::pair<std::string, std::string>>> read_list(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> list;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view item = trimmed(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (item.empty()) continue;
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0) return std::nullopt;
    list.emplace_back(percent_decoded(trimmed(item.substr(0, equals))),
                      percent_decoded(trimmed(item.substr(equals + 1))));
  }
  return list;
}

std::string base64(std::string_view text) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j)
      bits = bits << 8U | (i + j < text.size() ? static_cast<unsigned char>(text[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j)
      out.push_back(i + j <= text.size() ? digits[bits >> (18 - 6 * j) & 63U] : '=');
  }
  return out;
}

/// Reads one exporter's settings; each function one of them.
class Reader {
 public:
  Reader(const OtlpExportConfig& config, const Environment& environment)
      : config_(config), environment_(environment) {}

  Status protocol(OtlpTransportOptions& options) const;
  Status endpoint(OtlpTransportOptions& options) const;
  Status compression(OtlpTransportOptions& options) const;
  Status timeout(OtlpTransportOptions& options) const;
  Status headers(OtlpTransportOptions& options) const;
  void tls(OtlpTransportOptions& options) const;

 private:
  struct Variable {
    std::string name;
    std::string value;
  };
  /// Of the traces' own variable and the general one, the first that is set.
  Variable variable(const std::string& suffix) const {
    for (const char* prefix : {"OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"}) {
      std::string name = prefix + suffix;
      if (std::string value = environment_(name); !value.empty()) return {std::move(name), std::move(value)};
    }
    return {};
  }

  const OtlpExportConfig& config_;
  const Environment& environment_;
};

Status Reader::protocol(OtlpTransportOptions& options) const {
  const auto variable = this->variable("PROTOCOL");
  const OtlpProtocolChoice choice = config_.protocol.value_or(
      variable.value == "http/protobuf" ? OtlpProtocolChoice::http_protobuf : OtlpProtocolChoice::grpc);
  if (!config_.protocol && !variable.value.empty() && variable.value != "grpc" &&
      variable.value != "http/protobuf")
    return failure(
        fmt::format("{}={}: unknown; allowed: grpc, http/protobuf", variable.name, shown(variable.value)));
  options.protocol = choice == OtlpProtocolChoice::grpc ? OtlpProtocol::grpc : OtlpProtocol::http_protobuf;
  return Done{};
}

Status Reader::endpoint(OtlpTransportOptions& options) const {
  const bool grpc = options.protocol == OtlpProtocol::grpc;
  std::string text = config_.endpoint;
  bool whole_path = false;
  if (text.empty()) {
    const auto variable = this->variable("ENDPOINT");
    text = variable.value;
    whole_path = variable.name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    // Without a scheme, as gRPC has it, another variable says whether there is TLS.
    if (!text.empty() && grpc && text.find("://") == std::string::npos)
      text.insert(0, this->variable("INSECURE").value == "true" ? "http://" : "https://");
  }
  if (text.empty()) text = grpc ? "http://localhost:4317" : "http://localhost:4318";
  auto endpoint = parse_otlp_endpoint(text, options.protocol);
  if (!endpoint) return forward(std::move(endpoint));
  options.endpoint = *std::move(endpoint);
  options.endpoint.whole_path = whole_path && !options.endpoint.path.empty();
  return Done{};
}

Status Reader::compression(OtlpTransportOptions& options) const {
  if (config_.compression) {
    options.gzip = *config_.compression == CompressionChoice::gzip;
    return Done{};
  }
  const auto variable = this->variable("COMPRESSION");
  if (!variable.value.empty() && variable.value != "gzip" && variable.value != "none")
    return failure(fmt::format("{}={}: unknown; allowed: none, gzip", variable.name, shown(variable.value)));
  options.gzip = variable.value == "gzip";
  return Done{};
}

Status Reader::timeout(OtlpTransportOptions& options) const {
  options.timeout = config_.timeout.value_or(kDefaultTimeout);
  const auto variable = this->variable("TIMEOUT");
  if (config_.timeout || variable.value.empty()) return Done{};
  unsigned ms = 0;
  const char* const end = variable.value.data() + variable.value.size();
  const auto read = std::from_chars(variable.value.data(), end, ms);
  if (read.ec != std::errc() || read.ptr != end || ms == 0 || ms > 600'000)
    return failure(fmt::format("{}={}: not a number of milliseconds; allowed: 1 to 600000", variable.name,
                               shown(variable.value)));
  options.timeout = std::chrono::milliseconds(ms);
  return Done{};
}

Status Reader::headers(OtlpTransportOptions& options) const {
  if (config_.headers.empty()) {
    const auto variable = this->variable("HEADERS");
    const auto list = read_list(variable.value);
    TomlTable table;
    for (const auto& [name, value] : list.value_or(std::vector<std::pair<std::string, std::string>>{}))
      table.push_back({.key = name, .line = 0, .value = {value}});
    std::map<std::string, std::string> headers;
    if (const Fault fault = read_headers({std::move(table)}, headers); fault || !list)
      return failure(
          fmt::format("{}: {}", variable.name, fault.value_or("not a list; allowed: name=value,…")));
    options.headers.assign(headers.begin(), headers.end());
  } else {
    options.headers.assign(config_.headers.begin(), config_.headers.end());
  }
  for (const auto& [key, secret, scheme] : {std::tuple("auth.basic", &config_.auth_basic, "Basic "),
                                            std::tuple("auth.bearer", &config_.auth_bearer, "Bearer ")}) {
    if (secret->empty()) continue;
    auto value = read_secret_value(key, *secret, environment_("CREDENTIALS_DIRECTORY"));
    if (!value) return forward(std::move(value));
    const bool basic = secret == &config_.auth_basic;
    if (basic && value->find(':') == std::string::npos)
      return failure("auth.basic: not a user name and a password; allowed: USER:PASSWORD");
    std::erase_if(options.headers, [](const auto& header) { return header.first == "authorization"; });
    options.headers.emplace_back("authorization", scheme + (basic ? base64(*value) : *value));
  }
  return Done{};
}

void Reader::tls(OtlpTransportOptions& options) const {
  const auto or_variable = [this](const std::string& setting, const char* suffix) {
    return setting.empty() ? variable(suffix).value : setting;
  };
  options.tls = {.ca_cert = or_variable(config_.tls_ca_cert, "CERTIFICATE"),
                 .client_cert = or_variable(config_.tls_client_cert, "CLIENT_CERTIFICATE"),
                 .client_key = or_variable(config_.tls_client_key, "CLIENT_KEY"),
                 .insecure_skip_verify = config_.tls_insecure_skip_verify};
}

std::string text_of(const std::vector<OtlpAttribute>& attributes, std::string_view key) {
  for (const OtlpAttribute& attribute : attributes)
    if (const auto* text = std::get_if<std::string>(&attribute.value);
        text != nullptr && attribute.key == key)
      return *text;
  return {};
}

}  // namespace

std::string environment_variable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nobody sets any
  return value == nullptr ? "" : value;
}

std::vector<OtlpAttribute> resource_attributes(const ResourceConfig& resource,
                                               const Environment& environment) {
  std::vector<OtlpAttribute> attributes = {{.key = "service.name", .value = "rheo"},
                                           {.key = "service.version", .value = RHEO_VERSION},
                                           {.key = "os.type", .value = "linux"},
                                           {.key = "telemetry.distro.name", .value = "rheo"},
                                           {.key = "telemetry.distro.version", .value = RHEO_VERSION}};
  if (std::string name = host_name(); !name.empty()) set_attribute(attributes, "host.name", std::move(name));
  if (std::string id = host_id(); !id.empty()) set_attribute(attributes, "host.id", std::move(id));
  for (auto& [key, value] : read_list(environment("OTEL_RESOURCE_ATTRIBUTES"))
                                .value_or(std::vector<std::pair<std::string, std::string>>{}))
    set_attribute(attributes, key, std::move(value));
  if (std::string name = environment("OTEL_SERVICE_NAME"); !name.empty())
    set_attribute(attributes, "service.name", std::move(name));
  for (const auto& [key, value] : resource.attributes)
    set_attribute(attributes, key, std::visit([](const auto& one) { return AttributeValue(one); }, value));
  return attributes;
}

Result<OtlpExporterOptions> otlp_options(const OtlpExportConfig& config, const OtlpContext& context,
                                         const Environment& environment) {
  const Reader reader(config, environment);
  OtlpExporterOptions options{
      .encoder = {.version = RHEO_VERSION,
                  .bucket_ns = static_cast<std::uint64_t>(config.trace_id_bucket.count()),
                  .community_id_seed = context.community_id_seed},
      .transport = {},
      .resource = resource_attributes(context.resource, environment),
      .links = context.links,
      .host = context.host,
      .max_export_timeout = config.max_export_timeout,
      .spool = {},
      .max_batch_size = config.max_batch_size,
      .max_concurrent_exports = config.max_concurrent_exports,
      .metrics_interval = config.metrics_interval,
      .metering = context.metering};
  options.transport.version = RHEO_VERSION;
  std::string id = text_of(options.resource, "host.id");
  options.encoder.host_key = host_key(id.empty() ? text_of(options.resource, "host.name") : id);
  for (const auto read :
       {&Reader::protocol, &Reader::endpoint, &Reader::compression, &Reader::timeout, &Reader::headers}) {
    if (Status status = (reader.*read)(options.transport); !status) return forward(std::move(status));
  }
  reader.tls(options.transport);
  if (options.transport.endpoint.whole_path) options.metrics_interval = {};  // that path is the traces'
  return options;
}

}  // namespace rheo
