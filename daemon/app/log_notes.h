// SPDX-License-Identifier: Apache-2.0
// log_notes: what the datapath found and did, as lines in the log. Any thread.
#pragma once

#include "daemon/datapath/options.h"

namespace rheo {

void log_notes(const DatapathNotes& notes);

}  // namespace rheo
