// SPDX-License-Identifier: Apache-2.0
// IPFIX over TCP and SCTP to real sockets, and to collectors that refuse, vanish, stall and reset.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/filter.h>
#include <sys/ioctl.h>

#include "tests/unit/ipfix_peers.h"

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

/// From now on the socket's kernel acknowledges nothing that comes in, as if it was not there.
void swallow_everything(int fd) {
  sock_filter drop{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 0};
  const sock_fprog program{.len = 1, .filter = &drop};
  ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
}

class IpfixTcp : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(collector_.listen());
    options_ = options_for(endpoint());
  }
  std::string endpoint() const { return "tcp://127.0.0.1:" + std::to_string(collector_.port()); }

  LoopbackSocket collector_{SOCK_STREAM};
  IpfixTransportOptions options_;
};

TEST_F(IpfixTcp, MessagesArriveInOneSession) {
  auto transport = make(options_);
  EXPECT_FALSE(transport->unreliable());
  EXPECT_EQ(transport->max_message_size(), 16'384U);
  EXPECT_FALSE(transport->send(message(20))) << "not before prepare()";
  EXPECT_EQ(transport->prepare().value(), true);
  const UniqueFd peer = collector_.accept();
  ASSERT_TRUE(transport->send(message(16'384, 'a')));
  EXPECT_EQ(transport->prepare().value(), false);
  ASSERT_TRUE(transport->send(message(100, 'b')));
  EXPECT_EQ(receive(peer.get(), 16'384), message(16'384, 'a'));
  EXPECT_EQ(receive(peer.get(), 100), message(100, 'b'));
  transport->close();
  EXPECT_EQ(receive(peer.get(), 100).size(), 0U) << "the end, without a wait";
}

TEST_F(IpfixTcp, NobodyListeningIsSaidAtOnce) {
  collector_.close();
  options_.connect_timeout = test::kTooLong;
  const std::uint64_t start = monotonic_ns();
  const auto prepared = make(options_)->prepare();
  ASSERT_FALSE(prepared);
  EXPECT_THAT(prepared.error().what, HasSubstr("connect to " + options_.endpoint.text + " (127.0.0.1)"));
  EXPECT_THAT(prepared.error().what, HasSubstr("Connection refused"));
  EXPECT_LT(since(start), test::kPatience);
}

TEST_F(IpfixTcp, ABlackHoleCostsTheConnectTimeout) {
  // A listener whose queue is full drops every SYN.
  ASSERT_TRUE(collector_.listen(0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(collector_.port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ::connect(waiting.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  options_.connect_timeout = milliseconds(300);
  const std::uint64_t start = monotonic_ns();
  const auto prepared = make(options_)->prepare();
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, std::errc::timed_out);
  EXPECT_THAT(prepared.error().what, HasSubstr("no answer within 300 ms"));
  EXPECT_GE(since(start), milliseconds(250));
  EXPECT_LT(since(start), test::kPatience);
}

TEST_F(IpfixTcp, ACollectorThatStopsReadingCostsTheWriteTimeout) {
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  const UniqueFd peer = collector_.accept();
  Status sent = Done{};
  std::uint64_t start = 0;
  for (int i = 0; i < 10'000 && sent; ++i) {
    start = monotonic_ns();
    sent = transport->send(message(16'384));
  }
  ASSERT_FALSE(sent) << "160 MB fit into no socket";
  EXPECT_EQ(sent.error().code, std::errc::timed_out);
  EXPECT_THAT(sent.error().what, HasSubstr("the collector did not take a message within 300 ms"));
  EXPECT_GE(since(start), milliseconds(250));
  EXPECT_LT(since(start), test::kPatience);

  EXPECT_EQ(transport->prepare().value(), true);
  const UniqueFd next = collector_.accept();
  ASSERT_TRUE(transport->send(message(100, 'n')));
  EXPECT_EQ(receive(next.get(), 100), message(100, 'n')) << "the new session begins with a whole message";
}

TEST_F(IpfixTcp, AnEstablishedConnectionIntoABlackHoleIsNoticed) {
  options_.dead_peer_timeout = milliseconds(600);
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  UniqueFd peer = collector_.accept();
  ASSERT_TRUE(transport->send(message(100, 'a')));
  EXPECT_EQ(receive(peer.get(), 100), message(100, 'a'));

  swallow_everything(peer.get());
  const std::uint64_t start = monotonic_ns();
  ASSERT_TRUE(transport->send(message(100, 'b'))) << "nothing is known yet";
  EXPECT_EQ(transport->prepare().value(), false);
  Status sent = Done{};
  while (sent && since(start) < test::kPatience) {
    ::usleep(10'000);
    sent = transport->send(message(100, 'b'));
  }
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().what, HasSubstr("the connection broke: Connection timed out"));
  EXPECT_GE(since(start), milliseconds(550));

  EXPECT_EQ(transport->prepare().value(), true);
  peer = collector_.accept();
  ASSERT_TRUE(transport->send(message(100, 'n')));
  EXPECT_EQ(receive(peer.get(), 100), message(100, 'n'));
}

TEST_F(IpfixTcp, LittleWaitsInsideAConnectionThatIsNotRead) {
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  const UniqueFd peer = collector_.accept();
  std::size_t taken = 0;
  while (taken < 64U << 20U && transport->send(message(16'384))) taken += 16'384;
  int unread = 0;
  ASSERT_EQ(::ioctl(peer.get(), FIONREAD, &unread), 0);
  EXPECT_LE(taken - static_cast<std::size_t>(unread), 256U << 10U) << unread << " bytes are with the peer";
}

TEST_F(IpfixTcp, ABatchIsConfirmedWhenThePeerHasIt) {
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  const UniqueFd peer = collector_.accept();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(transport->send(message(1'000)));
  const Status arrived = transport->confirm();
  ASSERT_TRUE(arrived) << arrived.error().what;
  EXPECT_EQ(transport->unconfirmed(), 0U);

  EXPECT_EQ(transport->prepare().value(), false);
  ASSERT_TRUE(transport->send(message(1'000)));
  ASSERT_TRUE(transport->confirm());
  swallow_everything(peer.get());
  ASSERT_TRUE(transport->send(message(1'000)));
  ASSERT_TRUE(transport->send(message(1'000)));
  const std::uint64_t start = monotonic_ns();
  const Status lost = transport->confirm();
  ASSERT_FALSE(lost);
  EXPECT_THAT(lost.error().what, HasSubstr("the collector did not acknowledge what was sent within 300 ms"));
  EXPECT_LT(since(start), test::kPatience);
  EXPECT_EQ(transport->unconfirmed(), 2U) << "of three";
  transport->close();
  EXPECT_EQ(transport->unconfirmed(), 2U);
  EXPECT_EQ(transport->prepare().value(), true);
  EXPECT_EQ(transport->unconfirmed(), 0U);
}

TEST_F(IpfixTcp, AStallTellsWhatHadArrived) {
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  UniqueFd peer = collector_.accept();
  ASSERT_TRUE(transport->send(message(1'000)));
  EXPECT_EQ(receive(peer.get(), 1'000).size(), 1'000U);
  Status sent = Done{};
  std::size_t taken = 0;
  for (; taken < 10'000; ++taken)
    if (sent = transport->send(message(16'384)); !sent) break;
  ASSERT_EQ(sent.error().code, std::errc::timed_out);
  const std::size_t unread = receive(peer.get(), 64U << 20U, milliseconds(200)).size();
  EXPECT_EQ(transport->unconfirmed(), taken - unread / 16'384);
}

TEST_F(IpfixTcp, AResetMidMessageFailsItAndBeginsANewSession) {
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  UniqueFd peer = collector_.accept();
  const int small = 4'096;
  ::setsockopt(peer.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  Status sent = Done{};
  for (int i = 0; i < 10'000 && sent; ++i) {
    sent = transport->send(message(16'384));
    if (i != 0) continue;
    receive(peer.get(), 5);
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    peer.reset();
  }
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().what, HasSubstr("the connection broke: Connection reset by peer"));
  EXPECT_EQ(transport->prepare().value(), true);
  peer = collector_.accept();
  ASSERT_TRUE(transport->send(message(100, 'n')));
  EXPECT_EQ(receive(peer.get(), 100), message(100, 'n'));
}

TEST_F(IpfixTcp, ACollectorThatClosedWhileIdleLosesNoMessage) {
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  collector_.accept().reset();
  ::usleep(20'000);
  const Status sent = transport->send(message(100));
  ASSERT_FALSE(sent) << "a kernel would have taken it";
  EXPECT_THAT(sent.error().what, HasSubstr("the collector closed the connection"));

  ASSERT_TRUE(transport->prepare());
  collector_.accept().reset();
  ::usleep(20'000);
  EXPECT_EQ(transport->prepare().value(), true) << "seen before the batch: no failure at all";
  const UniqueFd peer = collector_.accept();
  ASSERT_TRUE(transport->send(message(100)));
  EXPECT_EQ(receive(peer.get(), 100), message(100));
}

TEST_F(IpfixTcp, WhatACollectorSaysIsThrownAway) {
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  const UniqueFd peer = collector_.accept();
  ASSERT_EQ(::send(peer.get(), "hello\n", 6, 0), 6);
  ::usleep(10'000);
  EXPECT_EQ(transport->prepare().value(), false);
  EXPECT_TRUE(transport->send(message(100)));
  EXPECT_EQ(receive(peer.get(), 100), message(100));
}

TEST(IpfixSctpAbsent, AKernelWithoutItIsSaidInOneSentence) {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP));
  if (probe) GTEST_SKIP() << "this kernel has SCTP";
  const auto transport = make_ipfix_transport(options_for("sctp://127.0.0.1"));
  ASSERT_FALSE(transport);
  EXPECT_EQ(transport.error().code, std::errc::protocol_not_supported);
  EXPECT_THAT(transport.error().what, HasSubstr("this kernel has no SCTP"));
}

class IpfixSctp : public testing::Test {
 protected:
  void SetUp() override {
    collector_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP));
    if (!collector_) GTEST_SKIP() << "this kernel has no SCTP: " << std::strerror(errno);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof own;
    ASSERT_EQ(::bind(collector_.get(), reinterpret_cast<sockaddr*>(&own), size), 0);
    ASSERT_EQ(::listen(collector_.get(), 8), 0);
    ::getsockname(collector_.get(), reinterpret_cast<sockaddr*>(&own), &size);
    auto options = options_for("sctp://127.0.0.1:" + std::to_string(ntohs(own.sin_port)));
    options.dead_peer_timeout = milliseconds(1'000);
    transport_ = make(options);
    ASSERT_TRUE(transport_);
  }
  UniqueFd accept() const { return UniqueFd(::accept(collector_.get(), nullptr, nullptr)); }

  UniqueFd collector_;
  std::unique_ptr<IpfixTransport> transport_;
  std::byte data_[20'000];
};

TEST_F(IpfixSctp, AMessageIsOneUserMessage) {
  ASSERT_EQ(transport_->prepare().value(), true);
  const UniqueFd peer = accept();
  ASSERT_TRUE(transport_->send(message(5'000, 'a')));
  ASSERT_TRUE(transport_->send(message(100, 'b')));
  EXPECT_TRUE(transport_->confirm());
  EXPECT_EQ(transport_->prepare().value(), false);
  EXPECT_EQ(::recv(peer.get(), data_, sizeof data_, 0), 5'000);
  EXPECT_EQ(::recv(peer.get(), data_, sizeof data_, 0), 100);
}

TEST_F(IpfixSctp, ACollectorThatClosedGetsANewSession) {
  ASSERT_EQ(transport_->prepare().value(), true);
  accept().reset();
  ::usleep(50'000);
  EXPECT_EQ(transport_->prepare().value(), true);
  const UniqueFd peer = accept();
  ASSERT_TRUE(transport_->send(message(100, 'a')));
  EXPECT_EQ(::recv(peer.get(), data_, sizeof data_, 0), 100);
}

TEST_F(IpfixSctp, AnAssociationIntoABlackHoleIsNoticed) {
  ASSERT_EQ(transport_->prepare().value(), true);
  UniqueFd peer = accept();
  ASSERT_TRUE(transport_->send(message(100, 'a')));
  EXPECT_EQ(::recv(peer.get(), data_, sizeof data_, 0), 100);
  swallow_everything(peer.get());
  const std::uint64_t start = monotonic_ns();
  Status sent = Done{};
  while (sent && since(start) < test::kPatience) {
    sent = transport_->send(message(100, 'b'));
    ::usleep(100'000);  // the buffer does not become full
  }
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().what, HasSubstr("Connection timed out"));
  EXPECT_GE(since(start), milliseconds(400));
  EXPECT_EQ(transport_->prepare().value(), true);
  peer = accept();
  ASSERT_TRUE(transport_->send(message(100, 'n')));
  EXPECT_EQ(::recv(peer.get(), data_, sizeof data_, 0), 100);
}

TEST_F(IpfixSctp, ACollectorThatStopsReadingCostsTheWriteTimeout) {
  ASSERT_EQ(transport_->prepare().value(), true);
  const UniqueFd peer = accept();
  Status sent = Done{};
  std::uint64_t start = 0;
  for (int i = 0; i < 10'000 && sent; ++i) {
    start = monotonic_ns();
    sent = transport_->send(message(16'384));
  }
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, std::errc::timed_out);
  EXPECT_GE(since(start), milliseconds(250));
  EXPECT_EQ(transport_->prepare().value(), true);
  const UniqueFd next = accept();
  ASSERT_TRUE(transport_->send(message(100, 'n')));
  EXPECT_EQ(::recv(next.get(), data_, sizeof data_, 0), 100);
}

}  // namespace
}  // namespace rheo
