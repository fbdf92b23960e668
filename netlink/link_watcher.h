// SPDX-License-Identifier: Apache-2.0
// LinkWatcher: all links of one network namespace, kept up to date by the kernel's messages. One thread's,
// which need not be in that namespace.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <utility>

#include "daemon/base/netns.h"
#include "daemon/base/result.h"
#include "daemon/model/link.h"
#include "netlink/event_socket.h"

namespace rheo {

struct LinkChanges {
  bool any = false;
  /// Indexes whose link was deleted, or moved to another namespace. One of them may be in links() again, as
  /// the number of another link.
  std::set<std::uint32_t> gone;
  /// Messages were lost and all links were asked for again: any index may stand for another link than before.
  bool resynced = false;
};

class LinkWatcher {
 public:
  /// Listens first and asks then: a change in between is seen twice, never missed.
  /// Without `netns`, the links of the calling thread's namespace.
  static Result<LinkWatcher> open(std::shared_ptr<const Netns> netns = nullptr);

  int fd() const { return events_.fd(); }  // readable when something has changed
  const LinkTable& links() const { return links_; }
  std::uint64_t overruns() const { return events_.overruns(); }

  /// Takes in what has changed. Waits only where messages were lost, as dump_links() does; where that fails,
  /// the next call asks again.
  Result<LinkChanges> read();

 private:
  LinkWatcher(EventSocket events, std::shared_ptr<const Netns> netns)
      : events_(std::move(events)), netns_(std::move(netns)) {}
  Status resync();

  EventSocket events_;
  std::shared_ptr<const Netns> netns_;
  LinkTable links_;
};

}  // namespace rheo
