// SPDX-License-Identifier: Apache-2.0
// CounterMap: the per-CPU counters of the programs, read by mmap. Any thread once made.
#pragma once

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/datapath/mapping.h"
#include "daemon/model/counters.h"

namespace rheo {

class CounterMap {
 public:
  static Result<CounterMap> create();
  /// Takes over a pinned one; fails where its layout is not of this schema or host.
  static Result<CounterMap> open(UniqueFd fd);

  int fd() const { return fd_.get(); }
  DatapathCounters sum() const;

 private:
  UniqueFd fd_;
  Mapping mapping_;
  std::uint32_t cpus_ = 0;
};

}  // namespace rheo
