// SPDX-License-Identifier: Apache-2.0
// Any bytes as rheo.toml: settings or complaints, within the ranges, and never a crash.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "daemon/base/assert.h"
#include "daemon/config/interfaces.h"
#include "daemon/config/parse_config.h"
#include "daemon/config/units.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rheo;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  const ParsedConfig parsed = parse_config(text);
  for (const Complaint& complaint : parsed.complaints) {
    RHEO_ASSERT(complaint.line >= 0);
    RHEO_ASSERT(complaint_text(complaint).size() < 4096);
  }
  RHEO_ASSERT(parsed.config.flow.tcp_timeout > Duration(0));
  RHEO_ASSERT(parsed.config.datapath.flow_cache_rows >= 64);
  RHEO_ASSERT(parsed.config.tunnels.vxlan_ports.size() <= 8);
  const auto chooser = rheo::InterfaceChooser::make(parsed.config.interfaces);
  RHEO_ASSERT(chooser.has_value() || !parsed.complaints.empty());
  if (chooser) static_cast<void>(chooser->choose({{2, rheo::Link{.index = 2, .name = "eth0", .up = true}}}));

  if (const auto duration = parse_duration(text); duration && duration->count() % 1'000'000 == 0)
    RHEO_ASSERT(parse_duration(duration_text(*duration)) == duration);
  if (const auto bytes = parse_size(text)) RHEO_ASSERT(parse_size(size_text(*bytes)) == bytes);
  return 0;
}
