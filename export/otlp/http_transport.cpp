// SPDX-License-Identifier: Apache-2.0
#include <curl/curl.h>
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <ctime>
#include <mutex>

#include "daemon/base/assert.h"
#include "export/otlp/transport.h"

namespace rheo {
namespace {

// What a receiver may answer. Its own are below a kilobyte; more is not read.
constexpr std::size_t kMaxBody = 64U << 10U;

struct CloseEasy {
  void operator()(CURL* easy) const { ::curl_easy_cleanup(easy); }
};
using Easy = std::unique_ptr<CURL, CloseEasy>;

struct FreeList {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, FreeList>;

void append(List& list, const std::string& line) {
  curl_slist* const longer = ::curl_slist_append(list.get(), line.c_str());
  RHEO_ASSERT(longer != nullptr);
  [[maybe_unused]] const curl_slist* const same = list.release();
  list.reset(longer);
}

Easy make_easy() {
  static std::once_flag once;
  std::call_once(once, [] { ::curl_global_init(CURL_GLOBAL_DEFAULT); });
  Easy easy(::curl_easy_init());
  RHEO_ASSERT(easy != nullptr);
  return easy;
}

std::string url_of(const OtlpEndpoint& endpoint, std::string_view path) {
  return fmt::format("{}://{}{}{}", endpoint.tls ? "https" : "http", authority(endpoint), endpoint.path,
                     endpoint.whole_path ? "" : path);
}

/// What every request of this receiver has in common.
void set_common(CURL* easy, const OtlpTransportOptions& options) {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(options.timeout).count();
  ::curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(ms));
  ::curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(ms));
  ::curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  ::curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  ::curl_easy_setopt(easy, CURLOPT_USERAGENT, ("rheo/" + options.version).c_str());
  const OtlpTlsOptions& tls = options.tls;
  ::curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  ::curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls.insecure_skip_verify ? 0L : 1L);
  ::curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls.insecure_skip_verify ? 0L : 2L);
  if (!tls.ca_cert.empty()) {
    ::curl_easy_setopt(easy, CURLOPT_CAINFO, tls.ca_cert.c_str());
    ::curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  if (!tls.client_cert.empty()) {
    ::curl_easy_setopt(easy, CURLOPT_SSLCERT, tls.client_cert.c_str());
    ::curl_easy_setopt(easy, CURLOPT_SSLKEY, tls.client_key.c_str());
  }
}

/// The whole of `in` as one gzip member in `out`, which keeps its memory.
class Gzip {
 public:
  Gzip() {
    constexpr int kGzipFormat = 16 + MAX_WBITS;
    RHEO_ASSERT(::deflateInit2(&stream_, Z_BEST_SPEED, Z_DEFLATED, kGzipFormat, 8, Z_DEFAULT_STRATEGY) ==
                Z_OK);
  }
  ~Gzip() { ::deflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  std::span<const std::byte> compress(std::span<const std::byte> in) {
    ::deflateReset(&stream_);
    const std::size_t bound = ::deflateBound(&stream_, in.size());
    if (out_.size() < bound) out_.resize(bound);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
    stream_.avail_out = static_cast<uInt>(out_.size());
    RHEO_ASSERT(::deflate(&stream_, Z_FINISH) == Z_STREAM_END);
    return std::span(out_).first(out_.size() - stream_.avail_out);
  }

 private:
  z_stream stream_{};
  std::vector<std::byte> out_;
};

class HttpTransport final : public OtlpTransport {
 public:
  explicit HttpTransport(const OtlpTransportOptions& options);
  OtlpAnswer send(OtlpSignal signal, std::span<const std::byte> request) override;

 private:
  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self);
  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self);
  OtlpAnswer failed(CURLcode code) const;

  const OtlpTransportOptions options_;
  const Easy easy_ = make_easy();
  List headers_;
  std::unique_ptr<Gzip> gzip_;
  char error_[CURL_ERROR_SIZE] = {};
  std::string body_;
  std::string retry_after_;
};

