// SPDX-License-Identifier: Apache-2.0
// Programs: the loaded BPF object (bpf/flow.bpf.c), using maps that outlive it. The main thread's.
#pragma once

#include <cstdint>
#include <memory>

#include "bpf/abi.h"
#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/model/link.h"

struct flow_bpf;

namespace rheo {

/// The two programs for interfaces of one link layer. Descriptors are lent.
struct ProgramFds {
  int ingress = -1;
  int egress = -1;
};

struct ProgramMaps {
  int flow_cache = -1;
  int evicted = -1;
  int counters = -1;
  UniqueFd fragments;  // a pinned one; not used where its layout or size is not what is asked for
  std::uint32_t fragment_entries = 0;
};

class Programs {
 public:
  /// A constructed one is loaded. On PREEMPT_RT (settings.claim_partition) these are the _rt variants.
  static Result<Programs> load(const abi::meter_settings& settings, const ProgramMaps& maps);

  ProgramFds fds(LinkLayer layer) const { return layer == LinkLayer::ethernet ? ethernet_ : ip_; }
  int fragments_fd() const { return fragments_; }

 private:
  struct Destroy {
    void operator()(flow_bpf* skeleton) const;
  };

  std::unique_ptr<flow_bpf, Destroy> skeleton_;
  ProgramFds ethernet_;
  ProgramFds ip_;
  int fragments_ = -1;
};

}  // namespace rheo
