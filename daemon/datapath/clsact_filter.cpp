// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/clsact_filter.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <string_view>

#include "daemon/datapath/filter_dump.h"
#include "daemon/datapath/refusal.h"

namespace rheo {
namespace {

constexpr __u32 kHandle = 0x7268;
constexpr __u32 kPriority = 50;  // ahead of the 0xC000 and above that tc chooses by itself
constexpr std::string_view kProgramPrefix = "meter_";  // of all programs of bpf/flow.bpf.c

enum class Owner { nobody, us, another };

bpf_tc_hook hook_at(std::uint32_t ifindex, Direction direction) {
  bpf_tc_hook hook{};
  hook.sz = sizeof hook;
  hook.ifindex = static_cast<int>(ifindex);
  hook.attach_point = direction == Direction::ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
  return hook;
}

bpf_tc_hook whole_qdisc(std::uint32_t ifindex) {
  bpf_tc_hook hook = hook_at(ifindex, Direction::ingress);
  hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  return hook;
}

bpf_tc_opts our_place() {
  bpf_tc_opts options{};
  options.sz = sizeof options;
  options.handle = kHandle;
  options.priority = kPriority;
  return options;
}

/// By name: asking for the program itself takes CAP_SYS_ADMIN.
Owner owner_of_place(std::uint32_t ifindex, Direction direction) {
  const auto filters = dump_filters(ifindex, direction);
  if (!filters) return Owner::another;  // what cannot be seen is left alone
  for (const TcFilter& filter : *filters) {
    if (filter.priority == kPriority && filter.handle == kHandle)
      return filter.bpf_name.starts_with(kProgramPrefix) ? Owner::us : Owner::another;
  }
  return Owner::nobody;
}

/// True if the hook holds any filter at all, or that cannot be told.
bool has_filters(std::uint32_t ifindex, Direction direction) {
  const auto filters = dump_filters(ifindex, direction);
  return !filters || !filters->empty();
}

}  // namespace

Result<bool> create_clsact_qdisc(std::uint32_t ifindex) {
  bpf_tc_hook hook = whole_qdisc(ifindex);
  const int error = bpf_tc_hook_create(&hook);
  if (error == -EEXIST) {
    // The kernel would take a filter for its egress and put it on ingress: what is sent would not be seen.
    if (dump_ingress_qdisc_kind(ifindex) == "ingress")
      return failure(
          "it has an ingress qdisc, which has no egress hook: replace it by clsact, which takes the same "
          "filters",
          std::errc::device_or_resource_busy);
    return false;
  }
  if (error != 0) return bpf_error("create the clsact qdisc", -error);
  return true;
}

Status attach_clsact(int program_fd, std::uint32_t ifindex, Direction direction) {
  if (owner_of_place(ifindex, direction) == Owner::another)
    return failure(fmt::format("another program's filter has priority {} and handle {:#x}, which are ours",
                               kPriority, kHandle),
                   std::errc::device_or_resource_busy);
  const bpf_tc_hook hook = hook_at(ifindex, direction);
  bpf_tc_opts options = our_place();
  options.prog_fd = program_fd;
  options.flags = BPF_TC_F_REPLACE;
  if (const int error = bpf_tc_attach(&hook, &options); error != 0)
    return bpf_error("attach a clsact filter", -error);
  return Done{};
}

bool detach_clsact(std::uint32_t ifindex, Direction direction) {
  if (owner_of_place(ifindex, direction) != Owner::us) return false;
  const bpf_tc_hook hook = hook_at(ifindex, direction);
  const bpf_tc_opts options = our_place();
  return bpf_tc_detach(&hook, &options) == 0;
}

bool has_our_filter(std::uint32_t ifindex, Direction direction) {
  return owner_of_place(ifindex, direction) == Owner::us;
}

bool remove_empty_clsact_qdisc(std::uint32_t ifindex) {
  if (has_filters(ifindex, Direction::ingress) || has_filters(ifindex, Direction::egress)) return false;
  // Both points at once: libbpf removes the qdisc. One alone would flush that point's filters.
  bpf_tc_hook hook = whole_qdisc(ifindex);
  return bpf_tc_hook_destroy(&hook) == 0;
}

}  // namespace rheo
