// SPDX-License-Identifier: Apache-2.0
#include "netlink/address_watcher.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <set>
#include <utility>

#include "netlink/addresses.h"

namespace rheo {

Result<AddressWatcher> AddressWatcher::open() {
  auto events = EventSocket::join(NETLINK_ROUTE, {RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_NEIGH});
  if (!events) return forward(std::move(events), "watch addresses");
  AddressWatcher watcher(*std::move(events));
  if (auto synced = watcher.resync(); !synced) return forward(std::move(synced));
  return watcher;
}

Status AddressWatcher::resync() {
  auto links = dump_link_addresses();
  if (!links) return forward(std::move(links));
  links_ = *std::move(links);
  std::erase_if(table_, [&](const auto& entry) { return !links_.contains(entry.first); });
  std::set<std::uint32_t> indexes;
  for (const auto& [index, addresses] : links_) indexes.insert(index);
  for (const std::uint32_t index : indexes) publish(index);
  events_.in_step();
  return Done{};
}

void AddressWatcher::publish(std::uint32_t index) {
  const auto changed = links_.find(index);
  if (changed == links_.end()) return;
  if (changed->second == LinkAddresses{}) {
    links_.erase(changed);
    table_.erase(index);
    return;
  }
  std::shared_ptr<const LinkAddresses>& known = table_[index];
  if (!known || *known != changed->second) known = std::make_shared<const LinkAddresses>(changed->second);
}

Status AddressWatcher::read() {
  std::set<std::uint32_t> changed;
  auto out_of_step = events_.follow([&](std::span<const std::byte> message) {
    if (const auto index = apply_address_message(message, links_)) changed.insert(*index);
  });
  for (const std::uint32_t index : changed) publish(index);
  if (!out_of_step) return forward(std::move(out_of_step), "watch addresses");
  if (!*out_of_step) return Done{};
  if (auto synced = resync(); !synced) return forward(std::move(synced), "watch addresses");
  return Done{};
}

}  // namespace rheo
