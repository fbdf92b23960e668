// SPDX-License-Identifier: Apache-2.0
// OtherSchemas: what a rheod of another schema left pinned beside our folder. Its maps cannot be read, so
// nothing of it is drained; it is known by its names and its kinds. The main thread's.
#pragma once

#include <cstdint>
#include <vector>

#include "daemon/datapath/options.h"
#include "daemon/datapath/pin_directory.h"
#include "daemon/model/orphan.h"

namespace rheo {

inline constexpr const char* kNotOurName = "not a name that rheod gives: it is left alone";

std::vector<Orphan> list_other_schemas(const PinDirectory& pins);

/// Interfaces whose clsact qdisc a rheod of another schema made, and which the marks there no longer say.
std::vector<LinkId> take_qdisc_marks(const PinDirectory& pins);

/// Detaches the links and unpins them and the maps; then each folder that is empty goes. A note for each.
DatapathNotes remove_other_schemas(const PinDirectory& pins);

}  // namespace rheo
