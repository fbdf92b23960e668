// SPDX-License-Identifier: Apache-2.0
// Real links and sockets, in a network namespace of the test's own: nothing of the host is touched.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "daemon/base/unique_fd.h"
#include "netlink/address_watcher.h"
#include "netlink/link_watcher.h"
#include "netlink/links.h"
#include "netlink/listeners.h"

namespace rheo {
namespace {

/// The thread of the test lives in a namespace that goes with it.
class NetlinkNamespace : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make a network namespace";
    if (::unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "unshare: " << std::strerror(errno);
    if (std::system("ip -V >/dev/null 2>&1") != 0) GTEST_SKIP() << "needs ip(8)";
  }

  static void run(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }
};

const Link* find(const LinkTable& links, std::string_view name) {
  for (const auto& [index, link] : links)
    if (link.name == name) return &link;
  return nullptr;
}

TEST_F(NetlinkNamespace, Links) {
  run("ip link set lo up");
  run("ip link add rheo-nl0 type veth peer name rheo-nl1");
  run("ip link add rheo-nlbr type bridge && ip link set rheo-nl1 master rheo-nlbr");
  run("ip link set rheo-nl0 up mtu 1400 address 02:00:00:00:00:07");

  const auto links = dump_links();
  ASSERT_TRUE(links) << links.error().what;
  const Link* const lo = find(*links, "lo");
  const Link* const veth = find(*links, "rheo-nl0");
  const Link* const peer = find(*links, "rheo-nl1");
  const Link* const bridge = find(*links, "rheo-nlbr");
  ASSERT_TRUE(lo != nullptr && veth != nullptr && peer != nullptr && bridge != nullptr);
  EXPECT_TRUE(lo->loopback && lo->up);
  EXPECT_EQ(lo->layer, LinkLayer::ethernet);
  EXPECT_EQ(veth->kind, "veth");
  EXPECT_TRUE(veth->up);
  EXPECT_EQ(veth->mtu, 1400U);
  EXPECT_EQ(veth->mac, (MacAddress{2, 0, 0, 0, 0, 7}));
  EXPECT_EQ(veth->lower, peer->index);
  EXPECT_EQ(veth->index, ::if_nametoindex("rheo-nl0"));
  EXPECT_EQ(peer->master, bridge->index);
  EXPECT_FALSE(peer->up);
}

TEST_F(NetlinkNamespace, ATunHasNoLinkLayer) {
  const UniqueFd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun) GTEST_SKIP() << "/dev/net/tun: " << std::strerror(errno);
  ifreq request{};
  std::strcpy(request.ifr_name, "rheo-tun");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (::ioctl(tun.get(), TUNSETIFF, &request) != 0) GTEST_SKIP() << "TUNSETIFF: " << std::strerror(errno);

  const auto links = dump_links();
  ASSERT_TRUE(links) << links.error().what;
  const Link* const link = find(*links, "rheo-tun");
  ASSERT_NE(link, nullptr);
  EXPECT_EQ(link->layer, LinkLayer::none);
  EXPECT_EQ(link->kind, "tun");
}

TEST_F(NetlinkNamespace, LinksOfManyDatagramsAreAllThere) {
  std::string batch;
  for (int i = 0; i < 150; ++i) batch += "link add rheo-d" + std::to_string(i) + " type bridge\\n";
  run("printf '" + batch + "' | ip -batch -");
  const auto links = dump_links();
  ASSERT_TRUE(links) << links.error().what;
  EXPECT_NE(find(*links, "rheo-d0"), nullptr);
  EXPECT_NE(find(*links, "rheo-d149"), nullptr);
  EXPECT_GE(links->size(), 151U);
}

