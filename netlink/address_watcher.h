// SPDX-License-Identifier: Apache-2.0
// AddressWatcher: whose addresses are on the links of the network namespace it was opened in, kept up to date
// by the kernel's messages. One thread's; what table() holds is never changed, and may be kept by any.
#pragma once

#include <cstdint>
#include <map>

#include "daemon/base/result.h"
#include "daemon/model/link_addresses.h"
#include "netlink/event_socket.h"

namespace rheo {

class AddressWatcher {
 public:
  /// Listens first and asks then, as LinkWatcher does.
  static Result<AddressWatcher> open();

  int fd() const { return events_.fd(); }  // readable when something has changed
  const AddressTable& table() const { return table_; }
  std::uint64_t overruns() const { return events_.overruns(); }

  /// Takes in what has changed. Waits only where messages were lost, as dump_link_addresses() does; where
  /// that fails, the next call asks again.
  Status read();

 private:
  explicit AddressWatcher(EventSocket events) : events_(std::move(events)) {}
  Status resync();
  void publish(std::uint32_t index);

  EventSocket events_;
  std::map<std::uint32_t, LinkAddresses> links_;  // of which the table has copies
  AddressTable table_;
};

}  // namespace rheo
