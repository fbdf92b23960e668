// SPDX-License-Identifier: Apache-2.0
// Generations: the two copies of the flow cache, of which the programs use one and we read the other.
// The collector's thread.
#pragma once

#include <array>
#include <functional>
#include <span>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/datapath/mapping.h"
#include "daemon/datapath/settings.h"
#include "daemon/model/row.h"

namespace rheo {

class Generations {
 public:
  /// Empty, generation 0 active.
  static Result<Generations> create(const Geometry& geometry);

  /// Takes over pinned ones: finds out which is active, and waits until no program uses the other.
  static Result<Generations> open(UniqueFd outer, UniqueFd first, UniqueFd second);

  int outer_fd() const { return outer_.get(); }
  int fd(std::size_t generation) const { return inner_[generation].fd.get(); }
  std::uint32_t partition_sets() const { return partition_sets_; }
  std::uint64_t sets() const { return sets_; }
  /// The kernel gives a map's number to no other map before it has counted through 32 bits.
  std::uint64_t identity() const { return std::uint64_t{inner_[0].id} << 32U | inner_[1].id; }

  /// The promises of Datapath::swap, drain and release.
  Status swap();
  void drain(const std::function<void(std::span<const Row>)>& merge);
  void release(const RowPlace& place);

 private:
  struct Inner {
    UniqueFd fd;
    Mapping mapping;
    std::uint32_t id = 0;
  };

  static Result<Inner> open_inner(UniqueFd fd, std::uint64_t sets);
  Status activate(std::uint16_t generation);

  UniqueFd outer_;
  std::array<Inner, 2> inner_;
  std::uint64_t sets_ = 0;
  std::uint32_t partition_sets_ = 0;
  std::uint16_t active_ = 0;
};

}  // namespace rheo
