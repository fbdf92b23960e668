// SPDX-License-Identifier: Apache-2.0
// IPFIX over TLS and DTLS to `openssl s_server`, with certificates made here: what arrives, and what is
// refused in which words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "tests/unit/ipfix_peers.h"
#include "tests/unit/tls_collector.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using test::LoopbackSocket;
using test::make;
using test::message;
using test::milliseconds;
using test::options_for;
using test::read;
using test::since;
using test::TlsCollector;
using testing::HasSubstr;

/// Both protocols: the parameter is the scheme.
class IpfixSecure : public testing::TestWithParam<const char*> {
 public:
  static void SetUpTestSuite() {
    if (!folder_.empty()) return;
    ::signal(SIGPIPE, SIG_IGN);  // as rheod does
    std::string name = testing::TempDir() + "rheo-tls-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) return;
    folder_ = name;
    const std::string script = R"(set -e
      ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
               -keyout $1.key -out $1.pem; }
      leaf() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
                 -keyout $1.key -out $1.csr
               printf "subjectAltName=%s\n" "$3" >$1.ext
               openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days "$2" -extfile $1.ext \
                 -out $1.pem; }
      ca ca; ca other
      leaf server 2 DNS:localhost,IP:127.0.0.1
      leaf named 2 DNS:collector.example
      leaf expired 0 DNS:localhost,IP:127.0.0.1
      leaf client 2 DNS:exporter.example
      openssl pkey -in client.key -aes128 -passout pass:x -out locked.key)";
    const std::string command = "cd " + name + " && { " + script + "\n} >log 2>&1";
    ready_ = std::system(command.c_str()) == 0;
  }
  static void TearDownTestSuite() {
    fs::remove_all(folder_);
    folder_.clear();
  }

 protected:
  void SetUp() override { ASSERT_TRUE(ready_) << read(folder_ / "log"); }

  bool dtls() const { return GetParam() == std::string("dtls"); }
  static std::string file(const std::string& name) { return (folder_ / name).string(); }

  std::unique_ptr<TlsCollector> start(const std::string& certificate, std::vector<std::string> more = {},
                                      std::uint16_t port = 0) {
    more.insert(more.end(), {"-cert", file(certificate + ".pem"), "-key", file(certificate + ".key")});
    if (dtls()) more.emplace_back("-dtls");
    return std::make_unique<TlsCollector>(folder_, more, port);
  }

  IpfixTransportOptions options_to(std::uint16_t port, const std::string& host = "127.0.0.1") {
    auto options = options_for(std::string(GetParam()) + "://" + host + ":" + std::to_string(port));
    options.tls.ca_cert = file("ca.pem");
    return options;
  }

  /// The sentence of a session that did not come to be.
  static std::string refusal(const IpfixTransportOptions& options) {
    auto transport = make_ipfix_transport(options);
    if (!transport) return transport.error().what;
    const auto prepared = (*transport)->prepare();
    return prepared ? "it was prepared" : prepared.error().what;
  }

  static inline fs::path folder_;
  static inline bool ready_ = false;
};

