// SPDX-License-Identifier: Apache-2.0
// log_notes: what the datapath found and did, and which names of owners cannot be had, as lines in the log.
// Any thread.
#pragma once

#include "daemon/datapath/options.h"
#include "daemon/enrich/owner_directory.h"

namespace rheo {

void log_notes(const DatapathNotes& notes);

/// Of what the options ask for.
void log_unreadable_names(const OwnerOptions& options);

}  // namespace rheo
