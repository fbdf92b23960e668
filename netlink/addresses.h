// SPDX-License-Identifier: Apache-2.0
// Addresses: the host's own and its neighbours' on the links of the calling thread's network namespace, as
// values. Keeps no state; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>

#include "daemon/base/result.h"
#include "daemon/model/link_addresses.h"

namespace rheo {

/// Asks the kernel for all addresses and all neighbours of IPv4 and IPv6. Each of two dumps answers within 2
/// seconds of the last message received, or fails.
Result<std::map<std::uint32_t, LinkAddresses>> dump_link_addresses();

/// What became of an address of the host's.
struct AddressChange {
  std::uint32_t index = 0;
  LinkAddress address;
  bool gone = false;
};

/// One message of RTNLGRP_IPV4_IFADDR or RTNLGRP_IPV6_IFADDR, or of a dump (its header included). Nothing if
/// it is about something else, or is malformed. Pure.
std::optional<AddressChange> read_address_change(std::span<const std::byte> message);

/// What became of a neighbour. Nothing in `mac`: it is gone, or did not answer.
struct NeighbourChange {
  std::uint32_t index = 0;
  NeighbourAddress address;
  std::optional<MacAddress> mac;
};

/// One message of RTNLGRP_NEIGH, or of a dump (its header included). Nothing if it is about something else,
/// such as a bridge's forwarding entry or a multicast group, or is malformed. A link-layer address that is
/// not six bytes long is none. Pure.
std::optional<NeighbourChange> read_neighbour_change(std::span<const std::byte> message);

/// Takes in what a message says; the ifindex that it is about, if any. Pure.
std::optional<std::uint32_t> apply_address_message(std::span<const std::byte> message,
                                                   std::map<std::uint32_t, LinkAddresses>& links);

}  // namespace rheo
