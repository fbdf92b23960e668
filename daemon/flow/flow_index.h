// SPDX-License-Identifier: Apache-2.0
// FlowIndex: from a flow's key to its entry, by open addressing with linear probing. Lives in ordinary memory
// and is made anew at start. Holds hashes and entry numbers only; the caller compares keys. Collector's
// thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "bpf/abi.h"

namespace rheo {

/// Which bits of a key's last two words tell flows apart; those of the addresses always do.
struct KeyMask {
  std::uint64_t word[2] = {~std::uint64_t{0}, ~std::uint64_t{0}};

  /// All but where it was seen: link, VLAN and tunnel.
  static KeyMask without_place();

  bool same(const abi::flow_key& a, const abi::flow_key& b) const {
    std::uint64_t v[6];
    std::uint64_t w[6];
    std::memcpy(v, &a, sizeof v);
    std::memcpy(w, &b, sizeof w);
    std::uint64_t differ = ((v[4] ^ w[4]) & word[0]) | ((v[5] ^ w[5]) & word[1]);
    for (unsigned i = 0; i < 4; ++i) differ |= v[i] ^ w[i];
    return differ == 0;
  }
};

/// A keyed 64-bit hash of all 48 bytes but those masked (folded multiplications; a stranger who does not know
/// the seed cannot make collisions).
std::uint64_t hash_flow_key(const abi::flow_key& key, std::uint64_t seed, const KeyMask& mask = {});

class FlowIndex {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  FlowIndex();

  std::uint32_t size() const { return size_; }

  /// Brings the slots of this hash towards the cache.
  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&slots_[home(tag_of(hash))]); }

  /// The first entry with this hash for which `matches(entry)` is true, or kNone.
  template <class Matches>
  std::uint32_t find(std::uint64_t hash, Matches&& matches) const {
    const std::uint32_t tag = tag_of(hash);
    for (std::uint32_t place = home(tag);; place = (place + 1) & mask_) {
      const Slot& slot = slots_[place];
      if (slot.entry == kNone) return kNone;
      if (slot.tag == tag && matches(slot.entry)) return slot.entry;
    }
  }

  /// The first entry with this hash, its key not compared; for prefetching.
  std::uint32_t guess(std::uint64_t hash) const {
    return find(hash, [](std::uint32_t) { return true; });
  }

  /// The entry is not in the index yet.
  void insert(std::uint64_t hash, std::uint32_t entry);

  /// The entry is in the index.
  void erase(std::uint64_t hash, std::uint32_t entry);

 private:
  struct Slot {
    std::uint32_t tag;
    std::uint32_t entry;  // kNone: empty
  };

  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32U); }
  std::uint32_t home(std::uint32_t tag) const { return tag & mask_; }
  void place(Slot slot);
  void double_size();

  std::vector<Slot> slots_;
  std::uint32_t mask_;
  std::uint32_t size_ = 0;
};

}  // namespace rheo
