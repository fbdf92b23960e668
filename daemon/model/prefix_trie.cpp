// SPDX-License-Identifier: Apache-2.0
#include "daemon/model/prefix_trie.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <tuple>

namespace rheo {
namespace {

constexpr unsigned kStride = 6;
constexpr unsigned kSlots = 1U << kStride;
constexpr std::size_t kRootV4 = 0;
constexpr std::size_t kRootV6 = 1;

/// The 8 octets from `at` on as one number, the first the highest.
std::uint64_t load(const Address& address, std::size_t at) {
  std::uint64_t value = 0;
  std::memcpy(&value, address.data() + at, sizeof value);
  return std::endian::native == std::endian::little ? __builtin_bswap64(value) : value;
}

/// How many of the slots up to this one are in the map.
unsigned rank(std::uint64_t map, unsigned slot) {
  return static_cast<unsigned>(std::popcount(map << (kSlots - 1 - slot)));
}

}  // namespace

PrefixTrie::Bits PrefixTrie::bits_of(const Address& address, bool v4) {
  const std::uint64_t low = load(address, 8);
  if (v4) return {.high = low << 32U, .low = 0};
  return {.high = load(address, 0), .low = low};
}

unsigned PrefixTrie::slot(const Bits& bits, unsigned offset) {
  std::uint64_t from = offset == 0 ? bits.high : bits.high << offset % 64U | bits.low >> (64U - offset % 64U);
  if (offset >= 64) from = bits.low << (offset - 64U);
  return static_cast<unsigned>(from >> (64U - kStride));
}

bool PrefixTrie::same_front(const Bits& a, const Bits& b, unsigned count) {
  const std::uint64_t high = a.high ^ b.high;
  if (count == 0) return true;
  if (count < 64) return high >> (64U - count) == 0;
  return high == 0 && (count == 64 || (a.low ^ b.low) >> (128U - count) == 0);
}

std::optional<PrefixTrie::Found> PrefixTrie::find(const Address& address) const {
  Bits bits{.high = load(address, 0), .low = load(address, 8)};
  const bool v4 = bits.high == 0 && bits.low >> 32U == 0xffff;
  if (v4) bits = {.high = bits.low << 32U, .low = 0};
  Leaf leaf = 0;
  for (std::size_t at = v4 ? kRootV4 : kRootV6;;) {
    const Node& node = nodes_[at];
    if (!same_front(bits, node.front, node.offset)) {
      leaf = node.outside;
      break;
    }
    const unsigned mine = slot(bits, node.offset);
    if ((node.children >> mine & 1U) == 0) {
      leaf = leaves_[node.first_leaf + rank(node.leaf_begin, mine) - 1];
      break;
    }
    at = node.first_child + rank(node.children, mine) - 1;
  }
  if (leaf == 0) return std::nullopt;
  return Found{.number = static_cast<std::uint16_t>(leaf >> 16U),
               .bits = static_cast<std::uint8_t>(leaf - 1)};
}

std::size_t PrefixTrie::bytes() const {
  return nodes_.capacity() * sizeof(Node) + leaves_.capacity() * sizeof(Leaf);
}

/// Sorted by their bits, so that a prefix comes before those within it; none twice.
std::vector<PrefixTrie::Item> PrefixTrie::items_of(std::span<const Entry> entries, bool v4) {
  std::vector<Item> items;
  for (const Entry& entry : entries) {
    const unsigned bits = entry.prefix.bits;
    if ((bits >= kMappedBits && is_mapped_v4(entry.prefix.address)) != v4) continue;
    items.push_back({.bits = bits_of(entry.prefix.address, v4),
                     .count = static_cast<std::uint8_t>(v4 ? bits - kMappedBits : bits),
                     .order = static_cast<std::uint32_t>(items.size()),
                     .leaf = static_cast<Leaf>(entry.number) << 16U | (bits + 1U)});
  }
  const auto key = [](const Item& item) { return std::tuple(item.bits, item.count); };
  // No stable_sort(): its memory is libstdc++'s to free, and AddressSanitizer's to give.
  std::ranges::sort(items, {},
                    [](const Item& item) { return std::tuple(item.bits, item.count, item.order); });
  const auto rest = std::ranges::unique(items, {}, key);
  items.erase(rest.begin(), rest.end());
  return items;
}

PrefixTrie::PrefixTrie(std::span<const Entry> entries) {
  nodes_.resize(2);
  build({.node = kRootV4}, items_of(entries, true));
  build({.node = kRootV6}, items_of(entries, false));
  nodes_.shrink_to_fit();
  leaves_.shrink_to_fit();
}

/// Where the first node decides for these: they begin alike, and none ends before.
unsigned PrefixTrie::offset_of(std::span<const Item> items) {
  unsigned alike = 128;
  for (const Item& item : items) alike = std::min(alike, item.count - 1U);
  const Bits& first = items.front().bits;
  const Bits& last = items.back().bits;
  const auto same =
      static_cast<unsigned>(first.high != last.high ? std::countl_zero(first.high ^ last.high)
                                                    : 64 + std::countl_zero(first.low ^ last.low));
  return std::min(alike, same) / kStride * kStride;
}

/// All items are longer than `offset`, but at a root, where they may be as long; at most 22 deep.
void PrefixTrie::build(const Place& place, std::span<const Item> items) {
  std::array<Leaf, kSlots> slots{};
  slots.fill(place.outside);
  struct Child {
    unsigned slot = 0;
    std::span<const Item> items;
  };
  std::vector<Child> children;
  for (std::size_t i = 0; i < items.size();) {
    const unsigned first = slot(items[i].bits, place.offset);
    if (const unsigned count = items[i].count; count <= place.offset + kStride) {
      std::fill_n(slots.begin() + first, kSlots >> (count - place.offset), items[i++].leaf);
      continue;
    }
    std::size_t end = i + 1;
    while (end < items.size() && slot(items[end].bits, place.offset) == first) ++end;
    children.push_back({.slot = first, .items = items.subspan(i, end - i)});
    i = end;
  }

  Node node{.first_child = static_cast<std::uint32_t>(nodes_.size()),
            .first_leaf = static_cast<std::uint32_t>(leaves_.size()),
            .front = {},
            .outside = place.outside,
            .offset = static_cast<std::uint8_t>(place.offset)};
  if (!items.empty() && place.offset > 0) node.front = items.front().bits;
  for (unsigned i = 0; i < kSlots; ++i) {
    if (i > 0 && slots[i] == slots[i - 1]) continue;
    node.leaf_begin |= 1ULL << i;
    leaves_.push_back(slots[i]);
  }
  for (const Child& child : children) node.children |= 1ULL << child.slot;
  nodes_[place.node] = node;
  nodes_.resize(nodes_.size() + children.size());
  for (std::size_t i = 0; i < children.size(); ++i)
    build({.node = node.first_child + i,
           .offset = offset_of(children[i].items),
           .outside = slots[children[i].slot]},
          children[i].items);
}

}  // namespace rheo
