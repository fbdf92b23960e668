// SPDX-License-Identifier: Apache-2.0
// `rheod --replay FILE`: a capture through the flow table to the exporters. Main thread; the lanes have
// theirs.
#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace rheo {

/// Meters the whole capture and waits until the exporters have every record (within shutdown_timeout of the
/// end). A damaged capture is metered up to the damage and is an error then.
Status run_replay(const std::string& path, const Config& config);

}  // namespace rheo
