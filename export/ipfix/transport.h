// SPDX-License-Identifier: Apache-2.0
// IpfixTransport: carries whole IPFIX messages of one exporting process to one collector, or into one file.
// It knows nothing of what is in them. Lives on its lane's thread; every blocking step has a deadline.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/model/flow_batch.h"

namespace rheo {

enum class IpfixScheme : std::uint8_t { udp, tcp, tls, dtls, sctp, file };

/// Where messages go.
struct IpfixEndpoint {
  IpfixScheme scheme = IpfixScheme::udp;
  std::string host;        // a name, an IPv4 address, or an IPv6 address without brackets
  std::uint16_t port = 0;  // host order
  std::string path;        // file only
  std::string text;        // as it was written, for sentences
  friend bool operator==(const IpfixEndpoint&, const IpfixEndpoint&) = default;
};

/// "udp://host:port", tcp, tls, dtls, sctp likewise, an IPv6 address in brackets; without a port it is 4739,
/// or 4740 for tls and dtls (RFC 7011 section 10.3.4). "file:/path" names a file. The error is one sentence.
Result<IpfixEndpoint> parse_ipfix_endpoint(std::string_view text);

/// TLS and DTLS, version 1.2 and later.
struct IpfixTlsOptions {
  std::string ca_cert;      // PEM file of the authorities to trust; empty: those of the system
  std::string client_cert;  // PEM file with the chain; empty: none is shown
  std::string client_key;   // PEM file
  std::string server_name;  // what the certificate must be for; empty: the endpoint's host
  bool insecure_skip_verify = false;
};

/// When a file is put aside as PATH.1 (PATH.1 becomes PATH.2, and so on) and a new one begun. 0: never.
struct IpfixRotation {
  std::uint64_t size = 0;  // bytes; looked at between batches, so a file may be one batch larger
  std::chrono::nanoseconds interval{0};  // since the file was opened
  unsigned keep = 10;                    // files put aside; what would be numbered higher is deleted
};

struct IpfixTransportOptions {
  IpfixEndpoint endpoint;
  std::uint8_t dscp = 0;       // 0 to 63
  std::string source_address;  // an address of this host; empty: the route's
  std::size_t max_message_size =
      0;  // bytes; 0: what suits the transport, see IpfixTransport::max_message_size
  std::chrono::nanoseconds connect_timeout =
      std::chrono::seconds(5);  // of asking for the name and connecting
  std::chrono::nanoseconds handshake_timeout = std::chrono::seconds(5);
  std::chrono::nanoseconds write_timeout = std::chrono::seconds(5);  // of one message
  // TCP, TLS and SCTP: a connection of which nothing was acknowledged for this long, while something waited
  // for it, is over. Long enough for a route to be found again; longer would only let more records into a
  // void.
  std::chrono::nanoseconds dead_peer_timeout = std::chrono::seconds(10);
  // DTLS: how old a session may be when a batch begins, see SecureTransport.
  std::chrono::nanoseconds dtls_session_time = std::chrono::minutes(1);
  std::chrono::nanoseconds resolve_interval = std::chrono::minutes(10);  // UDP: the name is asked for again
  IpfixTlsOptions tls;
  IpfixRotation rotation;
};

class IpfixTransport {
 public:
  virtual ~IpfixTransport() = default;

  /// Once before each batch: connects or opens where that is needed. True: this began a new transport
  /// session, so the encoder begins again with sequence 0 and templates, and asks for max_message_size()
  /// again.
  virtual Result<bool> prepare() = 0;

  /// Sends the whole message, or fails within the write timeout. After a failure the session is over: the
  /// next prepare() begins another.
  virtual Status send(std::span<const std::byte> message) = 0;

  /// True of a file: a failed send() also takes back every message since the last prepare(), so the whole
  /// batch has to be sent again. Else messages that were sent before the failure stay sent.
  virtual bool takes_back_batch() const { return false; }

  /// Once after each batch: waits until the collector's host has acknowledged all of it, within the write
  /// timeout. A failure ends the session, as one of send() does. Only over TCP and TLS; nobody else can know.
  virtual Status confirm() { return Done{}; }

  /// After a failure, until the next prepare(): how many of the last messages sent since prepare() were not
  /// acknowledged. They may never arrive, so their records have to be sent again.
  virtual std::size_t unconfirmed() const { return 0; }

  /// For a batch that failed before all of it came to send(): ends the session, and a file takes back every
  /// message since the last prepare().
  virtual void abandon_batch() { close(); }

  /// Ends the session, if there is one; the next prepare() begins another, in a file that may have another
  /// inode (log rotation from outside), or at an address that the name has by then.
  virtual void close() = 0;

  /// Bytes; constant within a session. UDP and DTLS: the path MTU of the route minus headers; else what the
  /// transport is good at. The option max_message_size goes before.
  virtual std::size_t max_message_size() const = 0;

  /// Messages may get lost on the way, so templates have to be sent again from time to time.
  virtual bool unreliable() const { return false; }

  /// True once after an ICMP error said that nobody was listening: whoever listens next knows no templates.
  virtual bool peer_may_have_restarted() { return false; }

  /// File only: where what was sent ends.
  virtual FileMark mark() const { return {}; }

  /// File only, before the first prepare(): cuts the file back to where an earlier process was acknowledged.
  virtual Status resume(const FileMark& mark) {
    static_cast<void>(mark);
    return Done{};
  }
};

/// Refuses what cannot work whatever the collector does: a source address that is none, a certificate file
/// that cannot be read, a kernel without SCTP. Connects nowhere.
Result<std::unique_ptr<IpfixTransport>> make_ipfix_transport(const IpfixTransportOptions& options);

}  // namespace rheo
