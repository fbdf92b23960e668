// SPDX-License-Identifier: Apache-2.0
// FlowSums: groups of flows with something in common, of all flows where the live table tells them, else of
// the largest that rheod lists. Functions throw sdbus::Error. One thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "daemon/base/result.h"
#include "dbus/rheoctl/all_flows.h"
#include "dbus/rheoctl/client.h"
#include "dbus/rheoctl/flow_groups.h"

namespace rheo::ctl {

class FlowSums {
 public:
  /// Of all flows unless `listed`; or where `by`, or a word of the filter, is one that only rheod can tell.
  FlowSums(Client& client, FlowsWanted wanted, std::string by, bool listed);

  /// A list takes at most that long.
  Status look(std::chrono::seconds most);

  const FlowGroups& groups() const { return groups_; }

  /// As many as were asked for were listed: there may be more flows.
  bool may_lack_flows() const { return !all_ && flows_ == wanted_.limit; }

  /// "all flows", "the 1000 flows that come first by bytes"
  std::string of_what() const;

 private:
  Client& client_;
  const FlowsWanted wanted_;
  const std::string by_;
  std::optional<AllFlows> all_;
  FlowGroups groups_;
  std::size_t flows_ = 0;
};

}  // namespace rheo::ctl
