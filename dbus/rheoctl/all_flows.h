// SPDX-License-Identifier: Apache-2.0
// AllFlows: every flow there is, with the names of its groups: reads the live flow table, and asks rheod for
// the owners that it meets there. Functions throw sdbus::Error. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/model/flow_filter.h"
#include "daemon/model/link.h"
#include "dbus/rheoctl/client.h"
#include "dbus/rheoctl/flow_groups.h"
#include "dbus/rheoctl/table_reader.h"

namespace rheo::ctl {

class AllFlows {
 public:
  /// Whether the table tells groups of this kind: what addresses mean only rheod knows.
  static bool can_tell(std::string_view by);

  /// The error says what is wrong with the filter, or the table.
  static Result<AllFlows> open(Client& client, const std::string& filter, const std::string& by);

  /// Hands over each flow that matches; 56 bytes of memory for each. Follows another rheod's table.
  Status look(const std::function<void(const GroupedFlow&)>& each);

 private:
  /// A flow that matches, as far as sums need it.
  struct Row {
    std::uint64_t id = 0;
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t started_ns = 0;
    std::uint32_t link = 0;
    std::uint32_t owner[2] = {};
    std::uint16_t port = 0;  // the responder's
    std::uint8_t protocol = 0;
  };

  AllFlows(Client& client, TableReader table, std::string by)
      : client_(&client), table_(std::move(table)), by_(std::move(by)) {}

  std::vector<Row> read_rows() const;
  void learn_owners(const std::vector<Row>& rows);
  GroupedFlow grouped(const Row& row) const;

  Client* client_;
  TableReader table_;
  std::string by_;
  LinkTable links_;
  FlowFilter filter_;
  std::unordered_map<std::uint32_t, std::string> owners_;  // names of groups by the owners' numbers
};

}  // namespace rheo::ctl
