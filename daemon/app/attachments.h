// SPDX-License-Identifier: Apache-2.0
// Which links are metered and how each is attached. Main thread.
#pragma once

#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/datapath/datapath.h"
#include "daemon/model/link.h"

namespace rheo {

/// The links that the settings want and that are up, in the order of their index. Fails where a name without
/// wildcards is that of no link, a link wanted by name cannot be metered, or nothing is left.
Result<std::vector<LinkTarget>> choose_targets(const LinkTable& links, const InterfacesConfig& config);

/// Attaches to each; one that fails is left out with a line in the log. Fails when none is left, or the
/// kernel refuses in a way that is the same for all. Returns the names of what is metered.
Result<std::vector<std::string>> attach_all(Datapath& datapath, const std::vector<LinkTarget>& targets);

}  // namespace rheo
