// SPDX-License-Identifier: Apache-2.0
// What a LinkFollower does with names: of network namespaces that come and go, and of links that somebody
// wants metered, or not, whatever the settings say.
#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "daemon/app/link_follower.h"
#include "daemon/base/log.h"
#include "daemon/config/toml_tree.h"

namespace rheo {

void LinkFollower::look_at_namespaces() {
  if (!waits_for_names_ && netns_.fd() >= 0) waits_for_names_ = wait_for(netns_.fd()).has_value();
  const NetnsFollower::Changes changes = netns_.look();
  for (const std::string& name : changes.gone) leave(name);
  bool forbidden = false;
  for (const NetnsFollower::Come& come : changes.come) {
    const Status entered = enter(come);
    if (entered) continue;
    forbidden = forbidden || entered.error().code == std::errc::operation_not_permitted;
    if (!forbidden) netns_.try_again(come.name, entered.error().what);
  }
  if (forbidden) netns_.forbid();
  if (changes.gone.empty() && changes.come.empty()) return;
  choose();
  publish();
}

Status LinkFollower::enter(const NetnsFollower::Come& come) {
  auto watcher = LinkWatcher::open(come.netns);
  if (!watcher) return forward(std::move(watcher));
  const auto number = datapath_->open_namespace(come.name, come.netns);
  if (!number) return std::unexpected(number.error());
  if (auto waiting = wait_for(watcher->fd()); !waiting) {
    datapath_->close_namespace(*number);
    return waiting;
  }
  spaces_.emplace(*number, Space{.name = come.name, .watcher = *std::move(watcher)});
  log::info("network namespace {}: its interfaces are followed, as number {}", printable(come.name), *number);
  return Done{};
}

void LinkFollower::leave(const std::string& name) {
  const auto found = std::ranges::find_if(
      spaces_, [&](const auto& entry) { return entry.first != 0 && entry.second.name == name; });
  if (found == spaces_.end()) return;
  const std::uint8_t number = found->first;
  std::erase_if(refused_, [&](const auto& entry) { return entry.first.netns == number; });
  std::erase_if(attached_, [&](const auto& entry) {
    if (entry.first.netns != number) return false;
    ++counters_.detached;
    no_longer_.push_back(entry.second.target.name);
    return true;
  });
  datapath_->close_namespace(number);
  remember_gone(number, found->second, found->second.watcher.links(), {});
  overruns_before_ += found->second.watcher.overruns();
  spaces_.erase(found);
  log::info("network namespace {}: no longer followed", printable(name));
}

void LinkFollower::choose_by_name(const std::string& name, bool attach) {
  const auto id = find(name);
  if (!id) return;
  const Link& link = link_of(*id);
  if (!attach)
    wanted_.erase(*id);
  else if (link.layer != LinkLayer::unsupported)
    wanted_[*id] = target_of(*id, chooser_.directions_of(link));
}

LinkTarget LinkFollower::target_of(LinkId id, InterfaceChooser::Wanted directions) const {
  const Link& link = link_of(id);
  return {.ifindex = link.index,
          .netns = id.netns,
          .name = full_name(spaces_.at(id.netns).name, link.name),
          .layer = link.layer,
          .ingress = directions.ingress,
          .egress = directions.egress};
}

Result<LinkId> LinkFollower::find(const std::string& name) const {
  const std::string_view whole = name;
  const std::size_t slash = whole.find('/');
  const std::string_view space_name = slash == std::string_view::npos ? "" : whole.substr(0, slash);
  const std::string_view link_name = slash == std::string_view::npos ? whole : whole.substr(slash + 1);
  if (link_name.empty() || link_name.size() >= IF_NAMESIZE)
    return failure("interface: a name has 1 to 15 bytes", std::errc::no_such_file_or_directory);
  for (const auto& [number, space] : spaces_) {
    if (space.name != space_name) continue;
    for (const auto& [ifindex, link] : space.watcher.links())
      if (link.name == link_name) return LinkId{.netns = number, .ifindex = ifindex};
  }
  return failure("interface " + name + ": there is none of this name", std::errc::no_such_file_or_directory);
}

Status LinkFollower::attach_by_name(const std::string& name) {
  work();  // what the caller has just made may wait to be read
  const auto id = find(name);
  if (!id) return std::unexpected(id.error());
  if (attached_.contains(*id))
    return failure("interface " + name + ": it is metered already", std::errc::already_connected);
  const LinkTarget target = target_of(*id, chooser_.directions_of(link_of(*id)));
  if (auto done = datapath_->attach(target); !done) return failure(done.error().what, std::errc::io_error);
  by_name_[name] = true;
  attached(target);
  choose();
  report_changes();
  arm(true);  // work() may have left something
  return Done{};
}

Status LinkFollower::detach_by_name(const std::string& name) {
  work();
  const auto id = find(name);
  if (!id) return std::unexpected(id.error());
  if (!attached_.contains(*id) && !wanted_.contains(*id))
    return failure("interface " + name + ": it is not metered", std::errc::not_connected);
  by_name_[name] = false;
  choose();
  detach_others(UINT64_MAX);
  report_changes();
  arm(true);  // work() may have left something
  return Done{};
}

}  // namespace rheo
