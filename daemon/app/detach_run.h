// SPDX-License-Identifier: Apache-2.0
// A detachment by hand: `rheod --detach` while no rheod runs. Main thread, the only one.
#pragma once

#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace rheo {

/// Brings what the pinned maps have counted into the flow table, for the next start, and removes everything
/// of rheo's from the kernel; prints each. Of the settings only the two directories and sizes are read. Fails
/// where a rheod runs, and where something stays.
Status run_detach(const Config& config);

}  // namespace rheo
