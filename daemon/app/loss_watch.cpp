// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/loss_watch.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

namespace rheo {
namespace {

constexpr std::uint64_t kQuietNs = 10 * kNanosecondsPerSecond;

struct Reason {
  const char* name;
  const char* meaning;
  LossCount DatapathCounters::* count;
};

// not_ip is no loss: such packets carry no flow.
constexpr Reason kLosses[] = {
    {"evicted_full", "the flow cache and the ring buffer of evicted rows are full",
     &DatapathCounters::evicted_full},
    {"truncated", "packets end inside their headers", &DatapathCounters::truncated},
    {"malformed", "IP headers contradict themselves", &DatapathCounters::malformed},
    {"too_deep", "packets have more headers than are followed", &DatapathCounters::too_deep}};

}  // namespace

LossWatch::LossWatch(const DatapathCounters& counters) {
  static_assert(std::size(kLosses) == kReasons);
  for (std::size_t i = 0; i < kReasons; ++i) spells_[i].noticed = (counters.*kLosses[i].count).packets;
}

void LossWatch::look(const DatapathCounters& counters, std::uint64_t now_ns) {
  for (std::size_t i = 0; i < kReasons; ++i) {
    Spell& spell = spells_[i];
    const std::uint64_t packets = (counters.*kLosses[i].count).packets;
    if (packets > spell.noticed) {
      if (spell.latest_ns == 0) {
        spell.before = spell.noticed;
        log::write(log::Priority::warning,
                   fmt::format("packets are lost: {} ({}); counted under this name", kLosses[i].name,
                               kLosses[i].meaning),
                   {{"RHEO_LOSS", kLosses[i].name}});
      }
      spell.latest_ns = now_ns;
    } else if (spell.latest_ns != 0 && now_ns - spell.latest_ns > kQuietNs) {
      log::write(
          log::Priority::notice,
          fmt::format("no packet is lost any more: {} had {}", kLosses[i].name, packets - spell.before),
          {{"RHEO_LOSS", kLosses[i].name}});
      spell.latest_ns = 0;
    }
    spell.noticed = packets;
  }
}

}  // namespace rheo
