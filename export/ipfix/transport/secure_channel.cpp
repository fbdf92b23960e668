// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/transport/secure_channel.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/time.h>

#include <array>
#include <utility>

#include "export/ipfix/transport/socket.h"

namespace rheo {
namespace {

/// How long a TLS 1.3 collector that asked for our certificate has for saying what it thinks of it.
constexpr std::chrono::seconds kVerdictTime(1);
/// How long a look at what the collector said may take: one that never stops talking is still there.
constexpr std::chrono::milliseconds kLookTime(10);

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;

/// The oldest error of OpenSSL on this thread, in its words or the system's.
std::string openssl_reason() {
  const unsigned long code = ERR_peek_error();
  if (code == 0) return "unknown error";
  if (ERR_SYSTEM_ERROR(code)) return std::system_category().message(ERR_GET_REASON(code));
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "OpenSSL error " + std::to_string(ERR_GET_REASON(code));
}

std::unexpected<Error> bad_file(std::string_view option, const std::string& path, std::string_view wanted) {
  return failure(std::string(option) + " " + path + ": no " + std::string(wanted) +
                 " could be read: " + openssl_reason());
}

/// An encrypted key is refused; the default would ask at the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

Status load_client_certificate(SSL_CTX* context, const IpfixTlsOptions& options) {
  if (options.client_cert.empty() != options.client_key.empty())
    return failure("tls_client_cert and tls_client_key are set both or neither");
  if (options.client_cert.empty()) return Done{};
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  if (SSL_CTX_use_certificate_chain_file(context, options.client_cert.c_str()) != 1)
    return bad_file("tls_client_cert", options.client_cert, "PEM certificate");
  ERR_clear_error();
  if (SSL_CTX_use_PrivateKey_file(context, options.client_key.c_str(), SSL_FILETYPE_PEM) != 1) {
    if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
      return failure("tls_client_key " + options.client_key + ": it does not belong to tls_client_cert " +
                     options.client_cert);
    return bad_file("tls_client_key", options.client_key, "PEM key without a passphrase");
  }
  return Done{};
}

Result<Context> make_context(const IpfixTlsOptions& options, bool datagram) {
  ERR_clear_error();
  Context context(SSL_CTX_new(datagram ? DTLS_client_method() : TLS_client_method()));
  if (!context) return failure("set up TLS: " + openssl_reason());
  SSL_CTX_set_min_proto_version(context.get(), datagram ? DTLS1_2_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_QUERY_MTU);
  SSL_CTX_set_verify(context.get(), options.insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                     nullptr);
  if (options.ca_cert.empty())
    SSL_CTX_set_default_verify_paths(context.get());
  else if (SSL_CTX_load_verify_locations(context.get(), options.ca_cert.c_str(), nullptr) != 1)
    return bad_file("tls_ca_cert", options.ca_cert, "PEM certificate");
  if (Status loaded = load_client_certificate(context.get(), options); !loaded)
    return forward(std::move(loaded));
  return context;
}

/// Before each read of OpenSSL: no more than there is time for. It reads on by itself for as long as there
/// are messages that it passes over, such as HelloRequest, or datagrams that it throws away.
long read_in_time(BIO* bio, int operation, const char*, std::size_t, int, long, int returned, std::size_t*) {
  if (operation != BIO_CB_READ) return returned;
  const auto* deadline = reinterpret_cast<const Deadline*>(BIO_get_callback_arg(bio));
  if (!deadline->passed()) return returned;
  BIO_set_retry_read(bio);
  return -1;
}

/// The certificate must be for this host; it is also told to the collector, if it is a name.
bool expect_host(SSL* ssl, const std::string& host) {
  X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(wanted, host.substr(0, host.find('%')).c_str()) == 1) return true;
  ERR_clear_error();
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), host.size()) == 1 &&
         SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

bool set_datagram_socket(SSL* ssl, int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  BIO* bio = BIO_new_dgram(fd, BIO_NOCLOSE);
  if (bio == nullptr) return false;
  SSL_set_bio(ssl, bio, bio);
  const std::unique_ptr<BIO_ADDR, decltype(&BIO_ADDR_free)> address(BIO_ADDR_new(), BIO_ADDR_free);
  if (!address || ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return false;
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&peer);
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&peer);
  const bool made =
      peer.ss_family == AF_INET6
          ? BIO_ADDR_rawmake(address.get(), AF_INET6, &v6->sin6_addr, sizeof v6->sin6_addr, v6->sin6_port) ==
                1
          : BIO_ADDR_rawmake(address.get(), AF_INET, &v4->sin_addr, sizeof v4->sin_addr, v4->sin_port) == 1;
  return made && BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, address.get()) == 1;
}

