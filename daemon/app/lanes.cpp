// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/lanes.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "daemon/app/otlp_settings.h"
#include "daemon/app/settings.h"
#include "daemon/base/log.h"
#include "export/ipfix/ipfix_exporter.h"
#include "export/json/json_exporter.h"

namespace rheo {

namespace {

std::string json_lane(const std::string& name) { return "json." + name; }
std::string ipfix_lane(const std::string& name) { return "ipfix." + name; }
std::string otlp_lane(const std::string& name) { return "otlp." + name; }

/// A batch that waits to be full must not fill the queue.
std::size_t batch_size(std::uint64_t configured, std::uint64_t queue, const Outbox& outbox) {
  return std::min(configured, outbox.queue_of(queue) / 2);
}

/// A batch takes a second at most of the pace that it is sent at, so that a stop need not wait longer.
std::uint32_t ipfix_batch_size(const IpfixExportConfig& config) {
  if (config.rate_limit == 0) return config.max_batch_size;
  const std::uint32_t data_records = config.biflow == BiflowChoice::split ? 2 : 1;  // of a record, at most
  return std::clamp(config.rate_limit / data_records, 1U, config.max_batch_size);
}

void retire_lanes(const ExportConfig& config, Outbox& outbox) {
  std::vector<std::string> names;
  for (const auto& [name, json] : config.json) names.push_back(json_lane(name));
  for (const auto& [name, ipfix] : config.ipfix) names.push_back(ipfix_lane(name));
  for (const auto& [name, otlp] : config.otlp) names.push_back(otlp_lane(name));
  for (const RetiredLane& lane : outbox.retire_lanes(names)) {
    if (lane.records > 0)
      log::write(
          log::Priority::warning, log::kExporterDropped,
          fmt::format("exporter {}: not configured any more, {} records that it had not sent are dropped",
                      lane.name, lane.records),
          {{"RHEO_EXPORTER", lane.name}});
  }
}

Result<std::unique_ptr<IpfixExporter>> make_ipfix(const IpfixExportConfig& config,
                                                  std::uint16_t community_id_seed,
                                                  const ExporterSources& sources) {
  auto options = ipfix_options(config, community_id_seed, sources.links, sources.metering);
  if (!options) return forward(std::move(options));
  return IpfixExporter::create(*options);
}

Result<std::unique_ptr<OtlpExporter>> make_otlp(const OtlpExportConfig& exporter, const Config& config,
                                                const ExporterSources& sources, const std::string& spool) {
  const OtlpContext context{.resource = config.resource,
                            .community_id_seed = config.flow.community_id_seed,
                            .links = sources.links,
                            .host = sources.host,
                            .metering = sources.metering};
  auto options = otlp_options(exporter, context, environment_variable);
  if (!options) return forward(std::move(options));
  options->spool = {.folder = spool, .limit = exporter.spool};
  return OtlpExporter::create(*options);
}

}  // namespace

std::vector<std::string> exporter_complaints(const Config& config) {
  const Snapshot<LinkTable> no_links;
  const Snapshot<MeteringCounters> no_counters;
  const Snapshot<Listeners> no_host;
  const ExporterSources sources{.links = no_links, .metering = no_counters, .host = no_host};
  std::vector<std::string> complaints;
  for (const auto& [name, ipfix] : config.exporters.ipfix) {
    if (const auto made = make_ipfix(ipfix, 0, sources); !made)
      complaints.push_back("export.ipfix." + name + ": " + made.error().what);
  }
  for (const auto& [name, otlp] : config.exporters.otlp) {
    if (const auto made = make_otlp(otlp, config, sources, ""); !made)
      complaints.push_back("export.otlp." + name + ": " + made.error().what);
  }
  return complaints;
}

Result<Lanes> Lanes::start(const Config& config, Outbox& outbox, const ExporterSources& sources) {
  const std::uint16_t community_id_seed = config.flow.community_id_seed;
  retire_lanes(config.exporters, outbox);
  Lanes lanes;
  for (const auto& [name, json] : config.exporters.json) {
    Status started = lanes.start_json(json_lane(name), json, community_id_seed, outbox, sources);
    if (!started) return forward(std::move(started), "export");
  }
  for (const auto& [name, ipfix] : config.exporters.ipfix) {
    Status started = lanes.start_ipfix(ipfix_lane(name), ipfix, community_id_seed, outbox, sources);
    if (!started) return forward(std::move(started), "export");
  }
  for (const auto& [name, otlp] : config.exporters.otlp) {
    Status started = lanes.start_otlp(otlp_lane(name), otlp, config, outbox, sources);
    if (!started) return forward(std::move(started), "export");
  }
  return lanes;
}

Status Lanes::start_json(const std::string& name, const JsonExportConfig& config,
                         std::uint16_t community_id_seed, Outbox& outbox, const ExporterSources& sources) {
  auto cursor = outbox.open_cursor(name, config.queue);
  if (!cursor) return forward(std::move(cursor));
  auto exporter = std::make_unique<JsonExporter>(JsonExporterOptions{
      .path = config.path, .links = sources.links, .community_id_seed = community_id_seed});
  lanes_.push_back(std::make_unique<Lane>(
      *std::move(cursor), std::move(exporter),
      LaneOptions{.name = name,
                  .max_batch_size = batch_size(config.max_batch_size, config.queue, outbox),
                  .max_batch_interval = config.max_batch_interval}));
  return Done{};
}

Status Lanes::start_ipfix(const std::string& name, const IpfixExportConfig& config,
                          std::uint16_t community_id_seed, Outbox& outbox, const ExporterSources& sources) {
  auto exporter = make_ipfix(config, community_id_seed, sources);
  if (!exporter) return forward(std::move(exporter), name);
  auto cursor = outbox.open_cursor(name, config.queue);
  if (!cursor) return forward(std::move(cursor));
  lanes_.push_back(std::make_unique<Lane>(
      *std::move(cursor), *std::move(exporter),
      LaneOptions{.name = name,
                  .max_batch_size = batch_size(ipfix_batch_size(config), config.queue, outbox),
                  .max_batch_interval = config.max_batch_interval}));
  return Done{};
}

Status Lanes::start_otlp(const std::string& name, const OtlpExportConfig& exporter, const Config& config,
                         Outbox& outbox, const ExporterSources& sources) {
  const std::string spool = config.daemon.state_directory + "/spool/" + name;
  auto made = make_otlp(exporter, config, sources, spool);
  if (!made) return forward(std::move(made), name);
  auto cursor = outbox.open_cursor(name, exporter.max_queue_size);
  if (!cursor) return forward(std::move(cursor));
  lanes_.push_back(std::make_unique<Lane>(
      *std::move(cursor), *std::move(made),
      LaneOptions{.name = name,
                  .max_batch_size = batch_size(exporter.max_batch_size, exporter.max_queue_size, outbox),
                  .batches_at_once = exporter.max_concurrent_exports,
                  .max_batch_interval = exporter.max_batch_interval}));
  return Done{};
}

std::vector<LaneCounters> Lanes::counters() const {
  std::vector<LaneCounters> counters;
  for (const auto& lane : lanes_) counters.push_back(lane->counters());
  return counters;
}

void Lanes::reopen() {
  for (const auto& lane : lanes_) lane->reopen();
}

std::vector<ExporterStatus> Lanes::status() const {
  std::vector<ExporterStatus> status;
  for (const auto& lane : lanes_) {
    LaneCounters counted = lane->counters();
    status.push_back({.name = counted.name, .failing = lane->failing(), .counters = counted});
  }
  return status;
}

Status Lanes::flush(const std::string& name) {
  for (const auto& lane : lanes_) {
    if (lane->counters().name != name) continue;
    lane->flush();
    return Done{};
  }
  return failure("no exporter has this name; ListExporters has the names",
                 std::errc::no_such_file_or_directory);
}

std::vector<LaneCounters> Lanes::stop(std::uint64_t deadline_ns) {
  for (const auto& lane : lanes_) lane->request_stop(deadline_ns);
  for (const auto& lane : lanes_) {
    while (!lane->finished()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  auto last = counters();
  lanes_.clear();
  return last;
}

}  // namespace rheo