TEST_F(NetlinkNamespace, AWatcherSeesWhatComesChangesAndGoes) {
  auto watcher = LinkWatcher::open();
  ASSERT_TRUE(watcher) << watcher.error().what;
  run("ip link add rheo-nl0 type veth peer name rheo-nl1");
  auto changes = watcher->read();
  ASSERT_TRUE(changes && changes->any && changes->gone.empty());
  const Link* link = find(watcher->links(), "rheo-nl0");
  ASSERT_NE(link, nullptr);
  const std::uint32_t index = link->index;
  EXPECT_EQ(link->kind, "veth");
  EXPECT_FALSE(watcher->read()->any);

  run("ip link set rheo-nl0 name rheo-new && ip link set rheo-new up");
  EXPECT_TRUE(watcher->read()->any);
  link = find(watcher->links(), "rheo-new");
  ASSERT_TRUE(link != nullptr && link->up && link->index == index);

  // The same number is another link's, and nothing was read in between.
  run("ip link delete rheo-new && ip link add rheo-nl2 index " + std::to_string(index) + " type bridge");
  changes = watcher->read();
  EXPECT_TRUE(changes->gone.contains(index));
  ASSERT_TRUE(watcher->links().contains(index));
  EXPECT_EQ(watcher->links().at(index).kind, "bridge");
  EXPECT_EQ(watcher->links(), *dump_links());
  EXPECT_EQ(watcher->overruns(), 0U);
}

TEST_F(NetlinkNamespace, AWatcherThatMissedSomethingAsksAgain) {
  auto watcher = LinkWatcher::open();
  ASSERT_TRUE(watcher) << watcher.error().what;
  const int little = 1;  // the kernel makes it a few KiB
  ASSERT_EQ(::setsockopt(watcher->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &little, sizeof little), 0);
  std::string batch;
  for (int i = 0; i < 100; ++i) batch += "link add rheo-d" + std::to_string(i) + " type bridge\\n";
  run("printf '" + batch + "' | ip -batch -");
  const auto changes = watcher->read();
  ASSERT_TRUE(changes) << changes.error().what;
  EXPECT_TRUE(changes->resynced);
  EXPECT_EQ(watcher->overruns(), 1U);
  while (watcher->read()->any) {
  }
  EXPECT_EQ(watcher->links(), *dump_links());
}

// What is left of the messages tells of links that have come; that they have gone is lost.
TEST_F(NetlinkNamespace, AWatcherThatMissedTheEndOfLinksDoesNotHaveThem) {
  auto watcher = LinkWatcher::open();
  ASSERT_TRUE(watcher) << watcher.error().what;
  const int little = 30'000;
  ASSERT_EQ(::setsockopt(watcher->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &little, sizeof little), 0);
  std::string batch;
  for (const char* verb : {"add", "delete"})
    for (int i = 0; i < 40; ++i)
      batch += std::string("link ") + verb + " rheo-d" + std::to_string(i) + " type bridge\\n";
  run("printf '" + batch + "' | ip -batch -");
  ASSERT_TRUE(watcher->read());
  EXPECT_EQ(watcher->overruns(), 1U);
  while (watcher->read()->any) {
  }
  EXPECT_EQ(watcher->links(), *dump_links());
}

const LinkAddresses* addresses_of(const AddressWatcher& watcher, const std::string& name) {
  const auto found = watcher.table().find(::if_nametoindex(name.c_str()));
  return found == watcher.table().end() ? nullptr : found->second.get();
}

TEST_F(NetlinkNamespace, AWatcherOfAddressesFollowsThem) {
  run("ip link add rheo-nl0 type veth peer name rheo-nl1 && ip link set rheo-nl0 up addrgenmode none");
  run("ip address add 192.0.2.7/24 dev rheo-nl0");
  auto watcher = AddressWatcher::open();
  ASSERT_TRUE(watcher) << watcher.error().what;
  const LinkAddresses* now = addresses_of(*watcher, "rheo-nl0");
  ASSERT_NE(now, nullptr);
  EXPECT_EQ(now->own.size(), 1U);
  EXPECT_EQ(now->own.begin()->prefix, 24);
  EXPECT_TRUE(now->neighbours.empty());

  const std::shared_ptr<const LinkAddresses> kept = watcher->table().at(::if_nametoindex("rheo-nl0"));
  run("ip address add 2001:db8::7/64 dev rheo-nl0 nodad");
  run("ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev rheo-nl0 nud stale");
  ASSERT_TRUE(watcher->read());
  now = addresses_of(*watcher, "rheo-nl0");
  EXPECT_EQ(now->own.size(), 2U);
  EXPECT_TRUE(now->own.rbegin()->ipv6);
  ASSERT_EQ(now->neighbours.size(), 1U);
  EXPECT_EQ(now->neighbours.begin()->second, (MacAddress{2, 0, 0, 0, 0, 9}));
  EXPECT_EQ(kept->own.size(), 1U) << "what was published does not change";

  run("ip neighbour delete 192.0.2.9 dev rheo-nl0 && ip address flush dev rheo-nl0");
  ASSERT_TRUE(watcher->read());
  EXPECT_EQ(addresses_of(*watcher, "rheo-nl0"), nullptr) << "nothing is there";
  EXPECT_EQ(watcher->overruns(), 0U);
}

