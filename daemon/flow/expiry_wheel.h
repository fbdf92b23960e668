// SPDX-License-Identifier: Apache-2.0
// ExpiryWheel: which entries to look at when. Slots of a quarter of a second hold intrusive lists; an entry
// whose deadline moves later stays where it is and is put back when its slot comes up, so a packet costs
// nothing here. Memory of its own, made anew at start. Collector's thread.
#pragma once

#include <cstdint>
#include <vector>

namespace rheo {

class ExpiryWheel {
 public:
  explicit ExpiryWheel(std::uint64_t now_ns);

  /// Links the entry to come up at or soon after `deadline_ns`, or, if that is far away, sooner. An entry
  /// that is linked already moves.
  void schedule(std::uint32_t entry, std::uint64_t deadline_ns);

  /// The entry is gone.
  void remove(std::uint32_t entry);

  /// Takes one entry whose time has come by `now_ns`, or returns false.
  bool take_due(std::uint64_t now_ns, std::uint32_t& entry);

 private:
  static constexpr unsigned kTickShift = 28;  // 268 ms
  static constexpr std::uint32_t kSlots = 2048;
  static constexpr std::uint32_t kUnlinked = UINT32_MAX;

  struct Node {
    std::uint32_t next = kUnlinked;
    std::uint32_t previous = kUnlinked;
  };

  // Nodes 0 to kSlots - 1 are the slots' heads; entry e is node kSlots + e.
  void unlink(std::uint32_t node);

  std::vector<Node> nodes_;
  std::uint64_t tick_;  // every earlier slot is empty
};

}  // namespace rheo
