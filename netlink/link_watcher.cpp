// SPDX-License-Identifier: Apache-2.0
#include "netlink/link_watcher.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <utility>

#include "netlink/links.h"

namespace rheo {
namespace {

void apply(const LinkChange& change, LinkTable& links, LinkChanges& changes) {
  if (!change.link) {
    links.erase(change.index);
    changes.gone.insert(change.index);
    changes.any = true;
    return;
  }
  const auto [known, is_new] = links.try_emplace(change.index, *change.link);
  if (!is_new && known->second == *change.link) return;  // counters, or what we do not keep
  known->second = *change.link;
  changes.any = true;
}

/// A socket belongs to the namespace that the thread is in which opens it.
template <class T>
Result<T> ask_inside(const Netns* netns, Result<T> (*ask)()) {
  if (netns == nullptr) return ask();
  Result<T> answer = failure("");
  if (auto entered = netns->run([&] { answer = ask(); }); !entered) return forward(std::move(entered));
  return answer;
}

Result<EventSocket> join_links() { return EventSocket::join(NETLINK_ROUTE, {RTNLGRP_LINK}); }

}  // namespace

Result<LinkWatcher> LinkWatcher::open(std::shared_ptr<const Netns> netns) {
  auto events = ask_inside(netns.get(), join_links);
  if (!events) return forward(std::move(events), "watch links");
  LinkWatcher watcher(*std::move(events), std::move(netns));
  if (auto synced = watcher.resync(); !synced) return forward(std::move(synced));
  return watcher;
}

Status LinkWatcher::resync() {
  auto links = ask_inside(netns_.get(), dump_links);
  if (!links) return forward(std::move(links));
  links_ = *std::move(links);
  events_.in_step();
  return Done{};
}

Result<LinkChanges> LinkWatcher::read() {
  LinkChanges changes;
  auto out_of_step = events_.follow([&](std::span<const std::byte> message) {
    if (const auto change = read_link_change(message)) apply(*change, links_, changes);
  });
  if (!out_of_step) return forward(std::move(out_of_step), "watch links");
  if (!*out_of_step) return changes;
  if (auto synced = resync(); !synced) return forward(std::move(synced), "watch links");
  changes.any = changes.resynced = true;
  return changes;
}

}  // namespace rheo
