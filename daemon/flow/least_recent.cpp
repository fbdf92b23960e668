// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/least_recent.h"

#include <algorithm>

namespace rheo {

std::uint32_t LeastRecent::take(const FlowEntry* entries, std::uint32_t count) {
  for (;;) {
    if (candidates_.empty()) collect(entries, count);
    const Candidate oldest = candidates_.back();
    candidates_.pop_back();
    const EntryState& entry = entries[oldest.entry].state;
    if (entry.flow_id != 0 && last_ns(entry) == oldest.last_ns) return oldest.entry;
  }
}

void LeastRecent::collect(const FlowEntry* entries, std::uint32_t count) {
  // One 64th at a time: a full pass is paid by that many evictions.
  const std::size_t wanted = std::max<std::size_t>(16, count / 64);
  const auto older = [](const Candidate& a, const Candidate& b) { return a.last_ns < b.last_ns; };
  const auto keep_oldest = [&] {
    if (candidates_.size() <= wanted) return;
    std::ranges::nth_element(candidates_, candidates_.begin() + static_cast<std::ptrdiff_t>(wanted), older);
    candidates_.resize(wanted);
  };
  candidates_.reserve(2 * wanted);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (entries[i].state.flow_id == 0) continue;
    candidates_.push_back({last_ns(entries[i].state), i});
    if (candidates_.size() == 2 * wanted) keep_oldest();
  }
  keep_oldest();
  std::ranges::sort(candidates_, [&](const Candidate& a, const Candidate& b) { return older(b, a); });
}

}  // namespace rheo
