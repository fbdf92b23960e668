// SPDX-License-Identifier: Apache-2.0
// FragmentPorts: which flow the later fragments of a datagram belong to, by the rule of the kernel's map
// `fragments`: the first fragment's, for as long as that is young and among the most recently used. One
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <utility>

#include "bpf/parse.h"

namespace rheo {

class FragmentPorts {
 public:
  /// Remembers at most `capacity` datagrams (> 0), then forgets the least recently used.
  explicit FragmentPorts(std::size_t capacity) : capacity_(capacity) {}

  /// Remembers a first fragment; gives a later one the ports of its first. False: a later fragment whose
  /// first is not known, which stays under ports 0/0. Packets that are no fragments pass through.
  bool resolve(abi::parsed_packet& packet, std::uint64_t time_ns);

 private:
  // Addresses in sorted order; link and tunnel; VLAN and kind; the fragment's identification, direction,
  // protocol.
  using Datagram = std::array<std::uint64_t, 7>;
  struct DatagramHash {
    std::size_t operator()(const Datagram& datagram) const noexcept;
  };
  // What the first fragment says about the others.
  struct First {
    std::array<std::uint16_t, 2> port_be;  // as in flow_key
    std::uint8_t protocol;                 // behind the extension headers that only the first fragment has
    std::uint8_t direction;
    std::uint16_t icmp;
    std::uint64_t seen_ns;
  };
  using Entries = std::list<std::pair<Datagram, First>>;

  static Datagram datagram_of(const abi::parsed_packet& packet);
  void remember(const Datagram& datagram, const First& first);

  std::size_t capacity_;
  Entries entries_;  // most recently used first
  std::unordered_map<Datagram, Entries::iterator, DatagramHash> index_;
};

}  // namespace rheo
