// SPDX-License-Identifier: Apache-2.0
#include "dbus/flow_dictionary.h"

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "daemon/base/utf8.h"
#include "daemon/model/byte_order.h"
#include "daemon/model/names.h"

namespace rheo {
namespace {

std::string hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

template <class T>
void add(FlowDictionary& flow, const std::string& name, const T& value) {
  flow.emplace(name, sdbus::Variant(value));
}

/// Each key makes the longest answer, which is one message, longer for those who wait: none says nothing.
void add_word(FlowDictionary& flow, const char* name, std::string_view word) {
  if (!word.empty()) add(flow, name, std::string(word));
}

struct OwnerText {
  const char* name;
  std::string Owner::* text;
};
constexpr OwnerText kOwnerTexts[] = {{"ProcessExecutableName", &Owner::name},
                                     {"ProcessExecutablePath", &Owner::executable},
                                     {"ProcessCommandLine", &Owner::command_line},
                                     {"ProcessOwner", &Owner::user},
                                     {"SystemdUnit", &Owner::unit},
                                     {"SystemdUserUnit", &Owner::user_unit},
                                     {"SystemdSlice", &Owner::slice},
                                     {"SystemdSession", &Owner::session},
                                     {"ContainerId", &Owner::container_id},
                                     {"ContainerName", &Owner::container_name},
                                     {"ContainerImageName", &Owner::container_image},
                                     {"ContainerRuntime", &Owner::container_runtime}};

/// What is known of the owner; null: nothing.
void add_owner(FlowDictionary& flow, const std::string& side, const Owner* owner) {
  if (owner == nullptr) return;
  if (owner->pid != 0) add(flow, side + "ProcessPid", owner->pid);
  for (const auto& [name, text] : kOwnerTexts) {
    const std::string& value = owner->*text;
    if (!value.empty()) add(flow, side + name, valid_utf8(value.substr(0, kMaxOwnerText)));
  }
}

/// What a TCP socket of this host says of the direction that it sends in.
void add_tcp(FlowDictionary& flow, const std::string& way, const TcpSample& sample) {
  if (sample.congestion_window == 0) return;
  if (sample.srtt_us != 0) add(flow, way + "TcpRtt", sample.srtt_ns());
  if (sample.min_rtt_us != 0) add(flow, way + "TcpMinRtt", sample.min_rtt_ns());
  add(flow, way + "TcpRetransmits", sample.retransmits);
  add(flow, way + "TcpCongestionWindow", sample.congestion_window);
}

}  // namespace

FlowDictionary owner_dictionary(const Owner& owner) {
  FlowDictionary told;
  add_owner(told, "", &owner);
  return told;
}

bool is_mapped(const Address& address) {
  constexpr Address kPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(kPrefix.begin(), kPrefix.begin() + 12, address.begin());
}

FlowDictionary flow_dictionary(const FlowRecord& record, const LinkTable& links,
                               const AddressClasses& classes, Owners* owners) {
  FlowDictionary flow;
  add(flow, "FlowId", hex(record.flow_id));
  add(flow, "Interface", valid_utf8(link_full_name(links, record.link)));
  add(flow, "InterfaceIndex", link_ifindex(record.link));
  add(flow, "Protocol", protocol_name(record.protocol));
  add(flow, "Source", address_text(record.source, record.ipv6));
  add(flow, "SourcePort", host_order(record.source_port_be));
  add(flow, "Destination", address_text(record.destination, record.ipv6));
  add(flow, "DestinationPort", host_order(record.destination_port_be));
  const bool ours = link_netns(record.link) == 0;  // the host's addresses are those there
  add(flow, "Direction",
      std::string(ours ? host_direction_name(classes.direction(record.source, record.destination)) : ""));
  add(flow, "SourceClass", std::string(classes.name_of(record.source)));
  add_word(flow, "SourceAbnormal", listed_name(classes.listed(record.source)));
  add(flow, "DestinationClass", std::string(classes.name_of(record.destination)));
  add_word(flow, "DestinationAbnormal", listed_name(classes.listed(record.destination)));
  if (owners != nullptr) {
    add_owner(flow, "Source", owners->find(record.source_owner).get());
    add_owner(flow, "Destination", owners->find(record.destination_owner).get());
  }
  add_word(flow, "TcpState", tcp_state_name(record.tcp_state));
  if (record.vlan != 0) add(flow, "Vlan", record.vlan);
  add(flow, "StartedAt", record.flow_start_ns);
  add(flow, "LastPacketAt", record.end_ns);
  add(flow, "Packets", record.forward.total.packets);
  add(flow, "Bytes", record.forward.total.l3_bytes);
  add(flow, "ReversePackets", record.reverse.total.packets);
  add(flow, "ReverseBytes", record.reverse.total.l3_bytes);
  add_tcp(flow, "", record.forward.tcp);
  add_tcp(flow, "Reverse", record.reverse.tcp);
  return flow;
}

}  // namespace rheo
