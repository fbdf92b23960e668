// SPDX-License-Identifier: Apache-2.0
// Values of information elements that are of the two ends of a flow. Pure, any thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "daemon/model/flow_record.h"
#include "daemon/model/owner.h"
#include "export/ipfix/elements.h"

namespace rheo {

// As the direction told has them.
const Address& source(const FlowView& v);
const Address& destination(const FlowView& v);
const Address& outer_source(const FlowView& v);
const Address& outer_destination(const FlowView& v);

/// One more than the class's number; 0: not known.
std::uint16_t class_of(const FlowView& v, const Address& address);

/// The class's name, filled up with zeros; nothing but these: not known.
std::array<char, 32> class_name(const FlowView& v, const Address& address);

/// The number of Listed.
std::uint8_t listed(const FlowView& v, const Address& address);

/// One more than HostDirection's number, whichever direction of the flow is told; 0: not known, as in network
/// namespaces other than rheod's own.
std::uint8_t host_direction(const FlowView& v);

/// Whose the socket of the source or destination told is; null: not known.
const Owner* source_owner(const FlowView& v);
const Owner* destination_owner(const FlowView& v);

/// 1 where the record tells of the event (kTcpConnect, …), else 0. Of two records of IpfixBiflow::split the
/// first tells it.
std::uint8_t tcp_event(const FlowView& v, std::uint8_t event);

/// In microseconds, at most what 32 bits hold.
std::uint32_t microseconds(std::uint64_t ns);

/// 0: not known.
std::uint32_t process_id(const Owner* owner);

/// As much valid UTF-8 as there is room for.
std::string cut_utf8(const std::string& text, std::size_t octets);

/// Filled up with zeros; of an unknown owner nothing but these.
template <std::size_t Octets>
std::array<char, Octets> owner_text(const Owner* owner, std::string Owner::* text) {
  std::array<char, Octets> value{};
  if (owner != nullptr && !(owner->*text).empty())
    std::ranges::copy(cut_utf8(owner->*text, Octets), value.begin());
  return value;
}

/// The unit of the user's own systemd, where there is one, else the system's.
template <std::size_t Octets>
std::array<char, Octets> owner_unit(const Owner* owner) {
  const bool of_user = owner != nullptr && !owner->user_unit.empty();
  return owner_text<Octets>(owner, of_user ? &Owner::user_unit : &Owner::unit);
}

}  // namespace rheo
