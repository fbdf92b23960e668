// SPDX-License-Identifier: Apache-2.0
// `openssl s_server` as a collector for the tests of TLS and DTLS, and what it received.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/ipfix_peers.h"

namespace rheo::test {

namespace fs = std::filesystem;

inline std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// True as soon as the condition holds, within a limit.
template <class Condition>
bool soon(Condition condition) {
  const std::uint64_t start = monotonic_ns();
  while (!condition()) {
    if (since(start) > kPatience) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

/// `openssl s_server`, what it received in a file.
class TlsCollector {
 public:
  TlsCollector(const fs::path& folder, std::vector<std::string> arguments, std::uint16_t port = 0)
      : output_(folder / ("collector-" + std::to_string(++count_))) {
    arguments.insert(arguments.begin(),
                     {"openssl", "s_server", "-4", "-accept", "127.0.0.1:" + std::to_string(port)});
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    input_.reset(ends[1]);  // never written: s_server ends when its input does
    const UniqueFd its_input(ends[0]);
    pid_ = ::fork();
    if (pid_ == 0) run(arguments, its_input.get());
    std::string text;
    std::size_t line = 0;
    if (!soon([&] {
          text = read(output_);
          line = text.find("ACCEPT");  // followed by the address, where the port is its choice
          return line != std::string::npos && text.find('\n', line) != std::string::npos;
        }))
      return;
    port_ = port != 0 ? port : static_cast<std::uint16_t>(std::atoi(text.c_str() + text.find(':', line) + 1));
  }
  ~TlsCollector() { stop(); }
  TlsCollector(const TlsCollector&) = delete;
  TlsCollector& operator=(const TlsCollector&) = delete;

  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void freeze() const { ::kill(pid_, SIGSTOP); }
  std::uint16_t port() const { return port_; }

  bool received(const Bytes& bytes) const {
    const std::string wanted(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return soon([&] { return read(output_).find(wanted) != std::string::npos; });
  }

 private:
  void run(const std::vector<std::string>& arguments, int input) const {
    std::vector<char*> words;
    for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    const int output = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(input, STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::execvp(words[0], words.data());
    ::_exit(127);
  }

  static inline int count_ = 0;
  fs::path output_;
  UniqueFd input_;
  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
};

}  // namespace rheo::test
