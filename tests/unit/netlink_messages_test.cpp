// SPDX-License-Identifier: Apache-2.0
// Bytes of netlink messages to values, whole, cut short and contradictory.
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <vector>

#include "netlink/links.h"
#include "netlink/listeners.h"

namespace rheo {
namespace {

using Bytes = std::vector<std::byte>;

/// Of text its closing NUL too.
template <class T>
Bytes bytes_of(const T& value) {
  Bytes bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes attribute(std::uint16_t type, const Bytes& payload) {
  const nlattr header{static_cast<std::uint16_t>(sizeof(nlattr) + payload.size()), type};
  Bytes bytes = bytes_of(header) + payload;
  bytes.resize((bytes.size() + 3) / 4 * 4);
  return bytes;
}

Bytes message(std::uint16_t type, const Bytes& body) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(sizeof(header) + body.size());
  header.nlmsg_type = type;
  return bytes_of(header) + body;
}

Bytes link_message(std::uint16_t hardware_type, unsigned flags, const Bytes& attributes) {
  ifinfomsg fixed{};
  fixed.ifi_type = hardware_type;
  fixed.ifi_index = 7;
  fixed.ifi_flags = flags;
  return message(RTM_NEWLINK, bytes_of(fixed) + attributes);
}

TEST(LinkChange, SaysThatALinkIsGone) {
  ifinfomsg fixed{};
  fixed.ifi_index = 7;
  const auto gone = read_link_change(message(RTM_DELLINK, bytes_of(fixed)));
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->index, 7U);
  EXPECT_FALSE(gone->link);
  fixed.ifi_index = 0;
  EXPECT_FALSE(read_link_change(message(RTM_DELLINK, bytes_of(fixed))));
  EXPECT_FALSE(read_link_change(message(RTM_NEWLINK, bytes_of(fixed))));
}

TEST(LinkChange, OfABridgesPortSaysNothingOfTheLink) {
  ifinfomsg fixed{};
  fixed.ifi_family = AF_BRIDGE;
  fixed.ifi_index = 7;
  const Bytes name = attribute(IFLA_IFNAME, bytes_of(std::array{'e', 't', 'h', '0', '\0'}));
  for (const std::uint16_t type : {std::uint16_t{RTM_NEWLINK}, std::uint16_t{RTM_DELLINK}})
    EXPECT_FALSE(read_link_change(message(type, bytes_of(fixed) + name)));
  fixed.ifi_family = AF_UNSPEC;
  const auto change = read_link_change(message(RTM_NEWLINK, bytes_of(fixed) + name));
  ASSERT_TRUE(change && change->link);
  EXPECT_EQ(change->link->name, "eth0");
}

Bytes veth_message() {
  return link_message(
      ARPHRD_ETHER, IFF_UP,
      attribute(IFLA_IFNAME, bytes_of("veth0")) + attribute(IFLA_MTU, bytes_of(std::uint32_t{1400})) +
          attribute(IFLA_MASTER, bytes_of(std::uint32_t{3})) +
          attribute(IFLA_LINK, bytes_of(std::uint32_t{8})) +
          attribute(IFLA_ADDRESS, bytes_of(MacAddress{2, 0, 0, 0, 0, 9})) +
          attribute(IFLA_LINKINFO | NLA_F_NESTED, attribute(IFLA_INFO_KIND, bytes_of("veth"))));
}

TEST(NetlinkLink, EverythingOfALink) {
  const auto link = read_link_message(veth_message());
  ASSERT_TRUE(link);
  EXPECT_EQ(link->index, 7U);
  EXPECT_EQ(link->name, "veth0");
  EXPECT_EQ(link->kind, "veth");
  EXPECT_EQ(link->hardware_type, ARPHRD_ETHER);
  EXPECT_EQ(link->layer, LinkLayer::ethernet);
  EXPECT_TRUE(link->up);
  EXPECT_FALSE(link->loopback);
  EXPECT_EQ(link->mtu, 1400U);
  EXPECT_EQ(link->master, 3U);
  EXPECT_EQ(link->lower, 8U);
  EXPECT_EQ(link->mac, (MacAddress{2, 0, 0, 0, 0, 9}));
}

TEST(NetlinkLink, ALowerLinkOfAnotherNamespaceIsNone) {
  const auto link = read_link_message(
      link_message(ARPHRD_ETHER, 0,
                   attribute(IFLA_IFNAME, bytes_of("v")) + attribute(IFLA_LINK, bytes_of(std::uint32_t{8})) +
                       attribute(IFLA_LINK_NETNSID, bytes_of(std::int32_t{0}))));
  ASSERT_TRUE(link);
  EXPECT_EQ(link->lower, 0U);
  EXPECT_FALSE(link->up);
}

TEST(NetlinkLink, Layers) {
  using Types = std::vector<std::uint16_t>;
  for (const auto type : Types{1, 772}) EXPECT_EQ(link_layer(type), LinkLayer::ethernet) << type;
  for (const auto type : Types{0xfffe, 519, 512, 768, 769, 776, 778, 823})
    EXPECT_EQ(link_layer(type), LinkLayer::none) << type;
  for (const auto type : Types{0, 32, 280, 801, 804})
    EXPECT_EQ(link_layer(type), LinkLayer::unsupported) << type;
}

TEST(NetlinkLink, NotALink) {
  EXPECT_FALSE(read_link_message({}));
  EXPECT_FALSE(read_link_message(link_message(ARPHRD_ETHER, 0, {}))) << "no name";
  Bytes deleted = veth_message();
  const std::uint16_t type = RTM_DELLINK;
  std::memcpy(deleted.data() + offsetof(nlmsghdr, nlmsg_type), &type, sizeof(type));
  EXPECT_FALSE(read_link_message(deleted));
}

TEST(NetlinkLink, CutAnywhereItIsNothing) {
  const Bytes whole = veth_message();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(read_link_message(cut)) << "its header promises more than " << size;
  }
}

