// SPDX-License-Identifier: Apache-2.0
// Lanes: every configured exporter with its lane, and the one that stands in when none is configured.
// Main thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/snapshot.h"
#include "daemon/config/config.h"
#include "daemon/flow/outbox.h"
#include "daemon/model/counters.h"
#include "daemon/model/daemon_status.h"
#include "daemon/model/link.h"
#include "daemon/model/listeners.h"
#include "daemon/model/metering.h"
#include "export/lane.h"

namespace rheo {

/// What exporters ask for besides records. Outlives the lanes.
struct ExporterSources {
  const Snapshot<LinkTable>& links;
  const Snapshot<MeteringCounters>& metering;
  const Snapshot<Listeners>& host;  // its addresses
};

/// What cannot work whatever happens later, one sentence for each exporter. Connects nowhere.
std::vector<std::string> exporter_complaints(const Config& config);

class Lanes {
 public:
  /// Opens a cursor and starts a lane for each exporter; forgets the lanes of exporters that are gone, with a
  /// line in the log where they had records left.
  static Result<Lanes> start(const Config& config, Outbox& outbox, const ExporterSources& sources);

  std::vector<LaneCounters> counters() const;
  void reopen();

  /// Each exporter with its counters.
  std::vector<ExporterStatus> status() const;

  /// Lane::flush of the exporter of that name; std::errc::no_such_file_or_directory where there is none.
  Status flush(const std::string& name);

  /// Every lane empties what is left, until the deadline (CLOCK_MONOTONIC) at the latest; waits for them.
  /// Returns their last counters.
  std::vector<LaneCounters> stop(std::uint64_t deadline_ns);

 private:
  Status start_json(const std::string& name, const JsonExportConfig& config, std::uint16_t community_id_seed,
                    Outbox& outbox, const ExporterSources& sources);
  Status start_ipfix(const std::string& name, const IpfixExportConfig& config,
                     std::uint16_t community_id_seed, Outbox& outbox, const ExporterSources& sources);
  Status start_otlp(const std::string& name, const OtlpExportConfig& exporter, const Config& config,
                    Outbox& outbox, const ExporterSources& sources);

  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace rheo
