// SPDX-License-Identifier: Apache-2.0
// A flow as ListFlows tells it: names as in org.rheo.Rheo1(5). Pure, any thread.
#pragma once

#include <map>
#include <string>

#include "daemon/model/address_classes.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/link.h"
#include "daemon/model/owner.h"
#include "dbus/sdbus.h"

namespace rheo {

using FlowDictionary = std::map<std::string, sdbus::Variant>;

/// Owners may be null: nobody knows them.
FlowDictionary flow_dictionary(const FlowRecord& record, const LinkTable& links,
                               const AddressClasses& classes, Owners* owners);

/// What is known of an owner, by the same names, which begin with no end of a flow.
FlowDictionary owner_dictionary(const Owner& owner);

/// True for an IPv4 address, which is stored as ::ffff:a.b.c.d.
bool is_mapped(const Address& address);

}  // namespace rheo
