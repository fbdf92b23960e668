// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/generations.h"

#include <bpf/bpf.h>
#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <cstring>
#include <string_view>

#include "bpf/abi.h"
#include "daemon/datapath/refusal.h"

namespace rheo {
namespace {

constexpr std::size_t kBatchRows = 64;       // their lines, prefetched, stay in the L1 cache
constexpr std::uint64_t kTagsAhead = 16;     // sets whose tags are prefetched: they are 1088 bytes apart
constexpr std::string_view kName = "sets_";  // map name: how a partition's size survives the process

bpf_map_info look_at(int fd) {
  bpf_map_info info{};
  __u32 size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) info = {};
  return info;
}

/// The number in "sets_1024", 0 where the name is another.
std::uint32_t partition_sets_of(const bpf_map_info& info) {
  const std::string_view name(info.name, ::strnlen(info.name, sizeof info.name));
  std::uint32_t sets = 0;
  if (name.starts_with(kName)) std::from_chars(name.data() + kName.size(), name.data() + name.size(), sets);
  return sets;
}

UniqueFd create_inner(const Geometry& geometry) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
  const std::string name = fmt::format("{}{}", kName, geometry.partition_sets);
  return UniqueFd(bpf_map_create(BPF_MAP_TYPE_ARRAY, name.c_str(), sizeof(__u32), sizeof(abi::flow_set),
                                 static_cast<__u32>(geometry.sets()), &options));
}

void prefetch(const void* line) { __builtin_prefetch(line); }

void prefetch_row(const abi::flow_set& set, std::uint16_t way) {
  prefetch(&set.hot[way]);
  prefetch(reinterpret_cast<const std::byte*>(&set.hot[way]) + 64);
  prefetch(&set.cold[way]);
  prefetch(&set.tcp[way]);
}

}  // namespace

Result<Generations> Generations::create(const Geometry& geometry) {
  if (geometry.sets() > UINT32_MAX)
    return failure(fmt::format("flow_cache_rows: {} sets are more than a BPF map holds", geometry.sets()));
  UniqueFd first = create_inner(geometry);
  if (!first) return bpf_error("create the BPF map generation0", errno);
  UniqueFd second = create_inner(geometry);
  if (!second) return bpf_error("create the BPF map generation1", errno);

  LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = static_cast<__u32>(first.get()));
  UniqueFd outer(
      bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "flow_cache", sizeof(__u32), sizeof(__u32), 1, &options));
  if (!outer) return bpf_error("create the BPF map flow_cache", errno);
  const __u32 index = 0;
  const int inner = first.get();
  if (bpf_map_update_elem(outer.get(), &index, &inner, BPF_ANY) != 0)
    return bpf_error("fill the flow cache", errno);
  return open(std::move(outer), std::move(first), std::move(second));
}

Result<Generations::Inner> Generations::open_inner(UniqueFd fd, std::uint64_t sets) {
  const bpf_map_info info = look_at(fd.get());
  if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size != sizeof(abi::flow_set) || info.max_entries != sets)
    return failure("a pinned generation of the flow cache has another layout than this rheod's");
  auto mapping = Mapping::map(fd.get(), sets * sizeof(abi::flow_set), 0, Mapping::Access::read_write);
  if (!mapping) return forward(std::move(mapping), "flow cache");
  return Inner{.fd = std::move(fd), .mapping = *std::move(mapping), .id = info.id};
}

Result<Generations> Generations::open(UniqueFd outer, UniqueFd first, UniqueFd second) {
  Generations generations;
  const bpf_map_info info = look_at(first.get());
  generations.sets_ = info.max_entries;
  generations.partition_sets_ = partition_sets_of(info);
  for (std::size_t i = 0; i < 2; ++i) {
    auto inner = open_inner(std::move(i == 0 ? first : second), generations.sets_);
    if (!inner) return forward(std::move(inner));
    generations.inner_[i] = *std::move(inner);
  }

  const __u32 index = 0;
  __u32 active_id = 0;
  if (bpf_map_lookup_elem(outer.get(), &index, &active_id) != 0)
    return bpf_error("read the flow cache", errno);
  generations.outer_ = std::move(outer);
  const bool is_second = active_id == generations.inner_[1].id;
  if (!is_second && active_id != generations.inner_[0].id)
    return failure("the pinned flow cache uses a map that is neither generation0 nor generation1");
  // A swap may have been cut short before its grace period: the same update again waits for it.
  if (auto quiet = generations.activate(is_second ? 1 : 0); !quiet) return forward(std::move(quiet));
  return generations;
}

Status Generations::activate(std::uint16_t generation) {
  const __u32 index = 0;
  const int inner = inner_[generation].fd.get();
  // Returns after a grace period of RCU (kernel/bpf/syscall.c, maybe_wait_bpf_programs).
  if (bpf_map_update_elem(outer_.get(), &index, &inner, BPF_ANY) != 0)
    return bpf_error("swap the flow cache's generations", errno);
  active_ = generation;
  return Done{};
}

Status Generations::swap() { return activate(active_ == 0 ? 1 : 0); }

void Generations::drain(const std::function<void(std::span<const Row>)>& merge) {
  const auto idle = static_cast<std::uint16_t>(1 - active_);
  const std::span sets(reinterpret_cast<const abi::flow_set*>(inner_[idle].mapping.data()), sets_);
  std::array<Row, kBatchRows> batch;
  std::size_t filled = 0;
  for (std::uint64_t s = 0; s < sets_; ++s) {
    if (s + kTagsAhead < sets_) prefetch(&sets[s + kTagsAhead].tag);
    const abi::flow_set& set = sets[s];
    for (std::uint16_t way = 0; way < abi::FLOW_CACHE_WAYS; ++way) {
      if (set.tag[way] == 0) continue;
      prefetch_row(set, way);
      batch[filled++] = {
          .hot = &set.hot[way],
          .cold = &set.cold[way],
          .tcp = &set.tcp[way],
          .place = {.kind = RowPlace::Kind::cache, .generation = idle, .way = way, .position = s},
      };
      if (filled == kBatchRows) merge(std::span(batch.data(), std::exchange(filled, 0)));
    }
  }
  if (filled > 0) merge(std::span(batch.data(), filled));
}

void Generations::release(const RowPlace& place) {
  // A journal may name a place in maps that are gone with their pins.
  if (place.generation >= 2 || place.way >= abi::FLOW_CACHE_WAYS || place.position >= sets_) return;
  auto* const sets = reinterpret_cast<abi::flow_set*>(inner_[place.generation].mapping.data());
  abi::flow_set& set = sets[place.position];
  set.hot[place.way].key.kind = abi::KIND_FREED;
  std::atomic_ref(set.tag[place.way]).store(0, std::memory_order_release);
}

}  // namespace rheo
