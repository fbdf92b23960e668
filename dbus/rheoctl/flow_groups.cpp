// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/flow_groups.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "dbus/rheoctl/top_picture.h"

namespace rheo::ctl {
namespace {

constexpr std::string_view kGroupings[] = {"unit",  "process", "user", "container",
                                           "class", "peer",    "port", "interface"};

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

bool is_grouping(std::string_view by) { return std::ranges::find(kGroupings, by) != std::end(kGroupings); }

std::string groupings() {
  std::string text;
  for (const std::string_view by : kGroupings) text += (text.empty() ? "" : ", ") + std::string(by);
  return text;
}

void GroupedFlow::add_name(std::string name) {
  if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
}

void GroupedFlow::add_port(const std::string& protocol, std::uint16_t port) {
  if (port != 0) add_name(protocol + "/" + std::to_string(port));
}

void FlowGroups::begin(std::uint64_t now_ns) {
  const bool again = looked_at_ns_ != 0 && now_ns > looked_at_ns_;
  seconds_ = again ? static_cast<double>(now_ns - looked_at_ns_) / 1e9 : 0;
  before_ns_ = std::exchange(looked_at_ns_, now_ns);
  before_ = std::exchange(bytes_, {});
  groups_.clear();
}

void FlowGroups::add(const GroupedFlow& flow) {
  bytes_[flow.id] = flow.bytes;
  const std::uint64_t since = since_last_look(flow);
  const auto add_to = [&](const std::string& name) {
    Group& group = groups_[name];
    ++group.flows;
    group.packets += flow.packets;
    group.bytes += flow.bytes;
    group.since += since;
  };
  if (flow.names.empty()) add_to("-");
  for (const std::string& name : flow.names) add_to(name);
}

/// One that was not there is new, or has just become one of the largest: then nothing is known.
std::uint64_t FlowGroups::since_last_look(const GroupedFlow& flow) const {
  if (const auto before = before_.find(flow.id); before != before_.end())
    return flow.bytes - std::min(flow.bytes, before->second);
  return before_ns_ != 0 && flow.started_ns >= before_ns_ ? flow.bytes : 0;
}

Table FlowGroups::table(const std::string& by) const {
  std::vector<std::pair<std::string, Group>> order(groups_.begin(), groups_.end());
  std::ranges::stable_sort(order, [](const auto& a, const auto& b) {
    return std::pair(a.second.since, a.second.bytes) > std::pair(b.second.since, b.second.bytes);
  });
  Table table{.columns = {{upper(by), by}, {"FLOWS", "flows"}, {"PACKETS", "packets"}, {"BYTES", "bytes"}},
              .rows = {}};
  if (seconds_ > 0) table.columns.push_back({"BIT/S", "bits_per_second"});
  for (const auto& [name, group] : order) {
    table.rows.push_back(
        {text_cell(name), number_cell(group.flows), number_cell(group.packets), bytes_cell(group.bytes)});
    if (seconds_ > 0)
      table.rows.back().push_back(text_cell(short_number(static_cast<double>(group.since) * 8 / seconds_)));
  }
  return table;
}

}  // namespace rheo::ctl
