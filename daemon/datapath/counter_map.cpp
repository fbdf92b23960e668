// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/counter_map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <atomic>

#include "bpf/abi.h"
#include "daemon/datapath/refusal.h"

namespace rheo {
namespace {

std::uint64_t load(__u64& counter) { return std::atomic_ref(counter).load(std::memory_order_relaxed); }

void add(LossCount& sum, abi::drop_count& drop) {
  sum.packets += load(drop.packets);
  sum.bytes += load(drop.bytes);
}

}  // namespace

Result<CounterMap> CounterMap::create() {
  const int cpus = libbpf_num_possible_cpus();  // unlike the flow cache, every CPU there could ever be
  if (cpus < 0) return errno_error("count the possible CPUs", -cpus);
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
  UniqueFd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "counters", sizeof(__u32), sizeof(abi::cpu_counters),
                             static_cast<__u32>(cpus), &options));
  if (!fd) return bpf_error("create the BPF map counters", errno);
  return open(std::move(fd));
}

Result<CounterMap> CounterMap::open(UniqueFd fd) {
  bpf_map_info info{};
  __u32 size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0)
    return bpf_error("look at the map counters", errno);
  const int cpus = libbpf_num_possible_cpus();
  if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size != sizeof(abi::cpu_counters) ||
      info.max_entries != static_cast<__u32>(cpus))
    return failure("the pinned map counters has another layout than this rheod's");

  auto mapping =
      Mapping::map(fd.get(), info.max_entries * sizeof(abi::cpu_counters), 0, Mapping::Access::read);
  if (!mapping) return forward(std::move(mapping), "counters");
  CounterMap counters;
  counters.fd_ = std::move(fd);
  counters.mapping_ = *std::move(mapping);
  counters.cpus_ = info.max_entries;
  return counters;
}

DatapathCounters CounterMap::sum() const {
  DatapathCounters sum;
  auto* const cpus = reinterpret_cast<abi::cpu_counters*>(mapping_.data());
  for (std::uint32_t cpu = 0; cpu < cpus_; ++cpu) {
    abi::cpu_counters& counters = cpus[cpu];
    sum.seen_packets += load(counters.seen_packets);
    sum.seen_bytes += load(counters.seen_bytes);
    sum.evicted_rows += load(counters.evicted_rows);
    sum.nonlinear_packets += load(counters.nonlinear_packets);
    sum.fragments_unknown += load(counters.fragments_unknown);
    add(sum.not_ip, counters.drop[abi::DROP_NOT_IP]);
    add(sum.truncated, counters.drop[abi::DROP_TRUNCATED]);
    add(sum.malformed, counters.drop[abi::DROP_MALFORMED]);
    add(sum.too_deep, counters.drop[abi::DROP_TOO_DEEP]);
    add(sum.evicted_full, counters.drop[abi::DROP_EVICTED_FULL]);
  }
  return sum;
}

}  // namespace rheo
