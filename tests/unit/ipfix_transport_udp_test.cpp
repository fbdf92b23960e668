// SPDX-License-Identifier: Apache-2.0
// IPFIX over UDP to real sockets: what arrives, also after the collector was away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <thread>

#include "tests/unit/ipfix_peers.h"

namespace rheo {
namespace {

using test::LoopbackSocket;
using test::make;
using test::message;
using test::options_for;
using test::receive;
using testing::HasSubstr;

IpfixTransportOptions options_to(const LoopbackSocket& collector, const std::string& host = "127.0.0.1") {
  return options_for("udp://" + host + ":" + std::to_string(collector.port()));
}

TEST(IpfixUdp, AMessageIsOneDatagram) {
  for (const char* address : {"127.0.0.1", "::1"}) {
    const LoopbackSocket collector(SOCK_DGRAM, address);
    if (collector.fd() < 0) GTEST_SKIP() << "no " << address << " here";
    const std::string host = address == std::string("::1") ? "[::1]" : address;
    auto transport = make(options_to(collector, host));
    EXPECT_TRUE(transport->unreliable());
    EXPECT_EQ(transport->prepare().value(), true) << host;
    EXPECT_EQ(transport->prepare().value(), false);
    ASSERT_TRUE(transport->send(message(1'000, 'a')));
    ASSERT_TRUE(transport->send(message(20, 'b')));
    EXPECT_EQ(receive(collector.fd(), 65'535), message(1'000, 'a'));
    EXPECT_EQ(receive(collector.fd(), 65'535), message(20, 'b'));
    transport->close();
    EXPECT_EQ(transport->prepare().value(), true) << "a closed transport begins a session";
  }
}

TEST(IpfixUdp, ACollectorThatWasAwayIsNoticedAndMissesNothingAfterwards) {
  LoopbackSocket first(SOCK_DGRAM);
  const std::uint16_t port = first.port();
  auto transport = make(options_to(first));
  ASSERT_TRUE(transport->prepare());
  ASSERT_TRUE(transport->send(message(100)));
  EXPECT_FALSE(transport->peer_may_have_restarted());

  first.close();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(transport->send(message(100))) << "an ICMP error is no failure";
  const LoopbackSocket second(SOCK_DGRAM, "127.0.0.1", port);
  ASSERT_GE(second.fd(), 0);
  // The error of the last of the five is still with the socket: this one must not be what it costs.
  ASSERT_TRUE(transport->send(message(200, 'x')));
  EXPECT_EQ(receive(second.fd(), 1'000), message(200, 'x'));
  EXPECT_EQ(transport->prepare().value(), false) << "still the same session";
  EXPECT_TRUE(transport->peer_may_have_restarted());
  EXPECT_FALSE(transport->peer_may_have_restarted()) << "said once";
}

TEST(IpfixUdp, AnErrorThatCameAfterTheLastMessageIsSeenWithoutSending) {
  LoopbackSocket collector(SOCK_DGRAM);
  auto transport = make(options_to(collector));
  collector.close();
  ASSERT_TRUE(transport->prepare());
  ASSERT_TRUE(transport->send(message(100)));
  EXPECT_TRUE(transport->peer_may_have_restarted());
}

int received_traffic_class(const LoopbackSocket& collector, bool v6) {
  std::byte data[100];
  alignas(cmsghdr) std::byte control[100];
  iovec part{.iov_base = data, .iov_len = sizeof data};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  if (::recvmsg(collector.fd(), &header, 0) < 0 || CMSG_FIRSTHDR(&header) == nullptr) return -1;
  int value = 0;
  std::memcpy(&value, CMSG_DATA(CMSG_FIRSTHDR(&header)), v6 ? sizeof value : 1);
  return value;
}

TEST(IpfixUdp, CarriesTheDscp) {
  const int on = 1;
  const LoopbackSocket four(SOCK_DGRAM);
  const LoopbackSocket six(SOCK_DGRAM, "::1");
  if (six.fd() < 0) GTEST_SKIP() << "no ::1 here";
  ::setsockopt(four.fd(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
  ::setsockopt(six.fd(), IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof on);
  for (const LoopbackSocket* collector : {&four, &six}) {
    const bool v6 = collector == &six;
    auto options = options_to(*collector, v6 ? "[::1]" : "127.0.0.1");
    options.dscp = 46;
    auto transport = make(options);
    ASSERT_TRUE(transport->prepare());
    ASSERT_TRUE(transport->send(message(50)));
    EXPECT_EQ(received_traffic_class(*collector, v6), 46 << 2) << (v6 ? "IPv6" : "IPv4");
  }
}

TEST(IpfixUdp, SendsFromTheSourceAddress) {
  const LoopbackSocket collector(SOCK_DGRAM);
  auto options = options_to(collector);
  options.source_address = "127.0.0.77";
  auto transport = make(options);
  ASSERT_TRUE(transport->prepare());
  ASSERT_TRUE(transport->send(message(50)));
  std::byte data[100];
  sockaddr_in from{};
  socklen_t size = sizeof from;
  ASSERT_EQ(::recvfrom(collector.fd(), data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &size), 50);
  EXPECT_STREQ(::inet_ntoa(from.sin_addr), "127.0.0.77");

  options.source_address = "192.0.2.1";
  EXPECT_THAT(make(options)->prepare().error().what, HasSubstr("send from 192.0.2.1: Cannot assign"));
  options.source_address = "::1";
  EXPECT_THAT(make(options)->prepare().error().what, HasSubstr("no address of the family of ::1"));
}

TEST(IpfixUdp, AMessageThatFitsNoDatagramFailsAndEndsTheSession) {
  const LoopbackSocket collector(SOCK_DGRAM);
  auto transport = make(options_to(collector));
  ASSERT_TRUE(transport->prepare());
  const Status sent = transport->send(test::Bytes(65'600));
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, std::errc::message_size);
  EXPECT_THAT(sent.error().what, HasSubstr("send to udp://127.0.0.1"));
  EXPECT_FALSE(transport->send(message(50))) << "not before prepare()";
  EXPECT_EQ(transport->prepare().value(), true);
  EXPECT_TRUE(transport->send(message(50)));
}

TEST(IpfixUdp, MessagesAreAsLargeAsTheOptionOrAJumboFrame) {
  const LoopbackSocket collector(SOCK_DGRAM);
  auto options = options_to(collector);
  auto transport = make(options);
  ASSERT_TRUE(transport->prepare());
  EXPECT_EQ(transport->max_message_size(), 9'000U - 28U) << "the loopback's MTU is 65,536";
  options.max_message_size = 20'000;
  transport = make(options);
  ASSERT_TRUE(transport->prepare());
  EXPECT_EQ(transport->max_message_size(), 20'000U);
  ASSERT_TRUE(transport->send(message(20'000)));
  EXPECT_EQ(receive(collector.fd(), 65'535), message(20'000));
}

/// In a network namespace of the calling thread: its loopback, up, with this MTU. False: not allowed.
bool enter_namespace(int mtu) {
  if (::unshare(CLONE_NEWNET) != 0) return false;
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_mtu = mtu;
  if (::ioctl(socket.get(), SIOCSIFMTU, &request) != 0) return false;
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

TEST(IpfixUdp, MessagesFitTheRoutesMtu) {
  bool entered = false;
  std::size_t four = 0;
  std::size_t six = 0;
  test::Bytes fragmented;
  std::thread([&] {
    entered = enter_namespace(1'400);
    if (!entered) return;
    const LoopbackSocket collector(SOCK_DGRAM);
    auto transport = make(options_to(collector));
    if (transport->prepare()) four = transport->max_message_size();
    if (transport->send(message(3'000))) fragmented = receive(collector.fd(), 65'535);
    transport = make(options_for("udp://[::1]:4739"));
    if (transport->prepare()) six = transport->max_message_size();
  }).join();
  if (!entered) GTEST_SKIP() << "may not make a network namespace";
  EXPECT_EQ(four, 1'400U - 28U);
  EXPECT_EQ(six, 1'400U - 48U);
  EXPECT_EQ(fragmented, message(3'000)) << "what is larger is fragmented, not lost";
}

}  // namespace
}  // namespace rheo
