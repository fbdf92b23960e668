// SPDX-License-Identifier: Apache-2.0
// Programs: the loaded BPF object (bpf/flow.bpf.c), using maps that outlive it. The main thread's.
#pragma once

#include <cstdint>
#include <memory>

#include "bpf/abi.h"
#include "daemon/base/result.h"
#include "daemon/model/link.h"

struct flow_bpf;

namespace rheo {

/// Descriptors are lent.
struct ProgramFds {
  int ingress = -1;
  int egress = -1;
};

struct ProgramMaps {
  int flow_cache = -1;
  int evicted = -1;
  int counters = -1;
  int fragments =
      -1;  // of other programs; where there is none, or of another layout or size, a new one is made
  std::uint32_t fragment_entries = 0;
};

/// The two programs for interfaces of one link layer.
class Programs {
 public:
  /// A constructed one is loaded. On PREEMPT_RT (settings.claim_partition) these are the _rt variants.
  /// The kernel checks each for up to a second, so those of another link layer are left out.
  static Result<Programs> load(LinkLayer layer, const abi::meter_settings& settings, const ProgramMaps& maps);

  ProgramFds fds() const { return fds_; }
  int fragments_fd() const { return fragments_; }

 private:
  struct Destroy {
    void operator()(flow_bpf* skeleton) const;
  };

  std::unique_ptr<flow_bpf, Destroy> skeleton_;
  ProgramFds fds_;
  int fragments_ = -1;
};

}  // namespace rheo
