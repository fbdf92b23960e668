// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/link_frame.h"

#include <algorithm>
#include <array>

namespace rheo {
namespace {

// https://www.tcpdump.org/linktypes.html; 12 and 14 are DLT_RAW of two systems.
enum LinkType : std::uint32_t {
  kNull = 0,
  kEthernet = 1,
  kRaw12 = 12,
  kRaw14 = 14,
  kRaw = 101,
  kLoop = 108,
  kCooked = 113,
  kIpv4 = 228,
  kIpv6 = 229,
  kCooked2 = 276,
};

constexpr std::uint8_t kCookedOutgoing = 4;  // PACKET_OUTGOING

/// The bytes behind a header of the capture's own; none when the packet ends inside it.
void skip_header(LinkFrame& frame, std::uint32_t size) {
  abi::parse_input& input = frame.input;
  if (input.available < size) frame.status = abi::DROP_TRUNCATED;
  const std::uint32_t present = std::min(size, input.available);
  input.data += present;
  input.available -= present;
  input.length -= std::min(size, input.length);
}

void open_ip(LinkFrame& frame, std::uint32_t ethertype) {
  frame.input.link_layer = abi::LINK_IP;
  frame.input.ethertype = FROM_BE16(static_cast<std::uint16_t>(ethertype));
}

/// An EtherType in a cooked header: a tag behind it is handed on as one in metadata is.
void open_cooked(LinkFrame& frame, std::uint16_t ethertype) {
  abi::parse_input& input = frame.input;
  if (ethertype == abi::ETHERTYPE_VLAN || ethertype == abi::ETHERTYPE_SERVICE_VLAN) {
    const std::uint8_t* tag = input.data;
    skip_header(frame, 4);
    if (frame.status != abi::PARSE_OK) return;
    input.vlan_present = 1;
    input.vlan_tci = abi::load_be16(tag);
    ethertype = abi::load_be16(tag + 2);
  }
  switch (ethertype) {
    case abi::ETHERTYPE_IPV4:
    case abi::ETHERTYPE_IPV6:
    case abi::ETHERTYPE_MPLS:
    case abi::ETHERTYPE_MPLS_MULTICAST:
      open_ip(frame, ethertype);
      break;
    case abi::ETHERTYPE_VLAN:
    case abi::ETHERTYPE_SERVICE_VLAN:
      frame.status = abi::DROP_TOO_DEEP;
      break;
    default:
      frame.status = abi::DROP_NOT_IP;
  }
}

/// LINKTYPE_LINUX_SLL: packet type 2, ARPHRD 2, address length 2, address 8, protocol 2.
void open_cooked_1(LinkFrame& frame) {
  const std::uint8_t* header = frame.input.data;
  skip_header(frame, 16);
  if (frame.status != abi::PARSE_OK) return;
  frame.hooks = abi::load_be16(header) == kCookedOutgoing ? abi::HOOK_EGRESS : abi::HOOK_INGRESS;
  open_cooked(frame, abi::load_be16(header + 14));
}

/// LINKTYPE_LINUX_SLL2: protocol 2, reserved 2, ifindex 4, ARPHRD 2, packet type 1, address length 1,
/// address 8.
void open_cooked_2(LinkFrame& frame) {
  const std::uint8_t* header = frame.input.data;
  skip_header(frame, 20);
  if (frame.status != abi::PARSE_OK) return;
  frame.device = abi::load_be32(header + 4);
  frame.hooks = header[10] == kCookedOutgoing ? abi::HOOK_EGRESS : abi::HOOK_INGRESS;
  open_cooked(frame, abi::load_be16(header));
}

/// An address family: in the order of the host that captured (null), or in network order (loop), which is the
/// capturing host's on some. The families' numbers are those of the BSDs, macOS, Linux and Windows.
void open_null(LinkFrame& frame) {
  constexpr std::array<std::uint32_t, 6> families = {2,  10, 23,
                                                     24, 28, 30};  // AF_INET, then AF_INET6 of each
  const std::uint8_t* header = frame.input.data;
  skip_header(frame, 4);
  if (frame.status != abi::PARSE_OK) return;
  const std::uint32_t big = abi::load_be32(header);
  const std::uint32_t little = __builtin_bswap32(big);
  const auto known = [&](std::uint32_t family) {
    return std::ranges::find(families, family) != families.end();
  };
  if (known(big) || known(little))
    open_ip(frame, 0);
  else
    frame.status = abi::DROP_NOT_IP;
}

std::uint8_t hooks_of(PacketDirection direction) {
  switch (direction) {
    case PacketDirection::inbound:
      return abi::HOOK_INGRESS;
    case PacketDirection::outbound:
      return abi::HOOK_EGRESS;
    case PacketDirection::unknown:
      break;
  }
  return 0;
}

}  // namespace

bool is_ethernet(std::uint32_t link_type) { return link_type == kEthernet; }

std::optional<LinkFrame> open_frame(const CapturedPacket& packet) {
  LinkFrame frame;
  frame.input.data = packet.bytes.data();
  frame.input.end = packet.bytes.data() + packet.bytes.size();
  frame.input.available = static_cast<std::uint32_t>(packet.bytes.size());
  frame.input.length = packet.original_length;
  frame.input.link_layer = abi::LINK_ETHERNET;
  frame.hooks = hooks_of(packet.direction);

  switch (packet.link_type) {
    case kEthernet:
      break;
    case kRaw:
    case kRaw12:
    case kRaw14:
    case kIpv4:
    case kIpv6:
      open_ip(frame, 0);
      break;
    case kCooked:
      open_cooked_1(frame);
      break;
    case kCooked2:
      open_cooked_2(frame);
      break;
    case kNull:
    case kLoop:
      open_null(frame);
      break;
    default:
      return std::nullopt;
  }
  return frame;
}

}  // namespace rheo
