// SPDX-License-Identifier: Apache-2.0
// ExporterSpec: all that an exporter and its lane are made of. Two that are equal make the same, so a reload
// leaves that lane alone. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/snapshot.h"
#include "daemon/config/config.h"
#include "daemon/model/address_classes.h"
#include "daemon/model/link.h"
#include "daemon/model/listeners.h"
#include "daemon/model/metering.h"
#include "daemon/model/owner.h"
#include "export/exporter.h"
#include "export/lane.h"

namespace rheo {

/// What exporters ask for besides records. Outlives them.
struct ExporterSources {
  const Snapshot<LinkTable>& links;
  const Snapshot<MeteringCounters>& metering;
  const Snapshot<Listeners>& host;                    // its addresses
  const Snapshot<AddressClasses>* classes = nullptr;  // null: the host is not known
  Owners* owners = nullptr;                           // of sockets; null: nobody knows them
};

struct ExporterSpec {
  std::string name;  // "json.default"
  std::variant<JsonExportConfig, IpfixExportConfig, OtlpExportConfig> section = {};
  std::uint16_t community_id_seed = 0;
  ResourceConfig resource = {};   // of OTLP alone
  std::string spool_folder = {};  // likewise
  friend bool operator==(const ExporterSpec&, const ExporterSpec&) = default;

  bool enabled() const;
  void enable(bool enabled);

  /// Where it writes or sends to; two exporters never have the same at a time.
  std::string output() const;

  std::uint64_t queue() const;  // records; 0: the whole outbox
};

/// One for each exporter of the settings.
std::vector<ExporterSpec> exporter_specs(const Config& config);

/// What cannot work whatever happens later, one sentence for each exporter. Connects nowhere.
std::vector<std::string> exporter_complaints(const Config& config);

/// Connects nowhere yet. Reads the files of secrets.
Result<std::unique_ptr<Exporter>> make_exporter(const ExporterSpec& spec, const ExporterSources& sources);

/// `queue`: records that may wait for it.
LaneOptions lane_options(const ExporterSpec& spec, std::uint64_t queue);

}  // namespace rheo
