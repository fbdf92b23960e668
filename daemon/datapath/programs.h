// SPDX-License-Identifier: Apache-2.0
// Programs: a loaded copy of the BPF programs (bpf/flow.bpf.c), using maps that outlive it. The main
// thread's.
#pragma once

#include <cstdint>

#include "bpf/abi.h"
#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/model/link.h"

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
  int socket_owners = -1;  // where there is none settings.note_owners is 0
  int recent_owners = -1;  // likewise
};

/// For meter_settings.has_coarse_clock. Loads a small program to see.
bool kernel_has_coarse_clock();

/// The two programs for interfaces of one link layer.
class Programs {
 public:
  /// A constructed one is loaded. On PREEMPT_RT (settings.claim_partition) these are the _rt variants.
  /// The kernel checks each for up to a second, so those of another link layer are left out.
  static Result<Programs> load(LinkLayer layer, const abi::meter_settings& settings, const ProgramMaps& maps);

  ProgramFds fds() const { return {.ingress = ingress_.get(), .egress = egress_.get()}; }
  int fragments_fd() const { return fragments_.get(); }

 private:
  // Not the object that they came from: there may be a copy of the programs for each network namespace.
  UniqueFd ingress_;
  UniqueFd egress_;
  UniqueFd fragments_;
};

}  // namespace rheo
