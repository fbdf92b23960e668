// SPDX-License-Identifier: Apache-2.0
#include "netlink/addresses.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>

#include "netlink/dump.h"
#include "netlink/ip_bytes.h"
#include "netlink/message.h"

namespace rheo {
namespace {

/// States in which the kernel sends to the link-layer address that it has.
constexpr std::uint16_t kUsable = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT;

Status dump_into(std::map<std::uint32_t, LinkAddresses>& links, std::uint16_t type,
                 std::span<const std::byte> question) {
  const std::map<std::uint32_t, LinkAddresses> before = links;
  const DumpReceiver receiver{
      .start = [&] { links = before; },
      .message = [&](std::span<const std::byte> message) { apply_address_message(message, links); },
  };
  return dump({.protocol = NETLINK_ROUTE, .type = type, .payload = question}, receiver);
}

}  // namespace

Result<std::map<std::uint32_t, LinkAddresses>> dump_link_addresses() {
  std::map<std::uint32_t, LinkAddresses> links;
  const ifaddrmsg addresses{};  // AF_UNSPEC: of all families
  if (auto dumped = dump_into(links, RTM_GETADDR, std::as_bytes(std::span(&addresses, 1))); !dumped)
    return forward(std::move(dumped), "list addresses");
  const ndmsg neighbours{};
  if (auto dumped = dump_into(links, RTM_GETNEIGH, std::as_bytes(std::span(&neighbours, 1))); !dumped)
    return forward(std::move(dumped), "list neighbours");
  return links;
}

std::optional<AddressChange> read_address_change(std::span<const std::byte> message) {
  const auto read = read_message<ifaddrmsg>(message);
  if (!read || (read->type != RTM_NEWADDR && read->type != RTM_DELADDR)) return std::nullopt;
  // On a point-to-point link IFA_ADDRESS is the peer's; without IFA_LOCAL it is our own.
  auto bytes = read->attributes.find(IFA_LOCAL);
  if (!bytes) bytes = read->attributes.find(IFA_ADDRESS);
  if (!bytes || read->fixed.ifa_index == 0) return std::nullopt;
  const auto address = to_address(read->fixed.ifa_family, *bytes);
  const bool ipv6 = read->fixed.ifa_family == AF_INET6;
  if (!address || read->fixed.ifa_prefixlen > (ipv6 ? 128 : 32)) return std::nullopt;
  return AddressChange{.index = read->fixed.ifa_index,
                       .address = {.ipv6 = ipv6, .address = *address, .prefix = read->fixed.ifa_prefixlen},
                       .gone = read->type == RTM_DELADDR};
}

std::optional<NeighbourChange> read_neighbour_change(std::span<const std::byte> message) {
  const auto read = read_message<ndmsg>(message);
  if (!read || (read->type != RTM_NEWNEIGH && read->type != RTM_DELNEIGH)) return std::nullopt;
  const auto bytes = read->attributes.find(NDA_DST);
  // Without ARP, or of a proxy: nobody has told the kernel where that is.
  if (!bytes || read->fixed.ndm_ifindex <= 0 || (read->fixed.ndm_state & NUD_NOARP) != 0 ||
      (read->fixed.ndm_flags & NTF_PROXY) != 0)
    return std::nullopt;
  const auto address = to_address(read->fixed.ndm_family, *bytes);
  if (!address) return std::nullopt;
  NeighbourChange change{.index = static_cast<std::uint32_t>(read->fixed.ndm_ifindex),
                         .address = {.ipv6 = read->fixed.ndm_family == AF_INET6, .address = *address},
                         .mac = std::nullopt};
  const auto mac = read->attributes.find(NDA_LLADDR);
  if (read->type == RTM_NEWNEIGH && (read->fixed.ndm_state & kUsable) != 0 && mac && mac->size() == 6)
    std::memcpy(change.mac.emplace().data(), mac->data(), 6);
  return change;
}

std::optional<std::uint32_t> apply_address_message(std::span<const std::byte> message,
                                                   std::map<std::uint32_t, LinkAddresses>& links) {
  if (const auto change = read_address_change(message)) {
    std::set<LinkAddress>& own = links[change->index].own;
    if (change->gone)
      own.erase(change->address);
    else
      own.insert(change->address);
    return change->index;
  }
  const auto change = read_neighbour_change(message);
  if (!change) return std::nullopt;
  auto& neighbours = links[change->index].neighbours;
  if (change->mac)
    neighbours.insert_or_assign(change->address, *change->mac);
  else
    neighbours.erase(change->address);
  return change->index;
}

}  // namespace rheo