Error refusal(std::string what) {
  return Error{std::make_error_code(std::errc::permission_denied), std::move(what)};
}

Error why_not_verified(long result, const SecureChannelOptions& options) {
  const std::string& authorities = options.tls.ca_cert;
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return refusal("the collector's certificate has expired");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return refusal("the collector's certificate is not valid yet");
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return refusal("the collector's certificate is not for " + options.host);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return refusal("the collector's certificate is not signed by an authority of " +
                     (authorities.empty() ? "this system" : "tls_ca_cert " + authorities));
    default:
      return refusal(std::string("the collector's certificate is refused: ") +
                     X509_verify_cert_error_string(result));
  }
}

/// What a reason of OpenSSL means for the two ends of an export; empty if nothing special.
std::string meaning_of(int reason, bool has_certificate, bool was_asked) {
  switch (reason) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return "the collector asks for a client certificate: set tls_client_cert and tls_client_key";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
      if (was_asked && !has_certificate)
        return "the collector asks for a client certificate: set tls_client_cert and tls_client_key";
      return has_certificate && was_asked ? "the collector refuses the client certificate" : "";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
      return "the collector refuses the client certificate";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return "the collector refuses the client certificate: it has expired";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return "the collector does not speak TLS 1.2 or later";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return "the collector closed the connection";
    default:
      return "";
  }
}

}  // namespace

void SecureChannel::FreeSsl::operator()(ssl_st* ssl) const { SSL_free(ssl); }

Status check_tls_files(const IpfixTlsOptions& options) {
  auto context = make_context(options, false);
  if (!context) return forward(std::move(context));
  return Done{};
}

Result<SecureChannel> SecureChannel::handshake(const SecureChannelOptions& options, int fd,
                                               const Deadline& deadline) {
  SecureChannel channel;
  if (Status done = channel.set_up(options, fd); !done) return forward(std::move(done));
  if (Status done = channel.shake_hands(deadline); !done) return forward(std::move(done));
  if (Status done = channel.wait_for_verdict(deadline); !done) return forward(std::move(done));
  return channel;
}

Status SecureChannel::set_up(const SecureChannelOptions& options, int fd) {
  options_ = options;
  fd_ = fd;
  auto context = make_context(options.tls, options.datagram);
  if (!context) return forward(std::move(context));
  seen_ = std::make_unique<Seen>();
  ssl_.reset(SSL_new(context->get()));
  if (!ssl_) return failure("set up TLS: " + openssl_reason());
  SSL_set_msg_callback(
      ssl_.get(), [](int write, int, int content, const void* bytes, std::size_t size, SSL*, void* seen) {
        if (write != 0 || content != SSL3_RT_HANDSHAKE || size == 0) return;
        const unsigned char type = *static_cast<const unsigned char*>(bytes);
        if (type == SSL3_MT_CERTIFICATE_REQUEST) static_cast<Seen*>(seen)->certificate_request = true;
        if (type == SSL3_MT_NEWSESSION_TICKET) static_cast<Seen*>(seen)->session_ticket = true;
      });
  SSL_set_msg_callback_arg(ssl_.get(), seen_.get());
  const bool connected =
      options.datagram ? set_datagram_socket(ssl_.get(), fd) : SSL_set_fd(ssl_.get(), fd) == 1;
  if (!connected || !expect_host(ssl_.get(), options.host)) return failure("set up TLS: " + openssl_reason());
  BIO* const bio = SSL_get_rbio(ssl_.get());
  BIO_set_callback_ex(bio, read_in_time);
  BIO_set_callback_arg(bio, reinterpret_cast<char*>(&seen_->read_until));
  if (options.datagram) SSL_set_mtu(ssl_.get(), static_cast<long>(options.datagram_room));
  SSL_set_connect_state(ssl_.get());
  return Done{};
}

Status SecureChannel::shake_hands(const Deadline& deadline) {
  seen_->read_until = deadline;
  for (;;) {
    ERR_clear_error();
    const int returned = SSL_do_handshake(ssl_.get());
    const int number = errno;
    if (returned == 1) return Done{};
    const int why = SSL_get_error(ssl_.get(), returned);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
      return std::unexpected(why_failed(returned, number));
    if (wait(why, deadline)) continue;
    return failure("the collector did not finish the handshake within " + deadline.text(),
                   std::errc::timed_out);
  }
}

