// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/all_flows.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "daemon/base/clock.h"
#include "daemon/model/byte_order.h"
#include "daemon/model/names.h"
#include "daemon/model/owner.h"

namespace rheo::ctl {
namespace {

constexpr std::size_t kMostOwners = 65'536;  // as many as rheod remembers
constexpr std::array<std::string_view, 4> kOfOwners = {"unit", "process", "user", "container"};

bool is_of_owners(std::string_view by) { return std::ranges::find(kOfOwners, by) != kOfOwners.end(); }

}  // namespace

bool AllFlows::can_tell(std::string_view by) { return is_of_owners(by) || by == "port" || by == "interface"; }

Result<AllFlows> AllFlows::open(Client& client, const std::string& filter, const std::string& by) {
  auto table = TableReader::map(client.flow_table());
  if (!table) return forward(std::move(table));
  AllFlows all(client, *std::move(table), by);
  all.links_ = client.links();
  auto parsed = FlowFilter::parse(filter, all.links_);
  if (!parsed) return forward(std::move(parsed));
  all.filter_ = *std::move(parsed);
  return all;
}

Status AllFlows::look(const std::function<void(const GroupedFlow&)>& each) {
  if (table_.is_removed()) {
    auto table = TableReader::map(client_->flow_table());
    if (!table) return forward(std::move(table));
    table_ = *std::move(table);
    owners_.clear();
  }
  if (Status grown = table_.refresh(); !grown) return grown;
  if (by_ == "interface") links_.merge(client_->links());
  const std::vector<Row> rows = read_rows();
  if (is_of_owners(by_)) learn_owners(rows);
  for (const Row& row : rows) each(grouped(row));
  return Done{};
}

std::vector<AllFlows::Row> AllFlows::read_rows() const {
  const auto offset_ns = static_cast<std::int64_t>(realtime_ns() - monotonic_ns());
  std::vector<Row> rows;
  FlowEntry entry;
  for (std::uint32_t i = 0; i < table_.entries(); ++i) {
    if (!table_.read(i, entry)) continue;
    const FlowRecord record = make_record(entry.state, EntryOrigin{}, EndReason::active, offset_ns);
    if (!filter_.matches(record)) continue;
    const FlowCounts total = record.forward.total + record.reverse.total;
    rows.push_back({.id = record.flow_id,
                    .packets = total.packets,
                    .bytes = total.l3_bytes,
                    .started_ns = record.flow_start_ns,
                    .link = record.link,
                    .owner = {record.source_owner, record.destination_owner},
                    .port = host_order(record.destination_port_be),
                    .protocol = record.protocol});
  }
  return rows;
}

void AllFlows::learn_owners(const std::vector<Row>& rows) {
  std::unordered_set<std::uint32_t> unknown;
  if (owners_.size() >= kMostOwners) owners_.clear();
  for (const Row& row : rows) {
    for (const std::uint32_t number : row.owner)
      if (number >= kFirstOwner && !owners_.contains(number)) unknown.insert(number);
  }
  for (auto next = unknown.begin(); next != unknown.end();) {
    std::vector<std::uint32_t> asked;
    for (; next != unknown.end() && asked.size() < Client::kOwnersAtOnce; ++next) asked.push_back(*next);
    owners_.merge(client_->owner_groups(asked, by_));
    for (const std::uint32_t number : asked)
      owners_.try_emplace(number);  // nobody knows it, nor will at the next look
  }
}

GroupedFlow AllFlows::grouped(const Row& row) const {
  GroupedFlow grouped{
      .id = row.id, .names = {}, .packets = row.packets, .bytes = row.bytes, .started_ns = row.started_ns};
  if (by_ == "interface") {
    grouped.add_name(std::string(link_name(links_, row.link)));
  } else if (by_ == "port") {
    grouped.add_port(protocol_name(row.protocol), row.port);
  } else {
    for (const std::uint32_t number : row.owner)
      if (const auto found = owners_.find(number); found != owners_.end()) grouped.add_name(found->second);
  }
  return grouped;
}

}  // namespace rheo::ctl
