// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/flow_index.h"

#include <cstddef>
#include <cstring>

#include "daemon/base/assert.h"

namespace rheo {
namespace {

constexpr std::uint32_t kFirstSlots = 1024;

std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

}  // namespace

KeyMask KeyMask::without_place() {
  abi::flow_key told_apart{};
  std::memset(&told_apart, 0xff, sizeof told_apart);
  told_apart.link = 0;
  told_apart.tunnel_id = 0;
  told_apart.vlan = 0;
  told_apart.kind = static_cast<__u8>(~abi::KIND_TUNNEL_MASK);
  KeyMask mask;
  std::memcpy(mask.word, told_apart.port, sizeof mask.word);
  return mask;
}

std::uint64_t hash_flow_key(const abi::flow_key& key, std::uint64_t seed, const KeyMask& mask) {
  std::uint64_t w[6];
  static_assert(sizeof w == sizeof key && offsetof(abi::flow_key, port) == 4 * sizeof w[0]);
  std::memcpy(w, &key, sizeof w);
  w[4] &= mask.word[0];
  w[5] &= mask.word[1];
  // Odd constants of wyhash; the seed enters every product.
  const std::uint64_t a = fold(w[0] ^ 0xa0761d6478bd642fU ^ seed, w[1] ^ 0xe7037ed1a0b428dbU);
  const std::uint64_t b = fold(w[2] ^ 0x8ebc6af09c88c6e3U ^ seed, w[3] ^ 0x589965cc75374cc3U);
  const std::uint64_t c = fold(w[4] ^ 0x1d8e4e27c47d124fU ^ seed, w[5] ^ 0xeb44accab455d165U);
  return fold(a ^ b ^ 0x9e3779b97f4a7c15U, c ^ seed);
}

FlowIndex::FlowIndex() : slots_(kFirstSlots, Slot{0, kNone}), mask_(kFirstSlots - 1) {}

void FlowIndex::insert(std::uint64_t hash, std::uint32_t entry) {
  if ((size_ + 1) * std::uint64_t{10} > slots_.size() * 7) double_size();
  place({tag_of(hash), entry});
  ++size_;
}

void FlowIndex::place(Slot slot) {
  std::uint32_t at = home(slot.tag);
  while (slots_[at].entry != kNone) at = (at + 1) & mask_;
  slots_[at] = slot;
}

void FlowIndex::erase(std::uint64_t hash, std::uint32_t entry) {
  std::uint32_t hole = home(tag_of(hash));
  while (slots_[hole].entry != entry) {
    RHEO_ASSERT(slots_[hole].entry != kNone);
    hole = (hole + 1) & mask_;
  }
  // Close the gap: move back every follower whose home does not lie behind the hole.
  for (std::uint32_t at = (hole + 1) & mask_; slots_[at].entry != kNone; at = (at + 1) & mask_) {
    const std::uint32_t from_home = (at - home(slots_[at].tag)) & mask_;
    if (from_home < ((at - hole) & mask_)) continue;
    slots_[hole] = slots_[at];
    hole = at;
  }
  slots_[hole] = {0, kNone};
  --size_;
}

void FlowIndex::double_size() {
  RHEO_ASSERT(slots_.size() < (std::size_t{1} << 31U));
  std::vector<Slot> old(slots_.size() * 2, Slot{0, kNone});
  old.swap(slots_);
  mask_ = static_cast<std::uint32_t>(slots_.size() - 1);
  for (const Slot& slot : old) {
    if (slot.entry != kNone) place(slot);
  }
}

}  // namespace rheo
