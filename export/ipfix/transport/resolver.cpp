// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/transport/resolver.h"

#include <netdb.h>
#include <netinet/in.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

namespace rheo {
namespace {

struct Answer {
  int error = 0;   // of getaddrinfo
  int number = 0;  // errno, where error is EAI_SYSTEM
  std::vector<SocketAddress> addresses;
};

Answer ask_system(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // one entry an address, whatever the socket will be
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  Answer answer;
  answer.error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  answer.number = errno;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_addrlen > sizeof(sockaddr_storage)) continue;
    SocketAddress& address = answer.addresses.emplace_back();
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.size = entry->ai_addrlen;
  }
  if (found != nullptr) ::freeaddrinfo(found);
  return answer;
}

}  // namespace

/// Shared by the lane's thread and the one that asks.
struct Resolver::Question {
  std::mutex mutex;
  std::condition_variable answered;
  bool done = false;
  Answer answer;
};

std::string SocketAddress::text() const {
  char host[NI_MAXHOST] = "?";
  ::getnameinfo(get(), size, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  return host;
}

bool operator==(const SocketAddress& a, const SocketAddress& b) {
  return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
}

std::optional<SocketAddress> parse_address(const std::string& text, std::uint16_t port) {
  const Answer answer = ask_system(text, port, AI_NUMERICHOST);
  if (answer.error != 0 || answer.addresses.empty()) return std::nullopt;
  return answer.addresses.front();
}

Status Resolver::ask() {
  auto question = std::make_shared<Question>();
  try {
    std::thread([question, host = host_, port = port_] {
      Answer answer = ask_system(host, port, 0);
      const std::scoped_lock lock(question->mutex);
      question->answer = std::move(answer);
      question->done = true;
      question->answered.notify_all();
    }).detach();
  } catch (const std::system_error& error) {
    return errno_error("start a thread to ask for the address of " + host_, error.code().value());
  }
  open_question_ = std::move(question);
  return Done{};
}

Result<std::vector<SocketAddress>> Resolver::resolve(const Deadline& deadline) {
  if (const auto literal = parse_address(host_, port_)) return std::vector{*literal};
  if (!open_question_) {
    if (Status asked = ask(); !asked) return forward(std::move(asked));
  }
  const std::string doing = "ask for the address of " + host_;
  Answer answer;
  {
    std::unique_lock lock(open_question_->mutex);
    if (!open_question_->answered.wait_for(lock, deadline.left(), [this] { return open_question_->done; }))
      return failure(doing + ": no answer within " + deadline.text(), std::errc::timed_out);
    answer = std::move(open_question_->answer);
  }
  open_question_.reset();
  if (answer.error == EAI_SYSTEM) return errno_error(doing, answer.number);
  if (answer.error != 0)
    return failure(doing + ": " + ::gai_strerror(answer.error), std::errc::host_unreachable);
  if (answer.addresses.empty()) return failure(doing + ": it has none", std::errc::host_unreachable);
  return std::move(answer.addresses);
}

}  // namespace rheo
