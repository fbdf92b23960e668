// SPDX-License-Identifier: Apache-2.0
// Reads rheo.toml and its drop-ins from the file system. Any thread; blocks on the disk only.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/config/parse_config.h"

namespace rheo {

inline constexpr const char* kDefaultConfigPath = "/etc/rheo/rheo.toml";

/// What the absence of the file means. Drop-ins are read in both cases.
enum class WhenMissing : std::uint8_t {
  use_defaults,  // the default path, which need not exist
  complain,      // a path that somebody named
};

/// The settings of the file at `path`, then of PATH.d/*.toml in the byte order of their names. What cannot be
/// read is a complaint like any other.
ParsedConfig load_config(const std::string& path, WhenMissing when_missing);

}  // namespace rheo
