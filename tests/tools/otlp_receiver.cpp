// SPDX-License-Identifier: Apache-2.0
// otlp_receiver PORT OUTPUT [WORD…]: an OTLP receiver over gRPC on 127.0.0.1 that answers its requests with
// the words in turn, over and over, and appends those that it takes to OUTPUT, each behind its size in four
// octets:
//   ok, unavailable, aborted, exhausted (for good), exhausted=MS (with RetryInfo), invalid, unauthenticated,
//   hang (until the client goes), cut (the connection, in the middle of the request), lost (taken, then
//   UNAVAILABLE), partial=N (taken, N rejected, in words that differ), slow=MS (taken, answered later),
//   limit=N (too large for more than N octets)
// How many requests were under way at once, at most, is in OUTPUT.most.
// In the environment: TLS_CERT, TLS_KEY, TLS_CLIENT_CA (PEM files), AUTHORIZATION (what the metadata must
// have). Prints "listening" when it does; ends at SIGTERM.
#include <fcntl.h>
#include <fmt/core.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "google/rpc/status.pb.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"

namespace {

using namespace opentelemetry::proto::collector::trace::v1;
using grpc::StatusCode;

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

grpc::Status exhausted(long ms) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(StatusCode::RESOURCE_EXHAUSTED));
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(ms / 1'000);
  info.mutable_retry_delay()->set_nanos(static_cast<int>(ms % 1'000) * 1'000'000);
  status.add_details()->PackFrom(info);
  return {StatusCode::RESOURCE_EXHAUSTED, "too much", status.SerializeAsString()};
}

/// Ends the connection from that peer, "ipv4:127.0.0.1:PORT".
void cut(const std::string& peer) {
  const int port = std::atoi(peer.c_str() + peer.rfind(':') + 1);
  for (int fd = 3; fd < 1'024; ++fd) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
        ntohs(address.sin_port) == port)
      ::shutdown(fd, SHUT_RDWR);
  }
}

class Receiver final : public TraceService::Service {
 public:
  Receiver(const char* output, std::vector<std::string> words)
      : output_(::open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)),
        most_file_(std::string(output) + ".most"),
        words_(std::move(words)) {}

  grpc::Status Export(grpc::ServerContext* context, const ExportTraceServiceRequest* request,
                      ExportTraceServiceResponse* response) override {
    const std::string wanted = variable("AUTHORIZATION");
    const auto found = context->client_metadata().find("authorization");
    if (!wanted.empty() && (found == context->client_metadata().end() || found->second != wanted))
      return {StatusCode::UNAUTHENTICATED, "who are you?"};
    note_under_way(1);
    const grpc::Status status = answer(words_[next_++ % words_.size()], *context, *request, *response);
    note_under_way(-1);
    return status;
  }

 private:
  grpc::Status answer(const std::string& word, const grpc::ServerContext& context,
                      const ExportTraceServiceRequest& request, ExportTraceServiceResponse& response) {
    const long number =
        word.find('=') == std::string::npos ? 0 : std::atol(word.c_str() + word.find('=') + 1);
    if (word == "unavailable") return {StatusCode::UNAVAILABLE, "come back"};
    if (word == "aborted") return {StatusCode::ABORTED, "once more"};
    if (word == "exhausted") return {StatusCode::RESOURCE_EXHAUSTED, "for good"};
    if (word.starts_with("exhausted=")) return exhausted(number);
    if (word == "invalid") return {StatusCode::INVALID_ARGUMENT, "never"};
    if (word == "unauthenticated") return {StatusCode::UNAUTHENTICATED, "who are you?"};
    if (word == "cut") {
      cut(context.peer());
      return {StatusCode::UNAVAILABLE, "nobody hears this"};
    }
    if (word == "hang") {
      while (!context.IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return {StatusCode::CANCELLED, ""};
    }
    if (word.starts_with("limit=") && request.ByteSizeLong() > static_cast<std::size_t>(number))
      return {StatusCode::RESOURCE_EXHAUSTED, "Received message larger than max"};
    take(request);
    if (word.starts_with("slow=")) std::this_thread::sleep_for(std::chrono::milliseconds(number));
    if (word == "lost") return {StatusCode::UNAVAILABLE, "taken, and not said"};
    if (word.starts_with("partial=")) {
      response.mutable_partial_success()->set_rejected_spans(number);
      response.mutable_partial_success()->set_error_message("\x1b[31mspans too new");
    }
    return grpc::Status::OK;
  }

  void note_under_way(int change) {
    const std::scoped_lock lock(mutex_);
    under_way_ += change;
    if (under_way_ <= most_) return;
    most_ = under_way_;
    std::ofstream(most_file_) << most_ << std::endl;
  }

  void take(const ExportTraceServiceRequest& request) const {
    const std::string bytes = request.SerializeAsString();
    std::string framed;
    for (unsigned shift = 32; shift > 0; shift -= 8)
      framed.push_back(static_cast<char>(bytes.size() >> (shift - 8)));
    framed += bytes;
    if (::write(output_, framed.data(), framed.size()) != static_cast<ssize_t>(framed.size())) std::abort();
  }

  const int output_;
  const std::string most_file_;
  const std::vector<std::string> words_;
  std::atomic<std::size_t> next_ = 0;
  std::mutex mutex_;
  int under_way_ = 0;
  int most_ = 0;
};

std::shared_ptr<grpc::ServerCredentials> credentials() {
  if (variable("TLS_CERT").empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({read(variable("TLS_KEY")), read(variable("TLS_CERT"))});
  if (!variable("TLS_CLIENT_CA").empty()) {
    options.pem_root_certs = read(variable("TLS_CLIENT_CA"));
    options.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(options);
}

}  // namespace

int main(int argc, char* argv[]) {
  if (argc < 3) return 2;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::vector<std::string> words(argv + 3, argv + argc);
  if (words.empty()) words.emplace_back("ok");
  Receiver receiver(argv[2], words);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(std::string("127.0.0.1:") + argv[1], credentials(), &port);
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.RegisterService(&receiver);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0) return 1;
  fmt::print("listening {}\n", port);
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&signals, &signal);
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}
