// SPDX-License-Identifier: Apache-2.0
// EventSocket: what the kernel tells of its own accord to the members of multicast groups. One reader, on any
// one thread; nothing here waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>

#include "daemon/base/result.h"

struct nl_sock;

namespace rheo {

class EventSocket {
 public:
  /// A member of the groups (RTNLGRP_*) from now on. Asks for 4 MiB of room, which needs CAP_NET_ADMIN;
  /// without it there is as much as net.core.rmem_max allows.
  static Result<EventSocket> join(int protocol, std::initializer_list<int> groups);

  int fd() const;  // readable when something came

  using TakeMessage = std::function<void(std::span<const std::byte>)>;

  /// Hands out messages with their headers, each valid for the call only. True: the kernel had no room and
  /// dropped some, in this call or since in_step(), and what was waiting is thrown away, since it was told
  /// before that and would undo an answer: everything is to be asked for anew. Messages that come from here
  /// on are part of the answer, or lead to it once more.
  Result<bool> follow(const TakeMessage& message);

  /// Everything was asked for.
  void in_step() { out_of_step_ = false; }

  std::uint64_t overruns() const { return overruns_; }  // times that the kernel dropped some

 private:
  enum class Received {
    all,         // until nothing was left
    some,        // more is waiting: so many came that others should have their turn
    overflowed,  // the kernel had no room and dropped some
  };

  Result<Received> drain(const TakeMessage& message);
  Result<bool> discard();

  struct Free {
    void operator()(nl_sock* socket) const;
  };
  std::unique_ptr<nl_sock, Free> socket_;
  std::uint64_t overruns_ = 0;
  bool out_of_step_ = false;
};

}  // namespace rheo