TEST_F(NetlinkNamespace, AWatcherOfAddressesThatMissedSomethingAsksAgain) {
  run("ip link add rheo-nl0 type veth peer name rheo-nl1 && ip link set rheo-nl0 up addrgenmode none");
  auto watcher = AddressWatcher::open();
  ASSERT_TRUE(watcher) << watcher.error().what;
  const int little = 30'000;
  ASSERT_EQ(::setsockopt(watcher->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &little, sizeof little), 0);
  std::string batch = "address add 192.0.2.7/24 dev rheo-nl0\\n";
  for (int i = 0; i < 1'000; ++i) {
    const std::string address =
        " 10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + "/32 dev rheo-nl0\\n";
    batch += "address add" + address + "address delete" + address;
  }
  run("printf '" + batch + "' | ip -batch -");
  ASSERT_TRUE(watcher->read());
  EXPECT_EQ(watcher->overruns(), 1U);
  ASSERT_TRUE(watcher->read());
  const LinkAddresses* now = addresses_of(*watcher, "rheo-nl0");
  ASSERT_NE(now, nullptr);
  EXPECT_EQ(now->own.size(), 1U) << "those that were deleted are not there";
}

struct Open {
  int family;
  int type;
  int protocol;
  const char* address;
  std::uint16_t port;
  bool v6_only = false;
  bool listen = false;
};

