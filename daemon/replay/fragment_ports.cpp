// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/fragment_ports.h"

#include "daemon/base/clock.h"

namespace rheo {
namespace {
constexpr std::uint64_t kLifetimeNs = 30 * kNanosecondsPerSecond;  // FRAGMENT_LIFETIME_S of bpf/maps.h
}  // namespace

std::size_t FragmentPorts::DatagramHash::operator()(const Datagram& datagram) const noexcept {
  std::uint64_t hash = 0;
  for (const std::uint64_t word : datagram) hash = (hash ^ word ^ hash >> 29) * 0x9e3779b97f4a7c15U;
  return static_cast<std::size_t>(hash ^ hash >> 32);
}

FragmentPorts::Datagram FragmentPorts::datagram_of(const abi::parsed_packet& packet) {
  const abi::flow_key& key = packet.key;
  // Between ports of one address both directions are one here: only the first fragment knows which it is.
  const bool same_address = packet.word[0] == packet.word[2] && packet.word[1] == packet.word[3];
  const std::uint64_t direction = same_address ? 0U : packet.direction;
  return {packet.word[0],
          packet.word[1],
          packet.word[2],
          packet.word[3],
          static_cast<std::uint64_t>(key.link) << 32U | key.tunnel_id,
          static_cast<std::uint64_t>(key.vlan) << 8U | key.kind,
          static_cast<std::uint64_t>(packet.fragment_id) << 16U | direction << 8U | packet.fragment_protocol};
}

bool FragmentPorts::resolve(abi::parsed_packet& packet, std::uint64_t time_ns) {
  if (packet.fragment == abi::FRAGMENT_NONE) return true;

  const Datagram datagram = datagram_of(packet);
  if (packet.fragment == abi::FRAGMENT_FIRST) {
    remember(datagram, {.port_be = {packet.key.port[0], packet.key.port[1]},
                        .protocol = packet.key.protocol,
                        .direction = packet.direction,
                        .icmp = packet.icmp,
                        .seen_ns = time_ns});
    return true;
  }

  const auto found = index_.find(datagram);
  if (found == index_.end()) return false;
  const First& first = found->second->second;
  if (time_ns > first.seen_ns + kLifetimeNs) return false;
  entries_.splice(entries_.begin(), entries_, found->second);
  packet.key.port[0] = first.port_be[0];
  packet.key.port[1] = first.port_be[1];
  packet.key.protocol = first.protocol;
  packet.direction = first.direction;
  packet.icmp = first.icmp;
  return true;
}

void FragmentPorts::remember(const Datagram& datagram, const First& first) {
  if (const auto found = index_.find(datagram); found != index_.end()) {
    found->second->second = first;
    entries_.splice(entries_.begin(), entries_, found->second);
    return;
  }
  if (entries_.size() == capacity_) {
    index_.erase(entries_.back().first);
    entries_.pop_back();
  }
  entries_.emplace_front(datagram, first);
  index_.emplace(datagram, entries_.begin());
}

}  // namespace rheo
