// SPDX-License-Identifier: Apache-2.0
// Orphans: what rheo left in the kernel and nobody uses: finding it, and removing it, without CAP_SYS_ADMIN.
// What is not certainly rheo's is told, and never touched. The main thread's.
#pragma once

#include <string>
#include <vector>

#include "daemon/datapath/attachments.h"
#include "daemon/datapath/options.h"
#include "daemon/datapath/pin_directory.h"
#include "daemon/model/orphan.h"

namespace rheo {

/// Beside what `attachments` hold and the maps of our own schema.
std::vector<Orphan> list_orphans(const PinDirectory& pins, const Attachments& attachments);

/// All of them but the unknown. A note for each other schema that had something.
DatapathNotes remove_orphans(const PinDirectory& pins, Attachments& attachments);

/// Every link, filter, qdisc and pin of rheo's in the current network namespace or pinned there, maps
/// included, as long as no rheod has that directory.
std::vector<Orphan> list_everything(const std::string& pin_directory);

/// All of it but the unknown. Drain the maps first: Datapath::open_pinned().
void remove_everything(const std::string& pin_directory);

}  // namespace rheo
