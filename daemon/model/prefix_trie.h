// SPDX-License-Identifier: Apache-2.0
// PrefixTrie: from prefixes to numbers, the longest prefix wins. Made once, never changed: any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "daemon/model/flow_record.h"
#include "daemon/model/ip_prefix.h"

namespace rheo {

/// A node decides over 6 bits of the address, by two bit maps of its 64 slots, and says what bits are in
/// front of them: so there are at most two nodes of 48 bytes for each prefix, whatever prefixes somebody
/// lists. IPv4 and IPv6 have a root each; no prefix of IPv6 covers IPv4.
class PrefixTrie {
 public:
  struct Entry {
    IpPrefix prefix;
    std::uint16_t number = 0;
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  /// Of the prefix that wins.
  struct Found {
    std::uint16_t number = 0;
    std::uint8_t bits = 0;  // of 128
    friend bool operator==(const Found&, const Found&) = default;
  };

  /// Finds nothing.
  PrefixTrie() : PrefixTrie(std::span<const Entry>()) {}

  /// Of equal prefixes the first holds.
  explicit PrefixTrie(std::span<const Entry> entries);

  /// Does not allocate.
  std::optional<Found> find(const Address& address) const;

  std::size_t bytes() const;  // that it occupies

 private:
  /// An address from its first bit on; of IPv4 the 32 bits are the first.
  struct Bits {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    friend auto operator<=>(const Bits&, const Bits&) = default;
  };

  /// What a slot stands for: a Found and 1 as one number, or 0 for nothing.
  using Leaf = std::uint32_t;

  struct Node {
    std::uint64_t children = 0;    // slots that have a node
    std::uint64_t leaf_begin = 0;  // slots that stand for something else than the slot before
    std::uint32_t first_child = 0;
    std::uint32_t first_leaf = 0;
    Bits front;        // the bits before `offset`, then zero
    Leaf outside = 0;  // of addresses that begin otherwise
    std::uint8_t offset = 0;
  };

  struct Item {
    Bits bits;
    std::uint8_t count = 0;
    std::uint32_t order = 0;  // among the entries
    Leaf leaf = 0;
  };

  /// Where build() makes a node, and of what.
  struct Place {
    std::size_t node = 0;
    unsigned offset = 0;
    Leaf outside = 0;
  };

  static Bits bits_of(const Address& address, bool v4);
  static unsigned slot(const Bits& bits, unsigned offset);
  static bool same_front(const Bits& a, const Bits& b, unsigned count);
  static unsigned offset_of(std::span<const Item> items);
  static std::vector<Item> items_of(std::span<const Entry> entries, bool v4);
  void build(const Place& place, std::span<const Item> items);

  std::vector<Node> nodes_;  // the first two are the roots
  std::vector<Leaf> leaves_;
};

}  // namespace rheo
