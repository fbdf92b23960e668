// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <string>

#include "daemon/datapath/refusal.h"

// The skeleton names the type of `settings` as C does.
using rheo::abi::meter_settings;
#include "flow.skel.h"

namespace rheo {
namespace {

constexpr const char* kKernelBtf = "/sys/kernel/btf/vmlinux";

/// Chooses which programs are loaded: one kind of kernel would not need, or might refuse, the other's.
void choose_variant(const flow_bpf& skeleton, bool realtime) {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton.obj) {
    const bool is_realtime = std::string_view(bpf_program__name(program)).ends_with("_rt");
    bpf_program__set_autoload(program, is_realtime == realtime);
  }
}

Result<int> program_fd(const flow_bpf& skeleton, std::string_view layer, std::string_view direction,
                       bool realtime) {
  const std::string name = fmt::format("meter_{}_{}{}", layer, direction, realtime ? "_rt" : "");
  const bpf_program* program = bpf_object__find_program_by_name(skeleton.obj, name.c_str());
  if (program == nullptr) return failure(fmt::format("the BPF object has no program {}", name));
  return bpf_program__fd(program);
}

Result<ProgramFds> program_fds(const flow_bpf& skeleton, std::string_view layer, bool realtime) {
  const auto ingress = program_fd(skeleton, layer, "ingress", realtime);
  if (!ingress) return std::unexpected(ingress.error());
  const auto egress = program_fd(skeleton, layer, "egress", realtime);
  if (!egress) return std::unexpected(egress.error());
  return ProgramFds{.ingress = *ingress, .egress = *egress};
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

  bpf_map* const fragments = skeleton.maps.fragments;
  if (bpf_map__set_max_entries(fragments, maps.fragment_entries) != 0)
    return failure(fmt::format("fragments: {} entries are not possible", maps.fragment_entries));
  if (maps.fragments && same_layout(maps.fragments.get(), fragments))
    return reuse(fragments, maps.fragments.get());
  return Done{};
}

}  // namespace

void Programs::Destroy::operator()(flow_bpf* skeleton) const { flow_bpf__destroy(skeleton); }

Result<Programs> Programs::load(const abi::meter_settings& settings, const ProgramMaps& maps) {
  if (::access(kKernelBtf, R_OK) != 0)
    return errno_error(
        fmt::format("load the BPF programs: the kernel shows no type information (it needs "
                    "CONFIG_DEBUG_INFO_BTF=y): {}",
                    kKernelBtf));
  Programs programs;
  programs.skeleton_.reset(flow_bpf__open());
  if (!programs.skeleton_) return bpf_error("open the BPF object", errno);
  const flow_bpf& skeleton = *programs.skeleton_;
  const bool realtime = settings.claim_partition != 0;
  programs.skeleton_->rodata->settings = settings;
  choose_variant(skeleton, realtime);
  if (auto used = use_maps(skeleton, maps); !used) return forward(std::move(used), "load the BPF programs");

  if (const int error = flow_bpf__load(programs.skeleton_.get()); error != 0)
    return bpf_error("load the BPF programs", -error);
  auto ethernet = program_fds(skeleton, "ethernet", realtime);
  if (!ethernet) return forward(std::move(ethernet));
  auto ip = program_fds(skeleton, "ip", realtime);
  if (!ip) return forward(std::move(ip));
  programs.ethernet_ = *ethernet;
  programs.ip_ = *ip;
  programs.fragments_ = bpf_map__fd(skeleton.maps.fragments);
  return programs;
}

}  // namespace rheo
