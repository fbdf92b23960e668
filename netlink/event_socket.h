// SPDX-License-Identifier: Apache-2.0
// EventSocket: what the kernel tells of its own accord to the members of multicast groups. One reader, on any
// one thread; nothing here waits.
#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>

#include "daemon/base/result.h"

struct nl_sock;

namespace rheo {

enum class Received {
  all,         // until nothing was left
  some,        // more is waiting: so many came that others should have their turn
  overflowed,  // the kernel had no room and dropped some
};

class EventSocket {
 public:
  /// A member of the groups (RTNLGRP_*) from now on. Asks for 4 MiB of room, which needs CAP_NET_ADMIN;
  /// without it there is as much as net.core.rmem_max allows.
  static Result<EventSocket> join(int protocol, std::initializer_list<int> groups);

  int fd() const;  // readable when something came

  /// Hands out messages with their headers, each valid for the call only.
  Result<Received> drain(const std::function<void(std::span<const std::byte>)>& message);

  /// Throws away what is waiting: after an overflow that was told before what was dropped. False: so many
  /// came meanwhile that others should have their turn.
  Result<bool> discard();

 private:
  struct Free {
    void operator()(nl_sock* socket) const;
  };
  std::unique_ptr<nl_sock, Free> socket_;
};

}  // namespace rheo
