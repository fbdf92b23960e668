// SPDX-License-Identifier: Apache-2.0
// Settings: options to the numbers that maps and programs are made with. Pure but for the host's number of
// CPUs and its random numbers; any thread.
#pragma once

#include <cstdint>

#include "bpf/abi.h"
#include "daemon/base/result.h"
#include "daemon/datapath/options.h"

namespace rheo {

/// What the sizes of the maps depend on. Maps of another geometry cannot be taken over: two programs with
/// different partitions would write the same rows from two CPUs.
struct Geometry {
  std::uint32_t partition_sets = 0;   // of one CPU, a power of two
  std::uint32_t partition_count = 0;  // CPUs
  std::uint64_t ring_bytes = 0;
  friend bool operator==(const Geometry&, const Geometry&) = default;

  std::uint64_t sets() const { return std::uint64_t{partition_sets} * partition_count; }
};

/// `cpus` partitions of the power of two of sets that brings their sum nearest to options.flow_cache_rows.
Result<Geometry> make_geometry(const DatapathOptions& options, std::uint32_t cpus);

/// CPUs configured now; one that is added later sends its packets straight to `evicted`.
std::uint32_t configured_cpus();

/// True on a PREEMPT_RT kernel, where BPF programs of one CPU can interrupt each other.
bool realtime_kernel();

/// The tunnel part; fails on more ports than the programs hold.
Result<abi::parse_settings> make_parse_settings(const DatapathOptions& options);

/// Everything the programs are told; the hash seed is new each time.
Result<abi::meter_settings> make_meter_settings(const DatapathOptions& options, const Geometry& geometry);

}  // namespace rheo
