// SPDX-License-Identifier: Apache-2.0
// Links: the interfaces of the calling thread's network namespace, as values. Keeps no state; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "daemon/base/result.h"
#include "daemon/model/link.h"

namespace rheo {

/// Asks the kernel for all links. Answers within 2 seconds of the last one received, or fails.
Result<LinkTable> dump_links();

/// What one rtnetlink message (its header included) says of a link: an RTM_NEWLINK with a name and an index.
/// Nothing if it is about something else, or is malformed. Pure.
std::optional<Link> read_link_message(std::span<const std::byte> message);

/// What became of a link: nothing in `link` says that it is gone from this namespace.
struct LinkChange {
  std::uint32_t index = 0;
  std::optional<Link> link;
};

/// One message of RTNLGRP_LINK (its header included). Nothing if it is about something else, such as a
/// bridge's port, or is malformed. Pure.
std::optional<LinkChange> read_link_change(std::span<const std::byte> message);

/// What packets begin with on links of this hardware type (ARPHRD_*, linux/if_arp.h). Pure.
LinkLayer link_layer(std::uint16_t hardware_type);

}  // namespace rheo
