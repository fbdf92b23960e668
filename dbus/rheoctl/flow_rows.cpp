// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/flow_rows.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "dbus/rheoctl/flow_text.h"

namespace rheo::ctl {
namespace {

template <class T>
T member(const Flow& flow, const char* name) {
  const auto found = flow.find(name);
  return found == flow.end() ? T{} : found->second.get<T>();
}

std::uint64_t flow_number(const std::string& digits) {
  std::uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  return number;
}

/// What is known of an owner in one word: the service, the container, or the process.
std::string owner_text(const Flow& flow, const std::string& side) {
  const auto known = [&](const char* key) {
    const auto found = flow.find(side + key);
    return found == flow.end() ? std::string() : found->second.get<std::string>();
  };
  if (std::string unit = known("SystemdUserUnit"); !unit.empty()) return unit;
  if (std::string name = known("ContainerName"); !name.empty()) return name;
  if (const std::string id = known("ContainerId"); !id.empty())
    return id.substr(0, known("ContainerRuntime") == "lxc" ? id.size() : 12);
  std::string unit = known("SystemdUnit");
  return unit.ends_with(".service") ? unit : known("ProcessExecutableName");
}

/// By the words of is_grouping(): the name of the group that one end of the flow is in, "" where it is
/// unknown.
std::string group_of(const Flow& flow, const std::string& by, const std::string& side) {
  const auto known = [&](const std::string& key) { return member<std::string>(flow, (side + key).c_str()); };
  if (by == "process") return known("ProcessExecutableName");
  if (by == "user") return known("ProcessOwner");
  if (by == "container") {
    std::string name = known("ContainerName");
    return name.empty() ? known("ContainerId") : name;
  }
  if (by == "class") return known("Class");
  if (by == "peer") return known("");
  std::string of_user = known("SystemdUserUnit");
  return of_user.empty() ? known("SystemdUnit") : of_user;
}

/// The other hosts' ends: both, where the flow only passes, or stays here.
std::vector<std::string> sides(const Flow& flow, const std::string& by) {
  const std::string direction = by == "peer" ? member<std::string>(flow, "Direction") : "";
  if (direction == "egress") return {"Destination"};
  if (direction == "ingress") return {"Source"};
  return {"Source", "Destination"};
}

}  // namespace

std::vector<Cell> flow_row(const Flow& flow) {
  const auto started = member<std::uint64_t>(flow, "StartedAt");
  return {text_cell(member<std::string>(flow, "Interface")),
          text_cell(member<std::string>(flow, "Protocol")),
          text_cell(
              end_point_text(member<std::string>(flow, "Source"), member<std::uint16_t>(flow, "SourcePort"))),
          text_cell(end_point_text(member<std::string>(flow, "Destination"),
                                   member<std::uint16_t>(flow, "DestinationPort"))),
          text_cell(owner_text(flow, "Source")),
          text_cell(owner_text(flow, "Destination")),
          text_cell(member<std::string>(flow, "TcpState")),
          number_cell(member<std::uint64_t>(flow, "Packets")),
          bytes_cell(member<std::uint64_t>(flow, "Bytes")),
          number_cell(member<std::uint64_t>(flow, "ReversePackets")),
          bytes_cell(member<std::uint64_t>(flow, "ReverseBytes")),
          time_cell(started),
          text_cell(member<std::string>(flow, "FlowId"))};
}

void drop_empty_columns(Table& table, std::size_t first, std::size_t count) {
  for (std::size_t i = first + count; i-- > first;) {
    if (std::ranges::any_of(table.rows, [i](const auto& row) { return !row[i].text.empty(); })) continue;
    const auto place = static_cast<std::ptrdiff_t>(i);
    table.columns.erase(table.columns.begin() + place);
    for (auto& row : table.rows) row.erase(row.begin() + place);
  }
}

std::string owner_group(const Flow& owner, const std::string& by) { return group_of(owner, by, ""); }

GroupedFlow grouped_flow(const Flow& flow, const std::string& by) {
  GroupedFlow grouped{
      .id = flow_number(member<std::string>(flow, "FlowId")),
      .names = {},
      .packets = member<std::uint64_t>(flow, "Packets") + member<std::uint64_t>(flow, "ReversePackets"),
      .bytes = member<std::uint64_t>(flow, "Bytes") + member<std::uint64_t>(flow, "ReverseBytes"),
      .started_ns = member<std::uint64_t>(flow, "StartedAt")};
  if (by == "interface") {
    grouped.add_name(member<std::string>(flow, "Interface"));
  } else if (by == "port") {
    grouped.add_port(member<std::string>(flow, "Protocol"), member<std::uint16_t>(flow, "DestinationPort"));
  } else {
    for (const std::string& side : sides(flow, by)) grouped.add_name(group_of(flow, by, side));
  }
  return grouped;
}

}  // namespace rheo::ctl
