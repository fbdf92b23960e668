// SPDX-License-Identifier: Apache-2.0
// Link: a network interface as netlink tells it. A plain value, any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/flow_record.h"

namespace rheo {

/// What a packet on the link begins with.
enum class LinkLayer : std::uint8_t {
  ethernet,
  none,         // an IP header: tun, WireGuard, ipip, GRE, PPP
  unsupported,  // InfiniBand, IEEE 802.15.4, …: no program of ours parses it
};

struct Link {
  std::uint32_t index = 0;
  std::string name;
  std::string kind;                 // IFLA_INFO_KIND: "veth", "bridge", …; empty for physical and loopback
  std::uint16_t hardware_type = 0;  // ARPHRD_*
  LinkLayer layer = LinkLayer::ethernet;
  bool up = false;
  bool loopback = false;
  bool gone = false;  // there is no such link any more; kept for the names of its flows
  std::uint32_t mtu = 0;
  std::uint32_t master = 0;  // ifindex, 0: none
  std::uint32_t lower = 0;   // ifindex of the link below (IFLA_LINK), 0: none
  MacAddress mac{};
  std::uint8_t netns = 0;       // number of its network namespace; 0: rheod's own
  std::string netns_name = {};  // in /run/netns; empty for rheod's own
  friend bool operator==(const Link&, const Link&) = default;
};

/// A link of any network namespace that is metered.
struct LinkId {
  std::uint8_t netns = 0;     // number, as in a FlowRecord's `link`; 0: rheod's own
  std::uint32_t ifindex = 0;  // there
  friend auto operator<=>(const LinkId&, const LinkId&) = default;
};

/// IFLA_INFO_KIND, or a word for those without one: "loopback", "physical".
inline std::string_view link_kind(const Link& link) {
  if (link.loopback) return "loopback";
  return link.kind.empty() ? std::string_view("physical") : std::string_view(link.kind);
}

/// Links by number: of one namespace, the ifindex; as published, a FlowRecord's `link`, with those that are
/// gone since a short time.
using LinkTable = std::map<std::uint32_t, Link>;

/// The ifindex of a FlowRecord's `link`.
inline std::uint32_t link_ifindex(std::uint32_t link) { return link & 0xffffffU; }

/// The number of its network namespace; 0: rheod's own.
inline std::uint8_t link_netns(std::uint32_t link) { return static_cast<std::uint8_t>(link >> 24U); }

/// A FlowRecord's `link` of that link.
inline std::uint32_t link_number(LinkId id) {
  return static_cast<std::uint32_t>(id.netns) << 24U | link_ifindex(id.ifindex);
}

/// The name of a record's link in its namespace, or "" when the table does not have it.
inline std::string_view link_name(const LinkTable& links, std::uint32_t link) {
  const auto found = links.find(link);
  return found == links.end() ? std::string_view() : std::string_view(found->second.name);
}

/// The name of its network namespace, or "" for rheod's own, or when the table does not have the link.
inline std::string_view link_netns_name(const LinkTable& links, std::uint32_t link) {
  const auto found = links.find(link);
  return found == links.end() ? std::string_view() : std::string_view(found->second.netns_name);
}

/// "eth0", and "blue/eth0" in the namespace blue: neither name can have a slash.
inline std::string full_name(const std::string& netns_name, const std::string& name) {
  return netns_name.empty() ? name : netns_name + "/" + name;
}
inline std::string full_name(const Link& link) { return full_name(link.netns_name, link.name); }

/// The same of a record's link, or "" when the table does not have it.
inline std::string link_full_name(const LinkTable& links, std::uint32_t link) {
  const auto found = links.find(link);
  return found == links.end() ? std::string() : full_name(found->second);
}

}  // namespace rheo
