// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/lanes.h"

#include <chrono>
#include <thread>

#include "daemon/base/log.h"
#include "export/json/json_exporter.h"

namespace rheo {

Result<Lanes> Lanes::start(const ExportConfig& config, std::uint16_t community_id_seed, Outbox& outbox,
                           const Snapshot<LinkTable>& links) {
  std::vector<std::string> names;
  for (const auto& [name, json] : config.json) names.push_back("json." + name);
  for (const RetiredLane& lane : outbox.retire_lanes(names)) {
    if (lane.records > 0)
      log::warning("exporter {}: not configured any more, {} records that it had not sent are dropped",
                   lane.name, lane.records);
  }

  Lanes lanes;
  for (const auto& [name, json] : config.json) {
    const std::string lane_name = "json." + name;
    auto cursor = outbox.open_cursor(lane_name);
    if (!cursor) return forward(std::move(cursor), "export");
    auto exporter = std::make_unique<JsonExporter>(
        JsonExporterOptions{.path = json.path, .links = links, .community_id_seed = community_id_seed});
    lanes.lanes_.push_back(
        std::make_unique<Lane>(*std::move(cursor), std::move(exporter),
                               LaneOptions{.name = lane_name,
                                           .max_batch_size = json.max_batch_size,
                                           .max_batch_interval = json.max_batch_interval}));
  }
  return lanes;
}

std::vector<LaneCounters> Lanes::counters() const {
  std::vector<LaneCounters> counters;
  for (const auto& lane : lanes_) counters.push_back(lane->counters());
  return counters;
}

void Lanes::reopen() {
  for (const auto& lane : lanes_) lane->reopen();
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
