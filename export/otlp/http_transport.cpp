// SPDX-License-Identifier: Apache-2.0
#include <curl/curl.h>
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <ctime>
#include <deque>
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

void start_curl() {
  static std::once_flag once;
  std::call_once(once, [] { ::curl_global_init(CURL_GLOBAL_DEFAULT); });
}

Easy make_easy() {
  start_curl();
  Easy easy(::curl_easy_init());
  RHEO_ASSERT(easy != nullptr);
  return easy;
}

struct CloseMulti {
  void operator()(CURLM* multi) const { ::curl_multi_cleanup(multi); }
};
using Multi = std::unique_ptr<CURLM, CloseMulti>;

Multi make_multi() {
  start_curl();
  Multi multi(::curl_multi_init());
  RHEO_ASSERT(multi != nullptr);
  return multi;
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

/// One request and its answer; used again for the next.
class HttpCall {
 public:
  HttpCall(const OtlpTransportOptions& options, curl_slist* headers);

  /// Ready to be performed; the request lives until it has been.
  CURL* prepare(const std::string& url, OtlpRequest request);
  void ended(CURLcode code) { code_ = code; }
  OtlpAnswer answer() const;

 private:
  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self);
  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self);

  const Easy easy_ = make_easy();
  std::unique_ptr<Gzip> gzip_;
  CURLcode code_ = CURLE_OK;
  char error_[CURL_ERROR_SIZE] = {};
  std::string body_;
  std::string retry_after_;
};

HttpCall::HttpCall(const OtlpTransportOptions& options, curl_slist* headers)
    : gzip_(options.gzip ? std::make_unique<Gzip>() : nullptr) {
  CURL* const easy = easy_.get();
  set_common(easy, options);
  ::curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  ::curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);  // for a connection that takes several at once
  ::curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
  ::curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_);
  ::curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &HttpCall::on_body);
  ::curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  ::curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &HttpCall::on_header);
  ::curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
}

std::size_t HttpCall::on_body(char* data, std::size_t /*one*/, std::size_t size, void* self) {
  std::string& body = static_cast<HttpCall*>(self)->body_;
  if (body.size() + size > kMaxBody) return CURL_WRITEFUNC_ERROR;
  body.append(data, size);
  return size;
}

std::size_t HttpCall::on_header(char* data, std::size_t /*one*/, std::size_t size, void* self) {
  constexpr std::string_view name = "retry-after:";
  std::string_view line(data, size);
  if (line.size() > name.size() && std::ranges::equal(line.substr(0, name.size()), name, [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) == b;
      })) {
    line.remove_prefix(name.size());
    const std::size_t first = line.find_first_not_of(" \t");
    const std::size_t last = line.find_last_not_of(" \t\r\n");
    if (first != std::string_view::npos && last != std::string_view::npos && last >= first)
      static_cast<HttpCall*>(self)->retry_after_ =
          line.substr(first, std::min<std::size_t>(last - first + 1, 64));
  }
  return size;
}

CURL* HttpCall::prepare(const std::string& url, OtlpRequest request) {
  const std::span<const std::byte> body = gzip_ ? gzip_->compress(request) : request;
  CURL* const easy = easy_.get();
  body_.clear();
  retry_after_.clear();
  error_[0] = '\0';
  code_ = CURLE_FAILED_INIT;
  ::curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  ::curl_easy_setopt(easy, CURLOPT_POST, 1L);
  ::curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  ::curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data());
  return easy;
}

OtlpAnswer HttpCall::answer() const {
  if (code_ != CURLE_OK) return no_answer(error_[0] != '\0' ? shown(error_) : ::curl_easy_strerror(code_));
  long status = 0;
  ::curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status >= 200 && status < 300) return taken_answer(body_);
  return http_answer(static_cast<int>(status), body_, retry_after_, ::time(nullptr));
}

class HttpTransport final : public OtlpTransport {
 public:
  explicit HttpTransport(const OtlpTransportOptions& options);
  std::vector<OtlpAnswer> send_all(OtlpSignal signal, std::span<const OtlpRequest> requests) override;

 private:
  void perform();

  const OtlpTransportOptions options_;
  List headers_;
  std::deque<HttpCall> calls_;  // as many as there have been at once
  const Multi multi_;           // the connections, kept alive
};

HttpTransport::HttpTransport(const OtlpTransportOptions& options) : options_(options), multi_(make_multi()) {
  append(headers_, "Content-Type: application/x-protobuf");
  append(headers_, "Expect:");  // no pause before the body
  if (options_.gzip) append(headers_, "Content-Encoding: gzip");
  for (const auto& [name, value] : options_.headers)
    append(headers_, value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
}

std::vector<OtlpAnswer> HttpTransport::send_all(OtlpSignal signal, std::span<const OtlpRequest> requests) {
  const std::string url =
      url_of(options_.endpoint, signal == OtlpSignal::traces ? "/v1/traces" : "/v1/metrics");
  while (calls_.size() < requests.size()) calls_.emplace_back(options_, headers_.get());
  for (std::size_t i = 0; i < requests.size(); ++i)
    ::curl_multi_add_handle(multi_.get(), calls_[i].prepare(url, requests[i]));
  perform();
  std::vector<OtlpAnswer> answers;
  for (std::size_t i = 0; i < requests.size(); ++i) answers.push_back(calls_[i].answer());
  return answers;
}

/// Until all that were added have ended; each has its own deadline.
void HttpTransport::perform() {
  int running = 0;
  do {
    RHEO_ASSERT(::curl_multi_perform(multi_.get(), &running) == CURLM_OK);
    if (running > 0) ::curl_multi_poll(multi_.get(), nullptr, 0, 1'000, nullptr);
  } while (running > 0);
  int left = 0;
  while (const CURLMsg* const message = ::curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* call = nullptr;
    ::curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
    static_cast<HttpCall*>(call)->ended(message->data.result);
    ::curl_multi_remove_handle(multi_.get(), message->easy_handle);
  }
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
                   "(tls.client_cert) does"
                 : "it closes the connection after the TLS handshake, as who refuses the client certificate "
                   "does";
    default:
      return "";
  }
}

}  // namespace rheo
