// SPDX-License-Identifier: Apache-2.0
// EvictedRing: rows that the flow cache had no place for, in the order in which they were evicted. It walks
// the ring buffer itself: what is read counts as read only when its row is released, also for the next
// process. The collector's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/datapath/mapping.h"
#include "daemon/model/row.h"

namespace rheo {

class EvictedRing {
 public:
  static Result<EvictedRing> create(std::uint64_t bytes);  // a power of two of pages
  static Result<EvictedRing> open(UniqueFd fd);

  int fd() const { return fd_.get(); }
  std::uint64_t bytes() const { return bytes_; }

  /// The promises of Datapath::consume_evicted and release.
  void consume(const std::function<void(std::span<const Row>)>& merge, std::uint64_t until_first_ns);
  void release(std::uint64_t position);

 private:
  std::uint64_t consumer_position() const;

  UniqueFd fd_;
  Mapping consumer_;  // the page that holds our position
  Mapping producer_;  // the page that holds the kernel's position, then the data, twice in a row
  std::uint64_t bytes_ = 0;
  std::uint64_t page_ = 0;
};

}  // namespace rheo
