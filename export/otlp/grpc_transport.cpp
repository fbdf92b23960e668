// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <grpc/support/log.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <deque>
#include <mutex>

#include "daemon/base/assert.h"
#include "export/otlp/transport.h"

namespace rheo {
namespace {

// What a receiver may answer. Its own are below a kilobyte.
constexpr int kMaxResponse = 64 << 10;

/// For insecure_skip_verify: takes every certificate.
class TakeAny final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* /*request*/,
              std::function<void(grpc::Status)> /*callback*/, grpc::Status* status) override {
    *status = grpc::Status();
    return true;  // decided already
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest* /*request*/) override {}
};

std::shared_ptr<grpc::ChannelCredentials> any_certificate(const grpc::SslCredentialsOptions& pem) {
  namespace tls = grpc::experimental;
  tls::TlsChannelCredentialsOptions options;
  if (!pem.pem_private_key.empty()) {
    options.set_certificate_provider(std::make_shared<tls::StaticDataCertificateProvider>(
        std::vector<tls::IdentityKeyCertPair>{{pem.pem_private_key, pem.pem_cert_chain}}));
    options.watch_identity_key_cert_pairs();
  }
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(tls::ExternalCertificateVerifier::Create<TakeAny>());
  return tls::TlsCredentials(options);
}

OtlpAnswer answer_of(const grpc::Status& status, const grpc::ByteBuffer& response) {
  if (!status.ok()) return grpc_answer(status.error_code(), status.error_message(), status.error_details());
  grpc::Slice whole;
  if (!response.DumpToSingleSlice(&whole).ok()) return taken_answer({});
  return taken_answer({reinterpret_cast<const char*>(whole.begin()), whole.size()});
}

class GrpcTransport final : public OtlpTransport {
 public:
  GrpcTransport(const OtlpTransportOptions& options, std::shared_ptr<grpc::ChannelCredentials> credentials)
      : options_(options), credentials_(std::move(credentials)) {}
  ~GrpcTransport() override {
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  std::vector<OtlpAnswer> send_all(OtlpSignal signal, std::span<const OtlpRequest> requests) override;

 private:
  /// One request and its answer.
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer response;
    grpc::Status status;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
  };

  void connect();
  void start(Call& call, OtlpSignal signal, OtlpRequest request);
  void disconnect(std::span<OtlpAnswer> answers, const std::deque<Call>& calls);

  const OtlpTransportOptions options_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::unique_ptr<grpc::GenericStub> stub_;  // null: not connected
  grpc::CompletionQueue queue_;
};

/// A channel of its own for each connection: the pace of retries is the lane's, not the library's.
void GrpcTransport::connect() {
  grpc::ChannelArguments arguments;
  arguments.SetUserAgentPrefix("rheo/" + options_.version);
  arguments.SetMaxReceiveMessageSize(kMaxResponse);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (options_.gzip) arguments.SetCompressionAlgorithm(GRPC_COMPRESS_GZIP);
  const OtlpEndpoint& endpoint = options_.endpoint;
  const std::string target = (endpoint.is_ipv6() ? "ipv6:" : "dns:///") + authority(endpoint);
  stub_ = std::make_unique<grpc::GenericStub>(grpc::CreateCustomChannel(target, credentials_, arguments));
}

void GrpcTransport::start(Call& call, OtlpSignal signal, OtlpRequest request) {
  // A copy: the library may hold on to it after the call has ended.
  const grpc::Slice slice(request.data(), request.size());
  const grpc::ByteBuffer message(&slice, 1);
  call.context.set_deadline(
      std::chrono::system_clock::now() +
      std::chrono::duration_cast<std::chrono::system_clock::duration>(options_.timeout));
  for (const auto& [name, value] : options_.headers) call.context.AddMetadata(name, value);
  const char* const method = signal == OtlpSignal::traces
                                 ? "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
                                 : "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
  call.reader = stub_->PrepareUnaryCall(&call.context, method, message, &queue_);
  call.reader->StartCall();
  call.reader->Finish(&call.response, &call.status, &call);
}

std::vector<OtlpAnswer> GrpcTransport::send_all(OtlpSignal signal, std::span<const OtlpRequest> requests) {
  if (!stub_) connect();
  std::deque<Call> calls;
  for (const OtlpRequest& request : requests) start(calls.emplace_back(), signal, request);
  for (std::size_t ended = 0; ended < calls.size(); ++ended) {
    void* tag = nullptr;
    bool ok = false;
    RHEO_ASSERT(queue_.Next(&tag, &ok));
  }
  std::vector<OtlpAnswer> answers;
  for (const Call& call : calls) answers.push_back(answer_of(call.status, call.response));
  disconnect(answers, calls);
  return answers;
}

/// Where the connection is of no use any more; says why, where it is TLS that fails.
void GrpcTransport::disconnect(std::span<OtlpAnswer> answers, const std::deque<Call>& calls) {
  const auto is_unavailable = [](const Call& call) {
    return call.status.error_code() == grpc::StatusCode::UNAVAILABLE;
  };
  if (std::ranges::none_of(calls, is_unavailable)) return;
  stub_.reset();
  if (!options_.endpoint.tls) return;
  const std::string why = diagnose_tls(options_);
  for (std::size_t i = 0; i < calls.size() && !why.empty(); ++i)
    if (is_unavailable(calls[i])) answers[i].what = why;
}

}  // namespace

Result<std::unique_ptr<OtlpTransport>> make_grpc_transport(const OtlpTransportOptions& options) {
  static std::once_flag once;
  std::call_once(once, [] { ::gpr_set_log_function([](gpr_log_func_args*) {}); });
  if (!options.endpoint.tls)
    return std::make_unique<GrpcTransport>(options, grpc::InsecureChannelCredentials());
  grpc::SslCredentialsOptions pem;
  for (const auto& [setting, path, into] :
       {std::tuple("tls.ca_cert", &options.tls.ca_cert, &pem.pem_root_certs),
        std::tuple("tls.client_cert", &options.tls.client_cert, &pem.pem_cert_chain),
        std::tuple("tls.client_key", &options.tls.client_key, &pem.pem_private_key)}) {
    if (path->empty()) continue;
    auto read = read_pem(setting, *path);
    if (!read) return forward(std::move(read));
    *into = *std::move(read);
  }
  return std::make_unique<GrpcTransport>(
      options, options.tls.insecure_skip_verify ? any_certificate(pem) : grpc::SslCredentials(pem));
}

}  // namespace rheo
