// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/loss_watch.h"

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/model/metering.h"

namespace rheo {
namespace {

constexpr std::uint64_t kQuietNs = 10 * kNanosecondsPerSecond;

struct Reason {
  const char* name;
  const char* meaning;
};
constexpr Reason kReasons[] = {
    {"datapath.evicted_full", "the flow cache and the ring buffer of evicted rows are full"},
    {"datapath.truncated", "packets end inside their headers"},
    {"datapath.malformed", "IP headers contradict themselves"},
    {"datapath.too_deep", "packets have more headers than are followed"}};

/// Every loss with its count, by the names of the counters.
std::map<std::string, LossCount> named_losses(const DaemonCounters& counters) {
  std::map<std::string, LossCount> losses;
  for (const NamedLoss& loss : kNamedLosses)
    losses[std::string("datapath.") + loss.name] = counters.datapath.*loss.count;
  for (const LaneCounters& lane : counters.lanes)
    losses["lane." + lane.name + ".lost"] = {.packets = lane.lost.packets, .bytes = lane.lost.l2_bytes};
  return losses;
}

/// Such packets carry no flow: they are counted, but nobody misses them.
bool is_news(const std::string& name) { return name != "datapath.not_ip"; }

void log_event(const LossEvent& event) {
  for (const Reason& reason : kReasons) {
    if (event.name != reason.name) continue;
    const std::string name = event.name.substr(event.name.find('.') + 1);
    if (event.started)
      log::write(log::Priority::warning, log::kLossBegan,
                 fmt::format("packets are lost: {} ({}); counted under this name", name, reason.meaning),
                 {{"RHEO_LOSS", name}});
    else
      log::write(log::Priority::notice, log::kLossEnded,
                 fmt::format("no packet is lost any more: {} had {}", name, event.packets),
                 {{"RHEO_LOSS", name}});
  }
}

}  // namespace

LossWatch::LossWatch(const DaemonCounters& counters) {
  for (const auto& [name, count] : named_losses(counters)) spells_[name].noticed = count;
}

std::vector<LossEvent> LossWatch::look(const DaemonCounters& counters, std::uint64_t now_ns) {
  std::vector<LossEvent> events;
  for (const auto& [name, count] : named_losses(counters)) {
    Spell& spell = spells_[name];
    if (is_news(name) && count.packets > spell.noticed.packets) {
      if (spell.latest_ns == 0) {
        spell.before = spell.noticed.packets;
        events.push_back({.name = name, .started = true});
      }
      spell.latest_ns = now_ns;
    } else if (spell.latest_ns != 0 && now_ns - spell.latest_ns > kQuietNs) {
      events.push_back({.name = name, .started = false, .packets = count.packets - spell.before});
      spell.latest_ns = 0;
    }
    spell.noticed = count;
  }
  for (const LossEvent& event : events) log_event(event);
  return events;
}

std::vector<LossStatus> LossWatch::losses() const {
  std::vector<LossStatus> losses;
  for (const auto& [name, spell] : spells_)
    losses.push_back({.name = name, .count = spell.noticed, .losing = spell.latest_ns != 0});
  return losses;
}

}  // namespace rheo