/// Nothing where the kernel does not have the protocol.
UniqueFd open_socket(const Open& open) {
  UniqueFd fd(::socket(open.family, open.type | SOCK_CLOEXEC, open.protocol));
  if (!fd) return fd;
  sockaddr_in6 v6{};
  sockaddr_in v4{};
  const int v6_only = open.v6_only ? 1 : 0;
  v6.sin6_family = AF_INET6;
  v4.sin_family = AF_INET;
  v6.sin6_port = v4.sin_port = htons(open.port);
  ::inet_pton(open.family, open.address,
              open.family == AF_INET6 ? static_cast<void*>(&v6.sin6_addr) : &v4.sin_addr);
  if (open.family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
  const int bound = open.family == AF_INET6 ? ::bind(fd.get(), reinterpret_cast<sockaddr*>(&v6), sizeof(v6))
                                            : ::bind(fd.get(), reinterpret_cast<sockaddr*>(&v4), sizeof(v4));
  EXPECT_EQ(bound, 0) << std::strerror(errno);
  if (open.listen) {
    EXPECT_EQ(::listen(fd.get(), 5), 0) << std::strerror(errno);
  }
  return fd;
}

bool has(const Listeners& listeners, int protocol, int family, const char* text, std::uint16_t port) {
  Address address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
  ::inet_pton(family, text, family == AF_INET6 ? address.data() : address.data() + 12);
  return listeners.has(static_cast<std::uint8_t>(protocol), address, htons(port));
}

class NetlinkListeners : public NetlinkNamespace {
 protected:
  void SetUp() override {
    NetlinkNamespace::SetUp();
    if (IsSkipped()) return;
    run("ip link set lo up && ip addr add 192.0.2.1/32 dev lo && ip -6 addr add 2001:db8::1/128 dev lo");
  }
};

TEST_F(NetlinkListeners, TcpAndUdp) {
  const UniqueFd tcp4 = open_socket({AF_INET, SOCK_STREAM, 0, "0.0.0.0", 8001, false, true});
  const UniqueFd tcp_one = open_socket({AF_INET, SOCK_STREAM, 0, "127.0.0.1", 8002, false, true});
  const UniqueFd tcp_both = open_socket({AF_INET6, SOCK_STREAM, 0, "::", 8003, false, true});
  const UniqueFd tcp6 = open_socket({AF_INET6, SOCK_STREAM, 0, "::", 8004, true, true});
  const UniqueFd not_listening = open_socket({AF_INET, SOCK_STREAM, 0, "0.0.0.0", 8005});
  const UniqueFd udp4 = open_socket({AF_INET, SOCK_DGRAM, 0, "192.0.2.1", 9001});
  const UniqueFd udp_both = open_socket({AF_INET6, SOCK_DGRAM, 0, "::", 9002});
  const UniqueFd connected = open_socket({AF_INET, SOCK_DGRAM, 0, "127.0.0.1", 9003});
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(53);
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(connected.get(), reinterpret_cast<sockaddr*>(&peer), sizeof(peer)), 0);

  const auto listeners = dump_listeners();
  ASSERT_TRUE(listeners) << listeners.error().what;
  EXPECT_TRUE(has(*listeners, IPPROTO_TCP, AF_INET, "192.0.2.1", 8001));
  EXPECT_TRUE(has(*listeners, IPPROTO_TCP, AF_INET, "127.0.0.1", 8001));
  EXPECT_FALSE(has(*listeners, IPPROTO_TCP, AF_INET, "192.0.2.2", 8001)) << "no address of this host";
  EXPECT_FALSE(has(*listeners, IPPROTO_UDP, AF_INET, "192.0.2.1", 8001));
  EXPECT_TRUE(has(*listeners, IPPROTO_TCP, AF_INET, "127.0.0.1", 8002));
  EXPECT_FALSE(has(*listeners, IPPROTO_TCP, AF_INET, "192.0.2.1", 8002));
  EXPECT_TRUE(has(*listeners, IPPROTO_TCP, AF_INET, "192.0.2.1", 8003));
  EXPECT_TRUE(has(*listeners, IPPROTO_TCP, AF_INET6, "2001:db8::1", 8003));
  EXPECT_TRUE(has(*listeners, IPPROTO_TCP, AF_INET6, "2001:db8::1", 8004));
  EXPECT_FALSE(has(*listeners, IPPROTO_TCP, AF_INET, "192.0.2.1", 8004)) << "IPv6 only";
  EXPECT_FALSE(has(*listeners, IPPROTO_TCP, AF_INET, "192.0.2.1", 8005)) << "bound, not listening";
  EXPECT_TRUE(has(*listeners, IPPROTO_UDP, AF_INET, "192.0.2.1", 9001));
  EXPECT_TRUE(has(*listeners, IPPROTO_UDP, AF_INET6, "::1", 9002));
  EXPECT_FALSE(has(*listeners, IPPROTO_UDP, AF_INET, "127.0.0.1", 9003)) << "connected";
}

TEST_F(NetlinkListeners, UdpLite) {
  const UniqueFd fd = open_socket({AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, "0.0.0.0", 9101});
  if (!fd) GTEST_SKIP() << "UDP-Lite: " << std::strerror(errno);
  const auto listeners = dump_listeners();
  ASSERT_TRUE(listeners) << listeners.error().what;
  EXPECT_TRUE(has(*listeners, IPPROTO_UDPLITE, AF_INET, "192.0.2.1", 9101));
}

TEST_F(NetlinkListeners, Sctp) {
  if (::access("/proc/net/sctp", F_OK) != 0) GTEST_SKIP() << "this kernel has no SCTP loaded";
  const UniqueFd fd = open_socket({AF_INET, SOCK_STREAM, IPPROTO_SCTP, "127.0.0.1", 9201, false, true});
  if (!fd) GTEST_SKIP() << "SCTP: " << std::strerror(errno);
  const auto listeners = dump_listeners();
  ASSERT_TRUE(listeners) << listeners.error().what;
  EXPECT_TRUE(has(*listeners, IPPROTO_SCTP, AF_INET, "127.0.0.1", 9201));
}

}  // namespace
}  // namespace rheo
