// SPDX-License-Identifier: Apache-2.0
// Values of information elements that are of the two ends of a flow. Pure, any thread.
#pragma once

#include <cstdint>

#include "daemon/model/flow_record.h"
#include "export/ipfix/elements.h"

namespace rheo {

// As the direction told has them.
const Address& source(const FlowView& v);
const Address& destination(const FlowView& v);
const Address& outer_source(const FlowView& v);
const Address& outer_destination(const FlowView& v);

/// One more than the class's number; 0: not known.
std::uint16_t class_of(const FlowView& v, const Address& address);

/// The number of Listed.
std::uint8_t listed(const FlowView& v, const Address& address);

/// One more than HostDirection's number, whichever direction of the flow is told; 0: not known, as in network
/// namespaces other than rheod's own.
std::uint8_t host_direction(const FlowView& v);

}  // namespace rheo