/// Waits for what OpenSSL wants; a flight of DTLS that got lost is sent again. Fails when the deadline has
/// passed.
Status SecureChannel::wait(int why, const Deadline& deadline) {
  if (deadline.passed()) return failure("too late", std::errc::timed_out);
  const short events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
  timeval timer{};
  if (!options_.datagram || DTLSv1_get_timeout(ssl_.get(), &timer) != 1)
    return wait_for(fd_, events, deadline) ? Status(Done{}) : failure("too late", std::errc::timed_out);
  if (wait_for(fd_, events, deadline,
               std::chrono::seconds(timer.tv_sec) + std::chrono::microseconds(timer.tv_usec)))
    return Done{};
  if (deadline.passed()) return failure("too late", std::errc::timed_out);
  DTLSv1_handle_timeout(ssl_.get());  // a failure of it shows in the next call
  return Done{};
}

/// In TLS 1.3 our side is done before the collector has looked at our certificate.
Status SecureChannel::wait_for_verdict(const Deadline& deadline) {
  if (!seen_->certificate_request || SSL_version(ssl_.get()) != TLS1_3_VERSION) return Done{};
  const Deadline end(std::min<std::chrono::nanoseconds>(deadline.left(), kVerdictTime));
  while (!seen_->session_ticket && !end.passed()) {
    if (Status open = check_peer(); !open) return open;
    if (!seen_->session_ticket && !wait_for(fd_, POLLIN, end)) break;
  }
  return Done{};
}

Status SecureChannel::check_peer() {
  std::array<std::byte, 4'096> said;
  seen_->read_until = Deadline(kLookTime);
  for (int i = 0; i < 16; ++i) {
    ERR_clear_error();
    const int returned = SSL_read(ssl_.get(), said.data(), static_cast<int>(said.size()));
    const int number = errno;
    if (returned > 0) continue;
    const int why = SSL_get_error(ssl_.get(), returned);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) break;
    return std::unexpected(why_failed(returned, number));
  }
  return Done{};
}

Status SecureChannel::send(std::span<const std::byte> message, const Deadline& deadline) {
  if (Status open = check_peer(); !open) return open;
  for (;;) {
    ERR_clear_error();
    const int returned = SSL_write(ssl_.get(), message.data(), static_cast<int>(message.size()));
    const int number = errno;
    if (returned > 0) return Done{};
    const int why = SSL_get_error(ssl_.get(), returned);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
      Error error = why_failed(returned, number);
      // A broken pipe tells less than the alert that came before it.
      if (Status open = check_peer(); !open && !open.error().what.empty() && why == SSL_ERROR_SYSCALL)
        error = std::move(open).error();
      return std::unexpected(std::move(error));
    }
    if (wait(why, deadline)) continue;
    return failure("the collector did not take a message within " + deadline.text(), std::errc::timed_out);
  }
}

/// Of the call that has just returned; `number` is its errno.
Error SecureChannel::why_failed(int returned, int number) const {
  seen_->closed = true;
  const auto closed = std::make_error_code(std::errc::connection_reset);
  const int why = SSL_get_error(ssl_.get(), returned);
  if (why == SSL_ERROR_ZERO_RETURN) return {closed, "the collector closed the connection"};
  if (why == SSL_ERROR_SYSCALL && number != 0) return errno_error("the connection broke", number).error();
  const int reason = ERR_GET_REASON(ERR_peek_error());
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
    return why_not_verified(SSL_get_verify_result(ssl_.get()), options_);
  const bool has_certificate = !options_.tls.client_cert.empty();
  if (std::string meaning = meaning_of(reason, has_certificate, seen_->certificate_request); !meaning.empty())
    return reason == SSL_R_UNEXPECTED_EOF_WHILE_READING ? Error{closed, std::move(meaning)}
                                                        : refusal(std::move(meaning));
  return {std::make_error_code(std::errc::protocol_error), "TLS failed: " + openssl_reason()};
}

void SecureChannel::say_goodbye() {
  if (!ssl_ || seen_->closed) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

std::uint64_t SecureChannel::octets_written() const { return BIO_number_written(SSL_get_wbio(ssl_.get())); }

std::size_t SecureChannel::message_room() const { return DTLS_get_data_mtu(ssl_.get()); }

}  // namespace rheo
