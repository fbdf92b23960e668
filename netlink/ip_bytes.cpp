// SPDX-License-Identifier: Apache-2.0
#include "netlink/ip_bytes.h"

#include <sys/socket.h>

#include <cstring>

namespace rheo {

std::optional<Address> to_address(int family, std::span<const std::byte> bytes) {
  Address address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
  if (family == AF_INET && bytes.size() >= 4)
    std::memcpy(address.data() + 12, bytes.data(), 4);
  else if (family == AF_INET6 && bytes.size() >= 16)
    std::memcpy(address.data(), bytes.data(), 16);
  else
    return std::nullopt;
  return address;
}

}  // namespace rheo
