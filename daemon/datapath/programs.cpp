// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "daemon/datapath/options.h"
#include "daemon/datapath/refusal.h"

// The skeleton names the type of `settings` as C does.
using rheo::abi::meter_settings;
#include "flow.skel.h"

namespace rheo {
namespace {

std::string program_name(LinkLayer layer, Direction direction, bool realtime) {
  return fmt::format("meter_{}_{}{}", layer == LinkLayer::ethernet ? "ethernet" : "ip",
                     direction_name(direction), realtime ? "_rt" : "");
}

/// Finds one program and has it loaded; all others are not, unless chosen too.
Result<bpf_program*> choose_program(const flow_bpf& skeleton, const std::string& name) {
  bpf_program* const program = bpf_object__find_program_by_name(skeleton.obj, name.c_str());
  if (program == nullptr) return failure(fmt::format("the BPF object has no program {}", name));
  bpf_program__set_autoload(program, true);
  return program;
}

void choose_none(const flow_bpf& skeleton) {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton.obj) bpf_program__set_autoload(program, false);
}

bool same_layout(int fd, const bpf_map* map) {
  bpf_map_info info{};
  __u32 size = sizeof info;
  return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(map) &&
         info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
         info.max_entries == bpf_map__max_entries(map) && info.map_flags == bpf_map__map_flags(map);
}

Status use_maps(const flow_bpf& skeleton, const ProgramMaps& maps) {
  const auto reuse = [](bpf_map* map, int fd) -> Status {
    if (const int error = bpf_map__reuse_fd(map, fd); error != 0)
      return bpf_error(fmt::format("use the map {}", bpf_map__name(map)), -error);
    return Done{};
  };
  if (auto used = reuse(skeleton.maps.flow_cache, maps.flow_cache); !used) return used;
  if (auto used = reuse(skeleton.maps.evicted, maps.evicted); !used) return used;
  if (auto used = reuse(skeleton.maps.counters, maps.counters); !used) return used;
  for (const auto& [map, fd] : {std::pair(skeleton.maps.socket_owners, maps.socket_owners),
                                std::pair(skeleton.maps.recent_owners, maps.recent_owners)}) {
    if (fd < 0)
      bpf_map__set_autocreate(map, false);  // what uses it is dead code
    else if (auto used = reuse(map, fd); !used)
      return used;
  }

  bpf_map* const fragments = skeleton.maps.fragments;
  if (bpf_map__set_max_entries(fragments, maps.fragment_entries) != 0)
    return failure(fmt::format("fragments: {} entries are not possible", maps.fragment_entries));
  if (maps.fragments >= 0 && same_layout(maps.fragments, fragments)) return reuse(fragments, maps.fragments);
  return Done{};
}

struct Destroy {
  void operator()(flow_bpf* skeleton) const { flow_bpf__destroy(skeleton); }
};

UniqueFd another(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

}  // namespace

bool kernel_has_coarse_clock() {
  return libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_ktime_get_coarse_ns, nullptr) == 1;
}

Result<Programs> Programs::load(LinkLayer layer, const abi::meter_settings& settings,
                                const ProgramMaps& maps) {
  const std::unique_ptr<flow_bpf, Destroy> object(flow_bpf__open());
  if (!object) return bpf_error("open the BPF object", errno);
  const flow_bpf& skeleton = *object;
  const bool realtime = settings.claim_partition != 0;
  object->rodata->settings = settings;
  choose_none(skeleton);
  const auto ingress = choose_program(skeleton, program_name(layer, Direction::ingress, realtime));
  if (!ingress) return std::unexpected(ingress.error());
  const auto egress = choose_program(skeleton, program_name(layer, Direction::egress, realtime));
  if (!egress) return std::unexpected(egress.error());
  if (auto used = use_maps(skeleton, maps); !used) return forward(std::move(used), "load the BPF programs");

  if (const int error = flow_bpf__load(object.get()); error != 0)
    return bpf_error("load the BPF programs", -error);
  Programs programs;
  programs.ingress_ = another(bpf_program__fd(*ingress));
  programs.egress_ = another(bpf_program__fd(*egress));
  programs.fragments_ = another(bpf_map__fd(skeleton.maps.fragments));
  if (!programs.ingress_ || !programs.egress_ || !programs.fragments_)
    return errno_error("load the BPF programs");
  return programs;
}

}  // namespace rheo
