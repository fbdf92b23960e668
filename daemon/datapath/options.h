// SPDX-License-Identifier: Apache-2.0
// What the datapath is told and what it tells back, as plain values: options, targets, notes. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/model/link.h"

namespace rheo {

/// How programs are attached: TCX links (Linux 6.6 and later) or filters of a clsact qdisc.
enum class Hook : std::uint8_t { automatic, tcx, clsact };

/// Among the other TCX programs of an interface, those that were there before us.
enum class TcxOrder : std::uint8_t { first, last };

enum class Direction : std::uint8_t { ingress, egress };

inline std::string_view direction_name(Direction direction) {
  return direction == Direction::ingress ? "ingress" : "egress";
}

struct DatapathOptions {
  Hook hook = Hook::automatic;
  TcxOrder tcx_order = TcxOrder::first;
  std::uint16_t tc_priority = 50;             // of clsact filters; tc itself chooses from 0xC000 on
  std::uint32_t flow_cache_rows = 65'536;     // of the whole machine, both generations have as many
  std::uint64_t evicted_ring = 32ULL << 20U;  // bytes, a power of two, at least one page
  std::uint32_t fragments = 8'192;            // datagrams whose ports are remembered

  std::vector<std::uint16_t> vxlan_ports = {4789, 8472};  // at most abi::MAX_TUNNEL_PORTS of each
  std::vector<std::uint16_t> geneve_ports = {6081};
  std::vector<std::uint16_t> wireguard_ports = {51820};
  bool decapsulate_gre = true;
  bool decapsulate_ipip = true;

  bool note_owners = true;  // whose the sockets are that send
  bool note_tcp = true;     // what they say of their connections, and handshakes

  /// A folder on a bpffs; its v<schema> subfolder holds our pins. "": nothing is pinned.
  std::string pin_directory;
};

/// One interface of our network namespace, or of one that Datapath::open_namespace() has numbered.
struct LinkTarget {
  std::uint32_t ifindex = 0;
  std::uint8_t netns = 0;
  std::string name;  // for messages only
  LinkLayer layer = LinkLayer::ethernet;
  bool ingress = true;
  bool egress = true;  // loopback: egress alone, since each packet passes both hooks

  LinkId id() const { return {.netns = netns, .ifindex = ifindex}; }
};

/// Something the administrator may want to read once, in a whole sentence.
struct DatapathNote {
  bool warning = false;  // else information
  std::string text;
};
using DatapathNotes = std::vector<DatapathNote>;

}  // namespace rheo
