// SPDX-License-Identifier: Apache-2.0
// Collectors by name while the name service answers late, wrongly or never. This program's getaddrinfo(3)
// goes before the C library's, so that each of these happens when the test says so.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <atomic>
#include <thread>

#include "tests/unit/ipfix_peers.h"

namespace {

std::atomic<bool> g_stuck = false;
std::atomic<bool> g_moved = false;
std::atomic<bool> g_both = false;  // 127.0.0.2, then 127.0.0.1
std::atomic<int> g_asked = 0;

}  // namespace

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
  using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  if ((hints->ai_flags & AI_NUMERICHOST) != 0) return real(node, service, hints, found);
  ++g_asked;
  while (g_stuck) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  if (node == std::string("absent.test")) return EAI_NONAME;
  if (g_both) {
    const int error = real("127.0.0.2", service, hints, found);
    return error != 0 ? error : real("127.0.0.1", service, hints, &(*found)->ai_next);
  }
  return real(g_moved ? "127.0.0.2" : "127.0.0.1", service, hints, found);
}

namespace rheo {
namespace {

using test::LoopbackSocket;
using test::make;
using test::message;
using test::milliseconds;
using test::options_for;
using test::receive;
using test::since;
using testing::HasSubstr;

TEST(IpfixNames, ANameThatIsNotThereIsSaid) {
  for (const char* endpoint : {"udp://absent.test", "tcp://absent.test", "sctp://absent.test"}) {
    auto transport = make_ipfix_transport(options_for(endpoint));
    if (!transport && transport.error().code == std::errc::protocol_not_supported) continue;
    const auto prepared = (*transport)->prepare();
    ASSERT_FALSE(prepared);
    EXPECT_THAT(prepared.error().what, HasSubstr("connect to " + std::string(endpoint)));
    EXPECT_THAT(prepared.error().what,
                HasSubstr("ask for the address of absent.test: Name or service not known"));
  }
}

TEST(IpfixNames, AStuckNameServiceCostsTheConnectTimeoutAndOneThread) {
  LoopbackSocket collector(SOCK_STREAM);
  ASSERT_TRUE(collector.listen());
  auto options = options_for("tcp://collector.test:" + std::to_string(collector.port()));
  options.connect_timeout = milliseconds(200);
  auto transport = make(options);
  const int asked = g_asked;
  g_stuck = true;
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t start = monotonic_ns();
    const auto prepared = transport->prepare();
    ASSERT_FALSE(prepared);
    EXPECT_EQ(prepared.error().code, std::errc::timed_out);
    EXPECT_THAT(prepared.error().what, HasSubstr("no answer within 200 ms"));
    EXPECT_GE(since(start), milliseconds(150));
    EXPECT_LT(since(start), test::kPatience);
  }
  EXPECT_EQ(g_asked - asked, 1);
  g_stuck = false;
  auto prepared = transport->prepare();
  const std::uint64_t start = monotonic_ns();
  while (!prepared && since(start) < test::kPatience) prepared = transport->prepare();
  ASSERT_TRUE(prepared) << prepared.error().what;
  EXPECT_TRUE(*prepared) << "the late answer is used";
  EXPECT_EQ(g_asked - asked, 1);
}

TEST(IpfixNames, ATransportMayGoWhileTheNameServiceIsStuck) {
  auto options = options_for("udp://collector.test");
  options.connect_timeout = milliseconds(50);
  g_stuck = true;
  {
    auto transport = make(options);
    EXPECT_FALSE(transport->prepare());
  }
  g_stuck = false;
  std::this_thread::sleep_for(milliseconds(50));
}

TEST(IpfixNames, AStreamAsksAgainForEachConnection) {
  LoopbackSocket here(SOCK_STREAM);
  ASSERT_TRUE(here.listen());
  LoopbackSocket there(SOCK_STREAM, "127.0.0.2", here.port());
  ASSERT_TRUE(there.listen());
  auto transport = make(options_for("tcp://collector.test:" + std::to_string(here.port())));
  ASSERT_TRUE(transport->prepare());
  EXPECT_TRUE(here.accept());
  g_moved = true;
  transport->close();
  ASSERT_TRUE(transport->prepare());
  EXPECT_TRUE(there.accept());
  g_moved = false;
}

TEST(IpfixNames, UdpFollowsANameThatMovedWithoutWaiting) {
  const LoopbackSocket here(SOCK_DGRAM);
  const LoopbackSocket there(SOCK_DGRAM, "127.0.0.2", here.port());
  ASSERT_GE(there.fd(), 0);
  auto options = options_for("udp://collector.test:" + std::to_string(here.port()));
  options.resolve_interval = milliseconds(50);
  options.connect_timeout = test::kTooLong;
  auto transport = make(options);
  ASSERT_TRUE(transport->prepare());
  ASSERT_TRUE(transport->send(message(100, 'a')));
  EXPECT_EQ(receive(here.fd(), 1'000), message(100, 'a'));

  std::this_thread::sleep_for(milliseconds(60));
  g_stuck = true;
  const std::uint64_t start = monotonic_ns();
  EXPECT_EQ(transport->prepare().value(), false) << "the old address is kept meanwhile";
  EXPECT_LT(since(start), test::kPatience);
  g_moved = true;
  g_stuck = false;
  bool session = false;
  for (int i = 0; i < 2'000 && !session; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    session = transport->prepare().value();
  }
  EXPECT_TRUE(session) << "a new address is a new session";
  ASSERT_TRUE(transport->send(message(100, 'b')));
  EXPECT_EQ(receive(there.fd(), 1'000), message(100, 'b'));
  g_moved = false;
}

TEST(IpfixNames, UdpTurnsToANamesNextAddressWhenThisOneRefuses) {
  const LoopbackSocket second(SOCK_DGRAM);  // nobody is at the first
  auto transport = make(options_for("udp://collector.test:" + std::to_string(second.port())));
  g_both = true;
  bool arrived = false;
  int sessions = 0;
  for (int i = 0; i < 100 && !arrived; ++i) {
    const auto prepared = transport->prepare();
    ASSERT_TRUE(prepared);
    if (*prepared) ++sessions;
    ASSERT_TRUE(transport->send(message(100)));
    arrived = !receive(second.fd(), 100, milliseconds(50)).empty();
  }
  g_both = false;
  EXPECT_TRUE(arrived);
  EXPECT_EQ(sessions, 2) << "another address is another session";
}

}  // namespace
}  // namespace rheo
