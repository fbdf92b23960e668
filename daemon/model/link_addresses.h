// SPDX-License-Identifier: Apache-2.0
// LinkAddresses: whose addresses are on a link, the host's own and its neighbours'. Plain values, any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <set>

#include "daemon/model/flow_record.h"

namespace rheo {

struct LinkAddress {
  bool ipv6 = false;
  Address address{};
  std::uint8_t prefix = 0;  // bits
  friend auto operator<=>(const LinkAddress&, const LinkAddress&) = default;
};

struct NeighbourAddress {
  bool ipv6 = false;
  Address address{};
  friend auto operator<=>(const NeighbourAddress&, const NeighbourAddress&) = default;
};

/// Of one link; IPv4 comes first, then by address.
struct LinkAddresses {
  std::set<LinkAddress> own;
  std::map<NeighbourAddress, MacAddress> neighbours;  // that the kernel would send to
  friend bool operator==(const LinkAddresses&, const LinkAddresses&) = default;
};

/// By ifindex; each is never changed, but replaced. A link without any is absent.
using AddressTable = std::map<std::uint32_t, std::shared_ptr<const LinkAddresses>>;

}  // namespace rheo
