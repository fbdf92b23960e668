// SPDX-License-Identifier: Apache-2.0
// Drop-ins that rheod writes itself, for changes over the bus that are to last. Any thread; blocks on the
// disk.
#pragma once

#include <string>
#include <string_view>

#include "daemon/base/result.h"

namespace rheo {

/// What rheod wants to be read after the file at `config_path`.
struct DropIn {
  std::string name;      // "exporter-json.default": letters, digits and ".-_"
  std::string settings;  // TOML, whole lines
};

/// A drop-in's name begins with this where it switches an exporter that other files set up.
inline constexpr std::string_view kExporterDropIn = "exporter-";

/// Whether the file is such a drop-in, by its name.
bool switches_an_exporter(std::string_view path);

/// CONFIG_PATH.d/90-rheoctl-NAME.toml: after an administrator's own files, unless they begin with more.
std::string drop_in_path(const std::string& config_path, const std::string& name);

/// Puts the drop-in in the place of one of the same name, whole or not at all, also over a power cut. The
/// error names the file and says what to do.
Status write_drop_in(const std::string& config_path, const DropIn& drop_in);

/// As a TOML basic string, quotes included: "a\"b" for a"b.
std::string toml_string(std::string_view text);

}  // namespace rheo
