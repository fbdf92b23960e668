// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/expiry_wheel.h"

#include <algorithm>

namespace rheo {

ExpiryWheel::ExpiryWheel(std::uint64_t now_ns) : nodes_(kSlots), tick_(now_ns >> kTickShift) {
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) nodes_[slot] = {slot, slot};
}

void ExpiryWheel::schedule(std::uint32_t entry, std::uint64_t deadline_ns) {
  const std::uint32_t node = kSlots + entry;
  // Geometric growth by hand: a vector would double, and half of a million flows' nodes would be waste.
  if (node >= nodes_.size()) {
    if (node >= nodes_.capacity()) nodes_.reserve(node + 1 + node / 4);
    nodes_.resize(node + 1);
  }
  if (nodes_[node].next != kUnlinked) unlink(node);

  // One tick up, so that the deadline has passed when the slot comes up.
  const std::uint64_t wanted = (deadline_ns >> kTickShift) + 1;
  const std::uint64_t tick = std::clamp(wanted, tick_, tick_ + kSlots - 1);
  const auto head = static_cast<std::uint32_t>(tick % kSlots);
  const std::uint32_t last = nodes_[head].previous;
  nodes_[node] = {head, last};
  nodes_[last].next = node;
  nodes_[head].previous = node;
}

void ExpiryWheel::remove(std::uint32_t entry) {
  const std::uint32_t node = kSlots + entry;
  if (node < nodes_.size() && nodes_[node].next != kUnlinked) unlink(node);
}

void ExpiryWheel::unlink(std::uint32_t node) {
  nodes_[nodes_[node].previous].next = nodes_[node].next;
  nodes_[nodes_[node].next].previous = nodes_[node].previous;
  nodes_[node] = {};
}

bool ExpiryWheel::take_due(std::uint64_t now_ns, std::uint32_t& entry) {
  const std::uint64_t now_tick = now_ns >> kTickShift;
  // After a long sleep every slot is due; once around is enough.
  if (now_tick >= tick_ + kSlots) tick_ = now_tick - kSlots + 1;
  for (;;) {
    const auto head = static_cast<std::uint32_t>(tick_ % kSlots);
    if (tick_ <= now_tick && nodes_[head].next != head) {
      const std::uint32_t node = nodes_[head].next;
      unlink(node);
      entry = node - kSlots;
      return true;
    }
    if (tick_ >= now_tick) return false;
    ++tick_;
  }
}

}  // namespace rheo