TEST_P(IpfixSecure, MessagesArriveAtAVerifiedCollector) {
  const auto collector = start("server");
  for (const char* host : {"127.0.0.1", "localhost"}) {
    auto transport = make(options_to(collector->port(), host));
    ASSERT_TRUE(transport);
    EXPECT_EQ(transport->unreliable(), dtls());
    const auto prepared = transport->prepare();
    ASSERT_TRUE(prepared) << prepared.error().what;
    EXPECT_TRUE(*prepared);
    const std::size_t size = transport->max_message_size();
    if (dtls()) {
      EXPECT_GT(size, 8'800U);
      EXPECT_LT(size, 9'000U - 28U) << "there is a record around it";
    } else {
      EXPECT_EQ(size, 16'384U);
    }
    ASSERT_TRUE(transport->send(message(size, host[0])));
    EXPECT_TRUE(collector->received(message(size, host[0])));
    EXPECT_EQ(transport->prepare().value(), false);
    ASSERT_TRUE(transport->send(message(100, 'z')));
    EXPECT_TRUE(collector->received(message(100, 'z')));
  }
}

TEST_P(IpfixSecure, CertificatesThatAreWrongAreRefusedInASentence) {
  const auto good = start("server");
  auto options = options_to(good->port());
  options.tls.ca_cert = file("other.pem");
  EXPECT_THAT(refusal(options),
              HasSubstr("the collector's certificate is not signed by an authority of tls_ca_cert " +
                        file("other.pem")));
  EXPECT_THAT(refusal(options), HasSubstr("connect to " + options.endpoint.text + " (127.0.0.1)"));

  const auto expired = start("expired");
  EXPECT_THAT(refusal(options_to(expired->port())), HasSubstr("the collector's certificate has expired"));

  const auto named = start("named");
  EXPECT_THAT(refusal(options_to(named->port())),
              HasSubstr("the collector's certificate is not for 127.0.0.1"));
  EXPECT_THAT(refusal(options_to(named->port(), "localhost")), HasSubstr("certificate is not for localhost"));
  options = options_to(named->port());
  options.tls.server_name = "collector.example";
  EXPECT_EQ(refusal(options), "it was prepared");
  options.tls.server_name = "";
  options.tls.insecure_skip_verify = true;
  EXPECT_EQ(refusal(options), "it was prepared");
}

TEST_P(IpfixSecure, AClientCertificateIsShownAndAskedForInASentence) {
  std::vector<std::vector<std::string>> versions = {{"-tls1_2"}, {"-tls1_3"}};
  if (dtls()) versions = {{}};
  for (std::vector<std::string> arguments : versions) {
    const std::string version = arguments.empty() ? "dtls" : arguments[0];
    arguments.insert(arguments.end(), {"-Verify", "1", "-verify_return_error", "-CAfile", file("ca.pem")});
    const auto collector = start("server", arguments);
    auto options = options_to(collector->port());
    EXPECT_THAT(
        refusal(options),
        HasSubstr("the collector asks for a client certificate: set tls_client_cert and tls_client_key"))
        << version;

    options.tls.client_cert = file("other.pem");
    options.tls.client_key = file("other.key");
    EXPECT_THAT(refusal(options), HasSubstr("the collector refuses the client certificate")) << version;

    options.tls.client_cert = file("client.pem");
    options.tls.client_key = file("client.key");
    auto transport = make(options);
    const auto prepared = transport->prepare();
    ASSERT_TRUE(prepared) << version << ": " << prepared.error().what;
    ASSERT_TRUE(transport->send(message(300, 'c')));
    EXPECT_TRUE(collector->received(message(300, 'c'))) << version;
  }
}

TEST_P(IpfixSecure, FilesThatCannotServeAreRefusedBeforeConnecting) {
  auto options = options_to(1);
  options.tls.ca_cert = file("absent.pem");
  EXPECT_THAT(refusal(options),
              HasSubstr("tls_ca_cert " + file("absent.pem") + ": no PEM certificate could be read"));
  EXPECT_THAT(refusal(options), HasSubstr("No such file or directory"));
  options.tls.ca_cert = file("ca.pem");
  options.tls.client_cert = file("client.pem");
  EXPECT_THAT(refusal(options), HasSubstr("tls_client_cert and tls_client_key are set both or neither"));
  options.tls.client_key = file("server.key");
  EXPECT_THAT(refusal(options),
              HasSubstr("tls_client_key " + file("server.key") + ": it does not belong to tls_client_cert"));
  options.tls.client_key = file("locked.key");
  EXPECT_THAT(refusal(options), HasSubstr("no PEM key without a passphrase"));
  options.tls.client_key = file("client.pem");
  EXPECT_THAT(refusal(options), HasSubstr("tls_client_key " + file("client.pem")));
  options.tls.client_key = file("client.key");
  options.tls.client_cert = file("client.csr");
  EXPECT_THAT(refusal(options), HasSubstr("tls_client_cert " + file("client.csr")));
}

TEST_P(IpfixSecure, ASilentPeerCostsTheHandshakeTimeout) {
  LoopbackSocket silent(dtls() ? SOCK_DGRAM : SOCK_STREAM);
  if (!dtls()) {
    ASSERT_TRUE(silent.listen());
  }
  auto options = options_to(silent.port());
  options.handshake_timeout = milliseconds(300);
  const std::uint64_t start_ns = monotonic_ns();
  EXPECT_THAT(refusal(options), HasSubstr("the collector did not finish the handshake within 300 ms"));
  EXPECT_GE(since(start_ns), milliseconds(250));
  EXPECT_LT(since(start_ns), test::kPatience);
}

/// What a client passes over while it waits for a ServerHello, faster than it can read: records of TLS full
/// of HelloRequest, or datagrams that are no records.
void talk_without_end(int fd, bool datagrams, const std::atomic<bool>& enough) {
  const auto head = std::to_array<char>({22, 3, 3, 64, 0});
  std::vector<char> nonsense(datagrams ? 16 : 64 * (head.size() + 16'384), '\0');
  if (!datagrams) {
    for (std::size_t at = 0; at < nonsense.size(); at += head.size() + 16'384)
      std::ranges::copy(head, nonsense.begin() + static_cast<std::ptrdiff_t>(at));
  }
  ssize_t sent = 1;
  while (!enough && (sent > 0 || datagrams))
    sent = ::send(fd, nonsense.data(), nonsense.size(), MSG_NOSIGNAL);
}

TEST_P(IpfixSecure, APeerThatTalksWithoutEndCostsTheHandshakeTimeout) {
  LoopbackSocket talker(dtls() ? SOCK_DGRAM : SOCK_STREAM);
  if (!dtls()) {
    ASSERT_TRUE(talker.listen());
  }
  auto options = options_to(talker.port());
  options.handshake_timeout = milliseconds(300);
  std::atomic<bool> enough = false;
  std::thread peer([&] {
    if (!dtls()) return talk_without_end(talker.accept().get(), false, enough);
    sockaddr_in client{};
    socklen_t size = sizeof client;
    char hello = 0;
    ::recvfrom(talker.fd(), &hello, 1, 0, reinterpret_cast<sockaddr*>(&client), &size);
    if (::connect(talker.fd(), reinterpret_cast<sockaddr*>(&client), size) == 0)
      talk_without_end(talker.fd(), true, enough);
  });
  const std::uint64_t start_ns = monotonic_ns();
  EXPECT_THAT(refusal(options), HasSubstr("the collector did not finish the handshake within 300 ms"));
  EXPECT_LT(since(start_ns), test::kPatience);
  enough = true;
  peer.join();
}

TEST_P(IpfixSecure, ACollectorThatDiedAndCameBackGetsANewSession) {
  auto collector = start("server");
  const std::uint16_t port = collector->port();
  auto transport = make(options_to(port));
  ASSERT_TRUE(transport->prepare());
  ASSERT_TRUE(transport->send(message(100, 'a')));
  EXPECT_TRUE(collector->received(message(100, 'a')));
  collector->stop();
  Status sent = Done{};
  for (int i = 0; i < 100 && sent; ++i) sent = transport->send(message(100, 'b'));
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().what, HasSubstr("send to " + std::string(GetParam())));
  const auto refused = transport->prepare();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr("Connection refused"));

  collector = start("server", {}, port);
  ASSERT_EQ(collector->port(), port);
  const auto prepared = transport->prepare();
  ASSERT_TRUE(prepared) << prepared.error().what;
  EXPECT_TRUE(*prepared);
  ASSERT_TRUE(transport->send(message(100, 'c')));
  EXPECT_TRUE(collector->received(message(100, 'c')));
}

TEST_P(IpfixSecure, ACollectorRestartedInSilenceGetsANewSessionWhenTheOldOneIsOld) {
  const std::uint64_t before_ns = monotonic_ns();
  auto collector = start("server");
  const std::uint16_t port = collector->port();
  auto options = options_to(port);
  // Long enough to start a collector while the session is young, however busy the machine.
  const milliseconds session_time = std::max(milliseconds(1'000), 10 * since(before_ns));
  options.dtls_session_time = session_time;
  auto transport = make(options);
  const std::uint64_t start_ns = monotonic_ns();
  ASSERT_TRUE(transport->prepare());
  ASSERT_TRUE(transport->send(message(100, 'a')));
  EXPECT_TRUE(collector->received(message(100, 'a')));
  EXPECT_EQ(transport->prepare().value(), false) << "it is young";
  collector->stop();
  collector = start("server", {}, port);  // nothing was sent meanwhile, so no ICMP error came
  if (dtls()) {
    EXPECT_TRUE(transport->send(message(100, 'b'))) << "nobody says that it is ignored";
    const bool young = transport->prepare().value() == false;
    if (since(start_ns) >= session_time)
      GTEST_SKIP() << "too slow a machine to start a collector in a second";
    EXPECT_TRUE(young);
    std::this_thread::sleep_for(session_time);
  }
  const auto prepared = transport->prepare();
  ASSERT_TRUE(prepared) << prepared.error().what;
  EXPECT_TRUE(*prepared);
  ASSERT_TRUE(transport->send(message(100, 'c')));
  EXPECT_TRUE(collector->received(message(100, 'c')));
  std::this_thread::sleep_for(session_time);
  EXPECT_EQ(transport->prepare().value(), dtls()) << "a connection of TLS tells when it ends";
}

INSTANTIATE_TEST_SUITE_P(Both, IpfixSecure, testing::Values("tls", "dtls"),
                         [](const auto& one) { return std::string(one.param); });

class IpfixTls : public IpfixSecure {};

TEST_P(IpfixTls, ACollectorThatStopsReadingCostsTheWriteTimeout) {
  const auto collector = start("server");
  auto transport = make(options_to(collector->port()));
  ASSERT_TRUE(transport->prepare());
  collector->freeze();
  Status sent = Done{};
  std::uint64_t start_ns = 0;
  for (int i = 0; i < 10'000 && sent; ++i) {
    start_ns = monotonic_ns();
    sent = transport->send(message(16'384));
  }
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, std::errc::timed_out);
  EXPECT_THAT(sent.error().what, HasSubstr("the collector did not take a message within 300 ms"));
  EXPECT_LT(since(start_ns), test::kPatience);
}

TEST_P(IpfixTls, ABatchIsConfirmedWhenThePeerHasIt) {
  const auto collector = start("server");
  auto transport = make(options_to(collector->port()));
  ASSERT_TRUE(transport->prepare());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(transport->send(message(16'384)));
  const Status arrived = transport->confirm();
  ASSERT_TRUE(arrived) << arrived.error().what;
  collector->freeze();
  std::size_t taken = 0;
  ASSERT_EQ(transport->prepare().value(), false);
  while (taken < 10'000 && transport->send(message(16'384))) ++taken;
  EXPECT_GT(transport->unconfirmed(), 0U);
  EXPECT_LT(transport->unconfirmed(), taken);
}

TEST_P(IpfixTls, APeerWithoutModernTlsIsSaid) {
  LoopbackSocket plain(SOCK_STREAM);
  ASSERT_TRUE(plain.listen());
  std::thread peer([&plain] {
    const UniqueFd connection = plain.accept();
    static_cast<void>(!::send(connection.get(), "HTTP/1.0 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL));
    test::receive(connection.get(), 10'000, milliseconds(200));
  });
  EXPECT_THAT(refusal(options_to(plain.port())), HasSubstr("the collector does not speak TLS 1.2 or later"));
  peer.join();

  const auto old = start("server", {"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"});
  EXPECT_THAT(refusal(options_to(old->port())), HasSubstr("the collector does not speak TLS 1.2 or later"));
}

INSTANTIATE_TEST_SUITE_P(Tls, IpfixTls, testing::Values("tls"));

}  // namespace
}  // namespace rheo
