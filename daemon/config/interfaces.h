// SPDX-License-Identifier: Apache-2.0
// Which interfaces the [interfaces] settings mean. Pure, any thread.
#pragma once

#include <string_view>

#include "daemon/config/config.h"

namespace rheo {

/// True where a glob of `include` matches the name and none of `exclude` does.
bool interface_wanted(const InterfacesConfig& interfaces, std::string_view name);

}  // namespace rheo
