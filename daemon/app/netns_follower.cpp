// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/netns_follower.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/config/toml_tree.h"

namespace rheo {
namespace {

constexpr const char* kAll = "auto";
constexpr const char* kOwn = "/proc/self/ns/net";
constexpr std::string_view kForbidden =
    "entering a network namespace needs CAP_SYS_ADMIN, which the drop-in "
    "/usr/share/rheo/rheod-netns.conf gives the service";
// A name is there for a moment before its namespace is.
constexpr std::uint64_t kFirstDelayNs = kNanosecondsPerSecond / 50;
constexpr std::uint64_t kLongestDelayNs = 2 * kNanosecondsPerSecond;

}  // namespace

Status NetnsFollower::follow(std::vector<std::string> wanted) {
  if (!wanted.empty() && !names_) {
    auto own = Netns::open(kOwn);
    if (!own) return forward(std::move(own));
    own_inode_ = own->inode();
    auto names = NetnsNames::watch();
    if (!names) return forward(std::move(names));
    names_ = *std::move(names);
  }
  if (wanted != wanted_) forbidden_ = false;
  wanted_ = std::move(wanted);
  look_anyway_ = names_.has_value();
  return Done{};
}

bool NetnsFollower::is_due() {
  if (!names_) return false;
  const bool changed = names_->read();
  if (changed) delay_ns_ = 0;
  return std::exchange(look_anyway_, false) || changed || (next_ns_ != 0 && next_ns_ <= monotonic_ns());
}

/// Our own has no second number, and none has two: of several names the first in the alphabet counts.
NetnsNames::Names NetnsFollower::wanted_now() {
  const bool all = std::ranges::find(wanted_, kAll) != wanted_.end();
  NetnsNames::Names now = names_->look();
  std::erase_if(now, [&](const auto& entry) {
    return forbidden_ || (!all && std::ranges::find(wanted_, entry.first) == wanted_.end());
  });
  std::map<std::uint64_t, std::string> seen = {{own_inode_, ""}};
  std::erase_if(now, [&](const auto& entry) {
    const auto& [name, netns] = entry;
    if (netns == nullptr) return false;
    const auto [first, is_new] = seen.emplace(netns->inode(), name);
    if (is_new) return false;
    missing_[name] = first->second.empty() ? "it is rheod's own, which is metered anyway"
                                           : "it is the same as " + printable(first->second);
    return true;
  });
  return now;
}

NetnsFollower::Changes NetnsFollower::look() {
  Changes changes;
  if (!is_due()) return changes;
  missing_.clear();
  const NetnsNames::Names now = wanted_now();
  std::erase_if(known_, [&](const auto& entry) {
    const auto found = now.find(entry.first);
    const bool same =
        found != now.end() && found->second != nullptr && found->second->inode() == entry.second->inode();
    if (!same) changes.gone.push_back(entry.first);
    return !same;
  });
  next_ns_ = 0;
  note_missing(now);
  for (const auto& [name, netns] : now)
    if (netns != nullptr && known_.emplace(name, netns).second) changes.come.push_back({name, netns});
  return changes;
}

void NetnsFollower::note_missing(const NetnsNames::Names& now) {
  for (const auto& [name, netns] : now) {
    if (netns != nullptr) continue;
    if (next_ns_ == 0) {
      delay_ns_ = delay_ns_ == 0 ? kFirstDelayNs : std::min(2 * delay_ns_, kLongestDelayNs);
      next_ns_ = monotonic_ns() + delay_ns_;
    }
    if (delay_ns_ == kLongestDelayNs)
      missing_[name] = fmt::format("{}/{} is no network namespace", kNetnsDirectory, printable(name));
  }
  for (const std::string& name : wanted_) {
    if (forbidden_)
      missing_[name] = std::string(kForbidden);
    else if (name != kAll && !now.contains(name))
      missing_.emplace(name, fmt::format("there is none of this name in {} now", kNetnsDirectory));
  }
  std::erase_if(refused_, [&](const auto& entry) { return !now.contains(entry.first); });
  if (!forbidden_) complain();
}

void NetnsFollower::complain() {
  std::set<std::string> complaints;
  for (const auto& [name, reason] : missing_) {
    std::string complaint = fmt::format("network namespace {}: {}", printable(name), reason);
    if (!complaints_.contains(complaint))
      log::warning("{}; continuing without it, until that changes", complaint);
    complaints.insert(std::move(complaint));
  }
  complaints_ = std::move(complaints);
}

void NetnsFollower::try_again(const std::string& name, const std::string& reason) {
  known_.erase(name);
  missing_[name] = reason;
  delay_ns_ = kLongestDelayNs;
  next_ns_ = monotonic_ns() + delay_ns_;
  if (std::exchange(refused_[name], reason) != reason)
    log::warning("network namespace {}: {}; continuing without it, trying again", printable(name), reason);
}

void NetnsFollower::forbid() {
  if (std::exchange(forbidden_, true)) return;
  known_.clear();
  next_ns_ = 0;
  for (const std::string& name : wanted_) missing_[name] = std::string(kForbidden);
  log::warning("interfaces.netns: {}; metering the interfaces of rheod's own network namespace only",
               kForbidden);
}

}  // namespace rheo
