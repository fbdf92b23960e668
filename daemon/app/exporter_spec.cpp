// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/exporter_spec.h"

#include <algorithm>

#include "daemon/app/otlp_settings.h"
#include "daemon/app/settings.h"
#include "export/ipfix/ipfix_exporter.h"
#include "export/json/json_exporter.h"

namespace rheo {
namespace {

using Made = Result<std::unique_ptr<Exporter>>;

/// A batch takes a second at most of the pace that it is sent at, so that a stop need not wait longer.
std::uint32_t ipfix_batch_size(const IpfixExportConfig& config) {
  if (config.rate_limit == 0) return config.max_batch_size;
  const std::uint32_t data_records = config.biflow == BiflowChoice::split ? 2 : 1;  // of a record, at most
  return std::clamp(config.rate_limit / data_records, 1U, config.max_batch_size);
}

std::uint32_t batch_size(const JsonExportConfig& config) { return config.max_batch_size; }
std::uint32_t batch_size(const IpfixExportConfig& config) { return ipfix_batch_size(config); }
std::uint32_t batch_size(const OtlpExportConfig& config) { return config.max_batch_size; }

std::uint32_t queue_of(const JsonExportConfig& config) { return config.queue; }
std::uint32_t queue_of(const IpfixExportConfig& config) { return config.queue; }
std::uint32_t queue_of(const OtlpExportConfig& config) { return config.max_queue_size; }

std::uint32_t batches_at_once(const JsonExportConfig& /*config*/) { return 1; }
std::uint32_t batches_at_once(const IpfixExportConfig& /*config*/) { return 1; }
std::uint32_t batches_at_once(const OtlpExportConfig& config) { return config.max_concurrent_exports; }

std::string output_of(const JsonExportConfig& config, const std::string& /*name*/) { return config.path; }
std::string output_of(const IpfixExportConfig& config, const std::string& /*name*/) {
  return config.endpoint;
}
/// Many may send to one place.
std::string output_of(const OtlpExportConfig& /*config*/, const std::string& name) { return name; }

Made make(const JsonExportConfig& config, const ExporterSpec& spec, const ExporterSources& sources) {
  return std::make_unique<JsonExporter>(JsonExporterOptions{.path = config.path,
                                                            .links = sources.links,
                                                            .community_id_seed = spec.community_id_seed,
                                                            .classes = sources.classes,
                                                            .owners = sources.owners});
}

Made make(const IpfixExportConfig& config, const ExporterSpec& spec, const ExporterSources& sources) {
  auto options = ipfix_options(config, spec.community_id_seed, sources.links, sources.metering);
  if (!options) return forward(std::move(options));
  options->encoder.classes = sources.classes;
  options->encoder.owners = sources.owners;
  return IpfixExporter::create(*options);
}

Made make(const OtlpExportConfig& config, const ExporterSpec& spec, const ExporterSources& sources) {
  const OtlpContext context{.resource = spec.resource,
                            .community_id_seed = spec.community_id_seed,
                            .links = sources.links,
                            .host = sources.host,
                            .metering = sources.metering};
  auto options = otlp_options(config, context, environment_variable);
  if (!options) return forward(std::move(options));
  options->classes = sources.classes;
  options->encoder.owners = sources.owners;
  options->spool = {.folder = spec.spool_folder, .limit = config.spool};
  return OtlpExporter::create(*options);
}

}  // namespace

bool ExporterSpec::enabled() const {
  return std::visit([](const auto& config) { return config.enabled; }, section);
}

void ExporterSpec::enable(bool enabled) {
  std::visit([enabled](auto& config) { config.enabled = enabled; }, section);
}

std::string ExporterSpec::output() const {
  return std::visit([this](const auto& config) { return output_of(config, name); }, section);
}

std::uint64_t ExporterSpec::queue() const {
  return std::visit([](const auto& config) -> std::uint64_t { return queue_of(config); }, section);
}

std::vector<ExporterSpec> exporter_specs(const Config& config) {
  const std::uint16_t seed = config.flow.community_id_seed;
  std::vector<ExporterSpec> specs;
  for (const auto& [name, json] : config.exporters.json)
    specs.push_back({.name = "json." + name, .section = json, .community_id_seed = seed});
  for (const auto& [name, ipfix] : config.exporters.ipfix)
    specs.push_back({.name = "ipfix." + name, .section = ipfix, .community_id_seed = seed});
  for (const auto& [name, otlp] : config.exporters.otlp)
    specs.push_back({.name = "otlp." + name,
                     .section = otlp,
                     .community_id_seed = seed,
                     .resource = config.resource,
                     .spool_folder = config.daemon.state_directory + "/spool/otlp." + name});
  return specs;
}

std::vector<std::string> exporter_complaints(const Config& config) {
  const Snapshot<LinkTable> no_links;
  const Snapshot<MeteringCounters> no_counters;
  const Snapshot<Listeners> no_host;
  const ExporterSources sources{.links = no_links, .metering = no_counters, .host = no_host};
  std::vector<std::string> complaints;
  for (ExporterSpec& spec : exporter_specs(config)) {
    spec.spool_folder.clear();
    if (const auto made = make_exporter(spec, sources); !made)
      complaints.push_back("export." + spec.name + ": " + made.error().what);
  }
  return complaints;
}

Made make_exporter(const ExporterSpec& spec, const ExporterSources& sources) {
  return std::visit([&](const auto& config) { return make(config, spec, sources); }, spec.section);
}

LaneOptions lane_options(const ExporterSpec& spec, std::uint64_t queue) {
  return std::visit(
      [&](const auto& config) {
        // A batch that waits to be full must not fill the queue.
        return LaneOptions{.name = spec.name,
                           .max_batch_size = std::clamp<std::uint64_t>(queue / 2, 1, batch_size(config)),
                           .batches_at_once = batches_at_once(config),
                           .max_batch_interval = config.max_batch_interval};
      },
      spec.section);
}

}  // namespace rheo
