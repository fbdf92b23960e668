// SPDX-License-Identifier: Apache-2.0
// From the configuration of an OTLP exporter, and from the environment where that says nothing, to the
// exporter's own options. Any thread; reads the files of secrets.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/snapshot.h"
#include "daemon/config/config.h"
#include "daemon/model/link.h"
#include "daemon/model/listeners.h"
#include "daemon/model/metering.h"
#include "export/otlp/otlp_exporter.h"

namespace rheo {

/// The value of a variable, "" where it is not set. The process's own is environment_variable().
using Environment = std::function<std::string(const std::string& name)>;
std::string environment_variable(const std::string& name);

/// What an OTLP exporter needs beside its own section.
struct OtlpContext {
  const ResourceConfig& resource;
  std::uint16_t community_id_seed = 0;
  const Snapshot<LinkTable>& links;  // outlive the exporter
  const Snapshot<Listeners>& host;
  const Snapshot<MeteringCounters>& metering;
};

/// The error is one sentence, without any secret in it. OTEL_EXPORTER_OTLP_TRACES_X goes before
/// OTEL_EXPORTER_OTLP_X, as the OpenTelemetry specification says, and a key of the section before both.
Result<OtlpExporterOptions> otlp_options(const OtlpExportConfig& config, const OtlpContext& context,
                                         const Environment& environment);

/// Who sends: service.name, host.name, host.id, …; then OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, then
/// [resource]: a later one's value of a name stands.
std::vector<OtlpAttribute> resource_attributes(const ResourceConfig& resource,
                                               const Environment& environment);

}  // namespace rheo
