// SPDX-License-Identifier: Apache-2.0
#include "netlink/listeners.h"

#include <linux/if_addr.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <vector>

#include "netlink/dump.h"
#include "netlink/ip_bytes.h"
#include "netlink/message.h"

namespace rheo {
namespace {

constexpr Address kAnyV6{};
constexpr Address kAnyV4{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};

struct Protocol {
  std::uint8_t number;
  std::uint32_t states;  // bits by TCP_*: what "waits for others" is called there
};
constexpr std::uint32_t kListen = 1U << TCP_LISTEN;
constexpr std::uint32_t kUnconnected = 1U << TCP_CLOSE;
constexpr std::array<Protocol, 4> kProtocols = {{
    {IPPROTO_TCP, kListen},
    {IPPROTO_UDP, kUnconnected},
    {IPPROTO_UDPLITE, kUnconnected},
    {IPPROTO_SCTP, kListen},
}};

/// Asking for SCTP sockets would load the module into a kernel that does without.
bool kernel_has(std::uint8_t protocol) {
  return protocol != IPPROTO_SCTP || ::access("/proc/net/sctp", F_OK) == 0;
}

Result<std::vector<WaitingSocket>> dump_sockets(const Protocol& protocol, std::uint8_t family) {
  inet_diag_req_v2 request{};
  request.sdiag_family = family;
  request.sdiag_protocol = protocol.number;
  request.idiag_states = protocol.states;

  std::vector<WaitingSocket> sockets;
  const DumpReceiver receiver{
      .start = [&] { sockets.clear(); },
      .message =
          [&](std::span<const std::byte> message) {
            if (const auto socket = read_socket_message(message, protocol.number)) sockets.push_back(*socket);
          },
  };
  auto dumped = dump({.protocol = NETLINK_SOCK_DIAG,
                      .type = SOCK_DIAG_BY_FAMILY,
                      .payload = std::as_bytes(std::span(&request, 1))},
                     receiver);
  if (!dumped && dumped.error().code == std::errc::no_such_file_or_directory) return sockets;
  if (!dumped) return forward(std::move(dumped), "list listening sockets");
  return sockets;
}

Result<std::vector<Address>> dump_addresses() {
  const ifaddrmsg request{};  // AF_UNSPEC: of all families
  std::vector<Address> addresses;
  const DumpReceiver receiver{
      .start = [&] { addresses.clear(); },
      .message =
          [&](std::span<const std::byte> message) {
            if (const auto address = read_address_message(message)) addresses.push_back(*address);
          },
  };
  auto dumped =
      dump({.protocol = NETLINK_ROUTE, .type = RTM_GETADDR, .payload = std::as_bytes(std::span(&request, 1))},
           receiver);
  if (!dumped) return forward(std::move(dumped), "list addresses");
  return addresses;
}

/// The default where the file cannot be read.
PortRange read_ephemeral_ports() {
  PortRange range;
  std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
  if (PortRange read; file >> read.first >> read.last) range = read;
  return range;
}

bool is_v4(const Address& address) {
  return std::equal(kAnyV4.begin(), kAnyV4.begin() + 12, address.begin());
}

/// Listeners has one word for "any address"; a socket of IPv6 alone is under each of the host's instead.
void insert(Listeners& listeners, const WaitingSocket& socket) {
  if (!socket.any_v6_only) {
    listeners.sockets.insert(socket.address);
    return;
  }
  for (const Address& address : listeners.local_addresses) {
    if (is_v4(address)) continue;
    SocketAddress own = socket.address;
    own.address = address;
    listeners.sockets.insert(own);
  }
}

}  // namespace

std::optional<WaitingSocket> read_socket_message(std::span<const std::byte> message, std::uint8_t protocol) {
  const auto read = read_message<inet_diag_msg>(message);
  if (!read || read->type != SOCK_DIAG_BY_FAMILY) return std::nullopt;

  const inet_diag_sockid& id = read->fixed.id;
  const auto address = to_address(read->fixed.idiag_family, std::as_bytes(std::span(id.idiag_src)));
  if (!address || id.idiag_sport == 0 || id.idiag_dport != 0) return std::nullopt;

  const bool v6_only = read->attributes.number<std::uint8_t>(INET_DIAG_SKV6ONLY).value_or(0) != 0;
  return WaitingSocket{
      .address = {.address = *address, .port_be = id.idiag_sport, .protocol = protocol},
      .any_v6_only = v6_only && *address == kAnyV6,
  };
}

std::optional<Address> read_address_message(std::span<const std::byte> message) {
  const auto read = read_message<ifaddrmsg>(message);
  if (!read || read->type != RTM_NEWADDR) return std::nullopt;

  // On a point-to-point link IFA_ADDRESS is the peer's; without IFA_LOCAL it is our own.
  auto bytes = read->attributes.find(IFA_LOCAL);
  if (!bytes) bytes = read->attributes.find(IFA_ADDRESS);
  if (!bytes) return std::nullopt;
  return to_address(read->fixed.ifa_family, *bytes);
}

Result<Listeners> dump_listeners() {
  Listeners listeners;
  listeners.ephemeral_ports = read_ephemeral_ports();
  auto addresses = dump_addresses();
  if (!addresses) return forward(std::move(addresses));
  listeners.local_addresses.insert(addresses->begin(), addresses->end());

  for (const Protocol& protocol : kProtocols) {
    if (!kernel_has(protocol.number)) continue;
    for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
      auto sockets = dump_sockets(protocol, family);
      if (!sockets) return forward(std::move(sockets));
      for (const WaitingSocket& socket : *sockets) insert(listeners, socket);
    }
  }
  return listeners;
}

}  // namespace rheo
