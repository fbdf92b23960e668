// SPDX-License-Identifier: Apache-2.0
// Any bytes as a capture file: no crash, a clock that never goes back, and seen == rows + drops, exactly.
#include <cstddef>
#include <cstdint>
#include <span>

#include "bpf/abi.h"
#include "daemon/base/assert.h"
#include "daemon/replay/replay.h"

namespace rheo {
namespace {

void check_conservation(const DatapathCounters& counters, std::uint64_t packets, std::uint64_t octets) {
  for (const LossCount* loss : {&counters.not_ip, &counters.truncated, &counters.malformed,
                                &counters.too_deep, &counters.evicted_full}) {
    packets += loss->packets;
    octets += loss->bytes;
  }
  RHEO_ASSERT(counters.seen_packets == packets);
  RHEO_ASSERT(counters.seen_bytes == octets);
}

void replay_all(Replay& replay) {
  std::uint64_t packets = 0;
  std::uint64_t octets = 0;
  std::uint64_t now_ns = 0;
  for (bool at_end = false; !at_end;) {
    const auto step = replay.next();
    if (!step) break;
    RHEO_ASSERT(step->now_ns >= now_ns);
    now_ns = step->now_ns;
    at_end = step->at_end;
    for (const Row& row : step->rows) {
      RHEO_ASSERT(row.hot->first_ns <= row.hot->last_ns && row.hot->last_ns <= now_ns);
      RHEO_ASSERT(replay.links().contains(row.hot->key.link));
      for (const abi::direction_counts& direction : row.hot->direction) {
        packets += direction.packets;
        octets += direction.l3_bytes + direction.l2_surplus;
      }
    }
  }
  check_conservation(replay.counters(), packets, octets);
}

}  // namespace
}  // namespace rheo

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // An hour a step, so that a wild stamp costs little; few fragments, so that forgetting is tried too.
  auto replay = rheo::Replay::over(std::span(data, size), "fuzz",
                                   {.fragments = 2, .drain_interval = std::chrono::hours(1)});
  if (replay) rheo::replay_all(*replay);
  return 0;
}
