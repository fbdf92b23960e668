// SPDX-License-Identifier: Apache-2.0
// SecureChannel: TLS or DTLS, as a client, over a connected non-blocking socket that somebody else owns. The
// only user of OpenSSL. Its errors say what an administrator can do about them, and nothing of keys. The
// process must ignore SIGPIPE. Lives on its lane's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "daemon/base/result.h"
#include "export/ipfix/transport.h"
#include "export/ipfix/transport/deadline.h"

struct ssl_st;  // OpenSSL's SSL

namespace rheo {

struct SecureChannelOptions {
  IpfixTlsOptions tls;
  std::string host;               // what the certificate must be for, a name or an address
  bool datagram = false;          // DTLS
  std::size_t datagram_room = 0;  // DTLS: bytes that fit behind the UDP header
};

/// Reads the files that the options name, as each handshake will again: renewed certificates are used from
/// the next session on.
Status check_tls_files(const IpfixTlsOptions& options);

class SecureChannel {
 public:
  /// Ends with the collector's certificate verified and, as far as the protocol says so, ours accepted.
  static Result<SecureChannel> handshake(const SecureChannelOptions& options, int fd,
                                         const Deadline& deadline);

  /// The whole message, in one record.
  Status send(std::span<const std::byte> message, const Deadline& deadline);

  /// What the socket was given so far, of handshake and records.
  std::uint64_t octets_written() const;

  /// Fails if the collector ended the session or refused us.
  Status check_peer();

  /// Tells the collector that this is the end, if there is room for that now.
  void say_goodbye();

  /// DTLS: bytes of a message whose record fits into datagram_room.
  std::size_t message_room() const;

 private:
  /// What went by in handshake messages, and until when OpenSSL may read more.
  struct Seen {
    bool certificate_request = false;
    bool session_ticket = false;  // TLS 1.3: sent after the collector has accepted us
    bool closed = false;          // nothing may be said any more
    Deadline read_until{std::chrono::nanoseconds(0)};
  };
  struct FreeSsl {
    void operator()(ssl_st* ssl) const;
  };

  SecureChannel() = default;
  Status set_up(const SecureChannelOptions& options, int fd);
  Status shake_hands(const Deadline& deadline);
  Status wait_for_verdict(const Deadline& deadline);
  Status wait(int why, const Deadline& deadline);
  Error why_failed(int returned, int number) const;

  SecureChannelOptions options_;
  int fd_ = -1;
  std::unique_ptr<Seen> seen_;  // before ssl_: its callback writes here
  std::unique_ptr<ssl_st, FreeSsl> ssl_;
};

}  // namespace rheo
