// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/element_values.h"

#include <utility>

#include "daemon/model/link.h"

namespace rheo {

const Address& source(const FlowView& v) { return v.turned ? v.record.destination : v.record.source; }
const Address& destination(const FlowView& v) { return v.turned ? v.record.source : v.record.destination; }
const Address& outer_source(const FlowView& v) {
  return v.turned ? v.record.outer_destination : v.record.outer_source;
}
const Address& outer_destination(const FlowView& v) {
  return v.turned ? v.record.outer_source : v.record.outer_destination;
}

std::uint16_t class_of(const FlowView& v, const Address& address) {
  return v.classes == nullptr ? std::uint16_t{0} : static_cast<std::uint16_t>(v.classes->find(address) + 1);
}

std::uint8_t listed(const FlowView& v, const Address& address) {
  return v.classes == nullptr ? std::uint8_t{0} : std::to_underlying(v.classes->listed(address));
}

std::uint8_t host_direction(const FlowView& v) {
  if (v.classes == nullptr || link_netns(v.record.link) != 0) return 0;
  return static_cast<std::uint8_t>(
      std::to_underlying(v.classes->direction(v.record.source, v.record.destination)) + 1);
}

}  // namespace rheo
