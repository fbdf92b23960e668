// SPDX-License-Identifier: Apache-2.0
// From the configuration to each module's own options. Pure, any thread.
#pragma once

#include "daemon/base/log.h"
#include "daemon/base/result.h"
#include "daemon/base/snapshot.h"
#include "daemon/config/config.h"
#include "daemon/datapath/options.h"
#include "daemon/enrich/class_loader.h"
#include "daemon/enrich/owner_directory.h"
#include "daemon/flow/flow_table.h"
#include "daemon/model/link.h"
#include "daemon/model/metering.h"
#include "daemon/replay/replay.h"
#include "export/ipfix/ipfix_exporter.h"

namespace rheo {

log::Priority threshold_of(LogLevel level);
DatapathOptions datapath_options(const Config& config);
ClassSettings class_settings(const Config& config);
OwnerOptions owner_options(const Config& config);

/// The table in `run_directory`, or in memory only where that is empty.
FlowTableOptions table_options(const Config& config, const std::string& run_directory);

/// `links` and `metering` outlive the exporter.
Result<IpfixExporterOptions> ipfix_options(const IpfixExportConfig& config, std::uint16_t community_id_seed,
                                           const Snapshot<LinkTable>& links,
                                           const Snapshot<MeteringCounters>& metering);
ReplayOptions replay_options(const Config& config);

}  // namespace rheo
