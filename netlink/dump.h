// SPDX-License-Identifier: Apache-2.0
// dump: one question to the kernel over a netlink socket of its own, and all the answers.
// Any thread; waits for the kernel, at most 2 seconds for each answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "daemon/base/result.h"

namespace rheo {

struct DumpRequest {
  int protocol = 0;                    // NETLINK_ROUTE, NETLINK_SOCK_DIAG
  std::uint16_t type = 0;              // of the message
  std::span<const std::byte> payload;  // behind the netlink header
};

struct DumpReceiver {
  std::function<void()> start;  // forget what came so far: the answers begin anew
  std::function<void(std::span<const std::byte>)>
      message;  // one answer with its header; valid for the call only
};

/// Asks and hands every answer to the receiver. Where something changed during the dump, so that it is
/// inconsistent (NLM_F_DUMP_INTR), asks again, four times; the fifth dump is taken as it is: on a host whose
/// sockets never stand still, that is the best there is.
/// A refusal is an Error with the kernel's errno.
Status dump(const DumpRequest& request, const DumpReceiver& receiver);

}  // namespace rheo
