// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/element_values.h"

#include <string_view>
#include <utility>

#include "daemon/base/utf8.h"
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

std::array<char, 32> class_name(const FlowView& v, const Address& address) {
  std::array<char, 32> value{};
  if (v.classes != nullptr)
    std::ranges::copy(cut_utf8(std::string(v.classes->name_of(address)), value.size()), value.begin());
  return value;
}

std::uint8_t listed(const FlowView& v, const Address& address) {
  return v.classes == nullptr ? std::uint8_t{0} : std::to_underlying(v.classes->listed(address));
}

std::uint8_t host_direction(const FlowView& v) {
  if (v.classes == nullptr || link_netns(v.record.link) != 0) return 0;
  return static_cast<std::uint8_t>(
      std::to_underlying(v.classes->direction(v.record.source, v.record.destination)) + 1);
}

const Owner* source_owner(const FlowView& v) { return v.turned ? v.destination_owner : v.source_owner; }
const Owner* destination_owner(const FlowView& v) { return v.turned ? v.source_owner : v.destination_owner; }

std::uint32_t microseconds(std::uint64_t ns) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(ns / 1'000, UINT32_MAX));
}

std::uint8_t tcp_event(const FlowView& v, std::uint8_t event) {
  const bool is_second = v.turned && v.record.forward.delta.packets != 0;
  return !is_second && (v.record.tcp_events & event) != 0 ? 1 : 0;
}

std::uint32_t process_id(const Owner* owner) { return owner == nullptr ? 0 : owner->pid; }

std::string cut_utf8(const std::string& text, std::size_t octets) {
  std::string valid = valid_utf8(text.substr(0, octets + 3));  // with all of the last character
  std::size_t end = 0;
  while (end < valid.size()) {
    const std::size_t length = utf8_length(std::string_view(valid).substr(end));
    if (end + length > octets) break;
    end += length;
  }
  valid.resize(end);
  return valid;
}

}  // namespace rheo
