// SPDX-License-Identifier: Apache-2.0
// What exporters and classes may be called, and which exporters files set up. Pure, any thread.
#pragma once

#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "daemon/config/parse_config.h"

namespace rheo {

inline constexpr std::size_t kMaxNameLength = 32;

/// a-z, 0-9, "_" and "-".
bool is_exporter_name(std::string_view name);

/// The same, and A-Z.
bool is_class_name(std::string_view name);

/// "export.json.default" and so on, of every exporter that a file sets up; where a file only switches some.
std::set<std::string> exporters_of(std::span<const ConfigText> files);

}  // namespace rheo
