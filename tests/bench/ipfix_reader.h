// SPDX-License-Identifier: Apache-2.0
// IpfixReader: a collector on loopback that reads whatever comes as fast as it can and looks at none of it,
// so that a benchmark measures the sender. One thread of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "daemon/base/unique_fd.h"

namespace rheo::testing {

class IpfixReader {
 public:
  /// `type`: SOCK_DGRAM or SOCK_STREAM, which takes one connection.
  explicit IpfixReader(int type);

  /// False: no socket was to be had.
  bool listens() const { return port_ != 0; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::uint64_t octets() const { return octets_; }

 private:
  void read(const std::stop_token& stop);

  UniqueFd socket_;
  int type_;
  std::uint16_t port_ = 0;  // host order
  std::atomic<std::uint64_t> octets_ = 0;
  std::jthread thread_;
};

}  // namespace rheo::testing
