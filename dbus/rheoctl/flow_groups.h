// SPDX-License-Identifier: Apache-2.0
// FlowGroups: sums of flows that have something in common, such as the unit of a socket, and how fast these
// grow between two looks. Plain values in, a table out. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dbus/rheoctl/table.h"

namespace rheo::ctl {

/// By what flows are summed up: "unit", "process", "user", "container", "class", "peer", "port", "interface".
bool is_grouping(std::string_view by);

/// Those words, with commas.
std::string groupings();

/// A flow as far as sums need it. Totals are of both directions.
struct GroupedFlow {
  std::uint64_t id = 0;
  std::vector<std::string> names;  // of its groups: of both ends where these differ; none: nothing is known
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;       // layer 3
  std::uint64_t started_ns = 0;  // since 1970

  /// Once, and not where it is unknown: "".
  void add_name(std::string name);
  /// "tcp/443"; nothing of protocols without ports.
  void add_port(const std::string& protocol, std::uint16_t port);
};

class FlowGroups {
 public:
  /// A look is of all flows there are, as of `now_ns` since 1970: begin, add each, end. Remembers some 80
  /// bytes a flow until the next.
  void begin(std::uint64_t now_ns);
  void add(const GroupedFlow& flow);
  void end() { before_ = {}; }

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
  using Bytes = std::unordered_map<std::uint64_t, std::uint64_t>;  // by flow
  Bytes bytes_;                                                    // as of this look
  Bytes before_;                                                   // while one is made: as of the last
  std::uint64_t looked_at_ns_ = 0;
  std::uint64_t before_ns_ = 0;  // the look before; 0: there was none
  double seconds_ = 0;           // between the last two looks; 0: there was one
};

}  // namespace rheo::ctl
