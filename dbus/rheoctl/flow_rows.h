// SPDX-License-Identifier: Apache-2.0
// What rheoctl makes of a flow as ListFlows tells it. Functions throw sdbus::Error where a value is of
// another type than it should be. Pure, any thread.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "dbus/rheoctl/flow_groups.h"
#include "dbus/rheoctl/table.h"
#include "dbus/sdbus.h"

namespace rheo::ctl {

using Flow = std::map<std::string, sdbus::Variant>;

/// The cells of a row of "flows list".
std::vector<Cell> flow_row(const Flow& flow);

/// Of owners that nobody knows no column is shown: those of `count` columns that are empty go.
void drop_empty_columns(Table& table, std::size_t first, std::size_t count);

/// The name of the group that an owner is in, of ListOwners; `by` is unit, process, user or container.
std::string owner_group(const Flow& owner, const std::string& by);

/// With the names of its groups.
GroupedFlow grouped_flow(const Flow& flow, const std::string& by);

}  // namespace rheo::ctl