HttpTransport::HttpTransport(const OtlpTransportOptions& options) : options_(options) {
  append(headers_, "Content-Type: application/x-protobuf");
  append(headers_, "Expect:");  // no pause before the body
  if (options_.gzip) {
    append(headers_, "Content-Encoding: gzip");
    gzip_ = std::make_unique<Gzip>();
  }
  for (const auto& [name, value] : options_.headers)
    append(headers_, value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  CURL* const easy = easy_.get();
  set_common(easy, options_);
  ::curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
  ::curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_);
  ::curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &HttpTransport::on_body);
  ::curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  ::curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &HttpTransport::on_header);
  ::curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
}

std::size_t HttpTransport::on_body(char* data, std::size_t /*one*/, std::size_t size, void* self) {
  std::string& body = static_cast<HttpTransport*>(self)->body_;
  if (body.size() + size > kMaxBody) return CURL_WRITEFUNC_ERROR;
  body.append(data, size);
  return size;
}

std::size_t HttpTransport::on_header(char* data, std::size_t /*one*/, std::size_t size, void* self) {
  constexpr std::string_view name = "retry-after:";
  std::string_view line(data, size);
  if (line.size() > name.size() && std::ranges::equal(line.substr(0, name.size()), name, [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) == b;
      })) {
    line.remove_prefix(name.size());
    const std::size_t first = line.find_first_not_of(" \t");
    const std::size_t last = line.find_last_not_of(" \t\r\n");
    if (first != std::string_view::npos && last != std::string_view::npos && last >= first)
      static_cast<HttpTransport*>(self)->retry_after_ =
          line.substr(first, std::min<std::size_t>(last - first + 1, 64));
  }
  return size;
}

OtlpAnswer HttpTransport::failed(CURLcode code) const {
  const std::string why = error_[0] != '\0' ? shown(error_) : ::curl_easy_strerror(code);
  return no_answer(why);
}

OtlpAnswer HttpTransport::send(OtlpSignal signal, std::span<const std::byte> request) {
  const std::span<const std::byte> body = gzip_ ? gzip_->compress(request) : request;
  CURL* const easy = easy_.get();
  body_.clear();
  retry_after_.clear();
  error_[0] = '\0';
  const std::string url =
      url_of(options_.endpoint, signal == OtlpSignal::traces ? "/v1/traces" : "/v1/metrics");
  ::curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  ::curl_easy_setopt(easy, CURLOPT_POST, 1L);
  ::curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  ::curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data());
  if (const CURLcode code = ::curl_easy_perform(easy); code != CURLE_OK) return failed(code);
  long status = 0;
  ::curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  if (status >= 200 && status < 300) return taken_answer(body_);
  return http_answer(static_cast<int>(status), body_, retry_after_, ::time(nullptr));
}

}  // namespace

Result<std::unique_ptr<OtlpTransport>> make_http_transport(const OtlpTransportOptions& options) {
  return std::make_unique<HttpTransport>(options);
}

std::string diagnose_tls(const OtlpTransportOptions& options) {
  const Easy easy = make_easy();
  char error[CURL_ERROR_SIZE] = {};
  set_common(easy.get(), options);
  ::curl_easy_setopt(easy.get(), CURLOPT_URL, url_of(options.endpoint, "/").c_str());
  ::curl_easy_setopt(easy.get(), CURLOPT_NOBODY, 1L);
  ::curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, error);
  switch (::curl_easy_perform(easy.get())) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_ISSUER_ERROR:
      return shown(error);
    // Since TLS 1.3 our handshake is over before the other side has looked at our certificate, and not every
    // receiver sends an alert before it hangs up.
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_PARTIAL_FILE:
      return options.tls.client_cert.empty()
                 ? "it closes the connection after the TLS handshake, as who wants a client certificate "
                   "(tls_client_cert) does"
                 : "it closes the connection after the TLS handshake, as who refuses the client certificate "
                   "does";
    default:
      return "";
  }
}

}  // namespace rheo