TEST(NetlinkLink, AttributesFromAMalformedOneOnDoNotExist) {
  for (const auto length : std::vector<std::uint16_t>{0, 3, 5000}) {
    Bytes broken = bytes_of(nlattr{length, IFLA_MTU});
    const auto link = read_link_message(link_message(
        ARPHRD_ETHER, 0,
        attribute(IFLA_IFNAME, bytes_of("v")) + broken + attribute(IFLA_MASTER, bytes_of(std::uint32_t{3}))));
    ASSERT_TRUE(link) << length;
    EXPECT_EQ(link->mtu, 0U);
    EXPECT_EQ(link->master, 0U);
  }
}

TEST(NetlinkLink, AttributesShorterThanTheirTypeAreAbsent) {
  const auto link =
      read_link_message(link_message(ARPHRD_ETHER, 0,
                                     attribute(IFLA_IFNAME, bytes_of("v")) + attribute(IFLA_MTU, Bytes(3)) +
                                         attribute(IFLA_ADDRESS, Bytes(20))));
  ASSERT_TRUE(link);
  EXPECT_EQ(link->mtu, 0U);
  EXPECT_EQ(link->mac, MacAddress{});
}

Bytes socket_message(int family, const std::vector<std::uint8_t>& address, std::uint16_t port,
                     std::uint16_t peer_port, const Bytes& attributes = {}) {
  inet_diag_msg fixed{};
  fixed.idiag_family = static_cast<std::uint8_t>(family);
  fixed.id.idiag_sport = htons(port);
  fixed.id.idiag_dport = htons(peer_port);
  std::memcpy(fixed.id.idiag_src, address.data(), address.size());
  return message(SOCK_DIAG_BY_FAMILY, bytes_of(fixed) + attributes);
}

TEST(NetlinkSocket, AddressesAsTheModelHasThem) {
  const auto v4 = read_socket_message(socket_message(AF_INET, {10, 0, 0, 1}, 80, 0), IPPROTO_TCP);
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->address.address, (Address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1}));
  EXPECT_EQ(v4->address.port_be, htons(80));
  EXPECT_EQ(v4->address.protocol, IPPROTO_TCP);

  const Bytes only_v6 = attribute(INET_DIAG_SKV6ONLY, bytes_of(std::uint8_t{1}));
  const Bytes both = attribute(INET_DIAG_SKV6ONLY, bytes_of(std::uint8_t{0}));
  EXPECT_TRUE(read_socket_message(socket_message(AF_INET6, {}, 80, 0, only_v6), IPPROTO_UDP)->any_v6_only);
  EXPECT_FALSE(read_socket_message(socket_message(AF_INET6, {}, 80, 0, both), IPPROTO_UDP)->any_v6_only);
  EXPECT_FALSE(
      read_socket_message(socket_message(AF_INET6, {0xfe, 0x80}, 80, 0, only_v6), IPPROTO_UDP)->any_v6_only);
}

TEST(NetlinkSocket, NotAWaitingSocket) {
  EXPECT_FALSE(read_socket_message(socket_message(AF_INET, {}, 0, 0), IPPROTO_UDP)) << "not bound";
  EXPECT_FALSE(read_socket_message(socket_message(AF_INET, {}, 80, 90), IPPROTO_UDP)) << "connected";
  EXPECT_FALSE(read_socket_message(socket_message(AF_UNIX, {}, 80, 0), IPPROTO_UDP));
  EXPECT_FALSE(read_socket_message(veth_message(), IPPROTO_UDP));
  const Bytes whole = socket_message(AF_INET, {10, 0, 0, 1}, 80, 0);
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(read_socket_message(std::span(whole).first(size), IPPROTO_UDP)) << size;
}

TEST(NetlinkAddress, TheLocalOneOfTwo) {
  const auto address = [](int family, const Bytes& attributes) {
    ifaddrmsg fixed{};
    fixed.ifa_family = static_cast<std::uint8_t>(family);
    return read_address_message(message(RTM_NEWADDR, bytes_of(fixed) + attributes));
  };
  const Bytes peer = attribute(IFA_ADDRESS, bytes_of(std::array<std::uint8_t, 4>{10, 0, 0, 2}));
  const Bytes own = attribute(IFA_LOCAL, bytes_of(std::array<std::uint8_t, 4>{10, 0, 0, 1}));
  EXPECT_EQ((*address(AF_INET, peer + own))[15], 1);
  EXPECT_EQ((*address(AF_INET, peer))[15], 2);
  EXPECT_FALSE(address(AF_INET, {}));
  EXPECT_FALSE(address(AF_INET6, own)) << "four bytes are no IPv6 address";
  Address nines;
  nines.fill(9);
  EXPECT_EQ(address(AF_INET6, attribute(IFA_ADDRESS, Bytes(16, std::byte{9}))), nines);
  EXPECT_FALSE(read_address_message(veth_message()));
}

}  // namespace
}  // namespace rheo
