// SPDX-License-Identifier: Apache-2.0
#include "netlink/links.h"

#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>
#include <utility>

#include "netlink/dump.h"
#include "netlink/message.h"

namespace rheo {
namespace {

/// Messages of AF_BRIDGE have the same types and tell of a link as a bridge's port, with half of its
/// attributes.
bool is_of_a_link(const ifinfomsg& fixed) { return fixed.ifi_family == AF_UNSPEC && fixed.ifi_index > 0; }

}  // namespace

LinkLayer link_layer(std::uint16_t hardware_type) {
  switch (hardware_type) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:  // its frames have an Ethernet header of zeros
      return LinkLayer::ethernet;
    case ARPHRD_NONE:
    case ARPHRD_RAWIP:
    case ARPHRD_PPP:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
    case ARPHRD_IPGRE:
    case ARPHRD_IP6GRE:
      return LinkLayer::none;
    default:
      return LinkLayer::unsupported;
  }
}

std::optional<Link> read_link_message(std::span<const std::byte> message) {
  const auto read = read_message<ifinfomsg>(message);
  if (!read || read->type != RTM_NEWLINK || !is_of_a_link(read->fixed)) return std::nullopt;

  const Attributes& attributes = read->attributes;
  Link link;
  link.index = static_cast<std::uint32_t>(read->fixed.ifi_index);
  link.name = attributes.text(IFLA_IFNAME);
  if (link.name.empty()) return std::nullopt;

  link.hardware_type = read->fixed.ifi_type;
  link.layer = link_layer(link.hardware_type);
  link.up = (read->fixed.ifi_flags & IFF_UP) != 0;
  link.loopback = (read->fixed.ifi_flags & IFF_LOOPBACK) != 0;
  link.mtu = attributes.number<std::uint32_t>(IFLA_MTU).value_or(0);
  link.master = attributes.number<std::uint32_t>(IFLA_MASTER).value_or(0);
  // With a namespace number beside it, the index is of another namespace and means nothing here.
  if (!attributes.find(IFLA_LINK_NETNSID))
    link.lower = attributes.number<std::uint32_t>(IFLA_LINK).value_or(0);
  if (link.lower == link.index) link.lower = 0;  // ipip and its kin name themselves
  if (const auto info = attributes.find(IFLA_LINKINFO)) link.kind = Attributes(*info).text(IFLA_INFO_KIND);
  if (const auto mac = attributes.find(IFLA_ADDRESS); mac && mac->size() == link.mac.size())
    std::memcpy(link.mac.data(), mac->data(), link.mac.size());
  return link;
}

std::optional<LinkChange> read_link_change(std::span<const std::byte> message) {
  if (auto link = read_link_message(message)) {
    const std::uint32_t index = link->index;
    return LinkChange{index, std::move(link)};
  }
  const auto read = read_message<ifinfomsg>(message);
  if (!read || read->type != RTM_DELLINK || !is_of_a_link(read->fixed)) return std::nullopt;
  return LinkChange{static_cast<std::uint32_t>(read->fixed.ifi_index), std::nullopt};
}

Result<LinkTable> dump_links() {
  struct Request {
    ifinfomsg fixed{};
    rtattr header{.rta_len = RTA_LENGTH(sizeof(std::uint32_t)), .rta_type = IFLA_EXT_MASK};
    std::uint32_t mask = RTEXT_FILTER_SKIP_STATS;  // most of an answer's bytes otherwise
  } request;

  LinkTable links;
  const DumpReceiver receiver{
      .start = [&] { links.clear(); },
      .message =
          [&](std::span<const std::byte> message) {
            if (const auto link = read_link_message(message)) links.insert_or_assign(link->index, *link);
          },
  };
  auto dumped =
      dump({.protocol = NETLINK_ROUTE, .type = RTM_GETLINK, .payload = std::as_bytes(std::span(&request, 1))},
           receiver);
  if (!dumped) return forward(std::move(dumped), "list links");
  return links;
}

}  // namespace rheo
