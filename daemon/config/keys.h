// SPDX-License-Identifier: Apache-2.0
// The table of all keys of rheo.toml: name, allowed values, setting. Pure, any thread.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/config/toml_tree.h"
#include "daemon/config/values.h"

namespace rheo {

/// One key of a section: reads a value into the section's settings.
template <class Section>
struct Key {
  std::string_view name;  // a dot in it is a table's: [export.otlp.NAME.tls]
  std::function<Fault(const TomlValue&, Section&)> read;
  bool secret = false;  // its value is in no complaint
};

template <class Section>
using Keys = std::vector<Key<Section>>;

const Keys<DaemonConfig>& daemon_keys();
const Keys<InterfacesConfig>& interfaces_keys();
const Keys<DatapathConfig>& datapath_keys();
const Keys<TunnelsConfig>& tunnels_keys();
const Keys<FlowConfig>& flow_keys();
const Keys<ClassConfig>& class_keys();
const Keys<JsonExportConfig>& json_export_keys();
const Keys<IpfixExportConfig>& ipfix_export_keys();
const Keys<OtlpExportConfig>& otlp_export_keys();

/// Every key in full: "flow.tcp_timeout", "export.json.NAME.path", in the order of the tables above.
std::vector<std::string> config_key_names();

/// The word of `known` that was probably meant, or "" when none is near.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known);

}  // namespace rheo
