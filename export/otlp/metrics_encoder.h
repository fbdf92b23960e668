// SPDX-License-Identifier: Apache-2.0
// rheo's own counters as one ExportMetricsServiceRequest (opentelemetry.proto.collector.metrics.v1): the
// names of rheod(8) behind "rheo.", sums that only grow, but for what is a number of now. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/model/metering.h"

namespace rheo {

struct MetricsContext {
  std::string_view resource;  // encode_resource()
  std::string_view scope;     // encode_scope()
  std::uint64_t now_ns = 0;   // since 1970
};

std::string encode_metrics(const MeteringCounters& counters, const MetricsContext& context);

}  // namespace rheo
