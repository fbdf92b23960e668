// SPDX-License-Identifier: Apache-2.0
// LeastRecent: which flow to give up when the table is full, without a list that every packet would have to
// keep in order. One pass over the entries collects the oldest; they stay the oldest as long as they were not
// touched since, which is looked at when one is taken. Collector's thread.
#pragma once

#include <cstdint>
#include <vector>

#include "daemon/flow/table_layout.h"

namespace rheo {

class LeastRecent {
 public:
  /// The entry in use whose last packet is the oldest of `entries[0, count)`; at least one is in use.
  std::uint32_t take(const FlowEntry* entries, std::uint32_t count);

 private:
  struct Candidate {
    std::uint64_t last_ns;
    std::uint32_t entry;
  };

  void collect(const FlowEntry* entries, std::uint32_t count);

  std::vector<Candidate> candidates_;  // the oldest last
};

}  // namespace rheo
