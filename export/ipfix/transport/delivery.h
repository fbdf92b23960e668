// SPDX-License-Identifier: Apache-2.0
// Delivery: which messages of a batch have arrived at the other end of a TCP connection, told by where they
// end in its octets. One lane's thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "export/ipfix/transport/socket.h"

namespace rheo {

class Delivery {
 public:
  /// A batch begins: all before it has arrived.
  void begin() {
    ends_.clear();
    unconfirmed_ = 0;
  }

  /// A message was sent; `written` is what the connection was given so far.
  void sent(std::uint64_t written) { ends_.push_back(written); }

  /// The connection broke, and was given so much: looks how far its peer acknowledged.
  void broke(int fd, std::uint64_t written) {
    const std::uint64_t arrived = written - std::min(written, unacknowledged(fd));
    const auto first = std::upper_bound(ends_.begin(), ends_.end(), arrived);
    unconfirmed_ = static_cast<std::size_t>(ends_.end() - first);
  }

  std::size_t unconfirmed() const { return unconfirmed_; }

 private:
  std::vector<std::uint64_t> ends_;  // of the batch's messages
  std::size_t unconfirmed_ = 0;
};

}  // namespace rheo
