// SPDX-License-Identifier: Apache-2.0
// Listeners: which local sockets wait for others to speak first. A plain value, published as a snapshot.
#pragma once

#include <cstdint>
#include <cstring>
#include <unordered_set>

#include "daemon/model/flow_record.h"

namespace rheo {

struct SocketAddress {
  Address address{};  // all zero (after the v4-mapped prefix too): any local address
  std::uint16_t port_be = 0;
  std::uint8_t protocol = 0;
  friend bool operator==(const SocketAddress&, const SocketAddress&) = default;
};

struct SocketAddressHash {
  std::size_t operator()(const SocketAddress& a) const noexcept {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::memcpy(&low, a.address.data(), 8);
    std::memcpy(&high, a.address.data() + 8, 8);
    std::uint64_t h = (low * 0x9e3779b97f4a7c15U) ^ (high * 0xc2b2ae3d27d4eb4fU);
    h ^= (static_cast<std::uint64_t>(a.port_be) << 8 | a.protocol) * 0x165667b19e3779f9U;
    return static_cast<std::size_t>(h ^ (h >> 29));
  }
};

struct AddressHash {
  std::size_t operator()(const Address& a) const noexcept {
    return SocketAddressHash{}({.address = a, .port_be = 0, .protocol = 0});
  }
};

/// Out of which the kernel takes ports for sockets that ask for none (ip_local_port_range).
struct PortRange {
  std::uint16_t first = 32'768;
  std::uint16_t last = 60'999;
  bool has(std::uint16_t port) const { return port >= first && port <= last; }
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

struct Listeners {
  std::unordered_set<SocketAddress, SocketAddressHash> sockets;
  std::unordered_set<Address, AddressHash> local_addresses;
  PortRange ephemeral_ports;
  friend bool operator==(const Listeners&, const Listeners&) = default;

  /// True where a local socket listens at this end point: at the address itself, or at any
  /// address of the host where the address is one of the host's.
  bool has(std::uint8_t protocol, const Address& address, std::uint16_t port_be) const {
    if (sockets.empty()) return false;
    if (sockets.contains({address, port_be, protocol})) return true;
    if (!local_addresses.contains(address)) return false;
    constexpr Address any_v4{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
    return sockets.contains({Address{}, port_be, protocol}) || sockets.contains({any_v4, port_be, protocol});
  }
};

}  // namespace rheo
