// SPDX-License-Identifier: Apache-2.0
// LiveTable: the busiest flows on a terminal, drawn anew after every drain. What rheod shows in the
// foreground when nothing is configured. Main thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/unique_fd.h"
#include "daemon/flow/flow_table.h"
#include "daemon/model/counters.h"
#include "daemon/model/link.h"

namespace rheo {

/// What one picture shows.
struct LiveView {
  std::vector<LiveFlow> flows;
  DaemonCounters counters;
  std::uint64_t at_ns = 0;  // CLOCK_MONOTONIC, of the drain
  std::string heading;      // "rheod 0.1.0: eth0, eth1 (tcx)"
};

/// The lines of a picture of this size; the first is the heading. Pure but for `previous`, by which rates are
/// made.
std::vector<std::string> draw_live_view(const LiveView& view, const LiveView& previous,
                                        const LinkTable& links, unsigned columns, unsigned rows);

class LiveTable {
 public:
  LiveTable();   // takes the other screen of the terminal that is standard output
  ~LiveTable();  // gives it back as it was
  LiveTable(const LiveTable&) = delete;
  LiveTable& operator=(const LiveTable&) = delete;

  void show(LiveView view, const LinkTable& links);

 private:
  void write(std::string_view text);

  UniqueFd terminal_;
  LiveView previous_;
};

}  // namespace rheo
