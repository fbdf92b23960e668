// SPDX-License-Identifier: Apache-2.0
// The drop-in of interfaces that were attached or detached to last. Main thread; blocks on the disk.
#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace rheo {

/// Writes `include` and `exclude` as they are to be read from now on, in the place of an earlier one.
Status write_interfaces(const std::string& config_path, const InterfacesConfig& config);

}  // namespace rheo
