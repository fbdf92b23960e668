// SPDX-License-Identifier: Apache-2.0
// FlowGroups: sums of flows that have something in common, such as the unit of a socket, and how fast these
// grow between two looks. Plain values in, a table out. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "dbus/rheoctl/table.h"

namespace rheo::ctl {

/// By what flows are summed up: "unit", "process", "user", "container", "class", "peer", "port", "interface".
bool is_grouping(std::string_view by);

/// Those words, with commas.
std::string groupings();

/// A flow as far as sums need it. Totals are of both directions.
struct GroupedFlow {
  std::string id;
  std::vector<std::string> names;  // of its groups: of both ends where these differ; none: nothing is known
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;       // layer 3
  std::uint64_t started_ns = 0;  // since 1970
};

class FlowGroups {
 public:
  /// All flows there are, as of `now_ns` since 1970.
  void look(const std::vector<GroupedFlow>& flows, std::uint64_t now_ns);

  /// The fastest first, or the largest after the only look. `by` is the title of the groups.
  Table table(const std::string& by) const;

 private:
  struct Group {
    std::uint64_t flows = 0;
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t since = 0;  // bytes since the look before
  };

  std::uint64_t since_last_look(const GroupedFlow& flow) const;

  std::map<std::string, Group> groups_;
  std::map<std::string, std::uint64_t> bytes_;  // by flow, as of the last look
  std::uint64_t looked_at_ns_ = 0;
  double seconds_ = 0;  // between the last two looks; 0: there was one
};

}  // namespace rheo::ctl
