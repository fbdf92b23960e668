// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/clsact_filter.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "daemon/datapath/filter_dump.h"
#include "daemon/datapath/refusal.h"

namespace rheo {
namespace {

constexpr __u32 kHandle = 0x7268;
constexpr std::string_view kProgramPrefix = "meter_";  // of all programs of bpf/flow.bpf.c

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

bpf_tc_opts our_place(std::uint32_t priority) {
  bpf_tc_opts options{};
  options.sz = sizeof options;
  options.handle = kHandle;
  options.priority = priority;
  return options;
}

/// By name: asking for the program itself takes CAP_SYS_ADMIN.
bool is_ours(const TcFilter& filter) {
  return filter.handle == kHandle && filter.bpf_name.starts_with(kProgramPrefix);
}

/// Nothing where the filters cannot be seen: then they are left alone.
std::vector<TcFilter> filters_at(std::uint32_t ifindex, Direction direction) {
  return dump_filters(ifindex, direction).value_or(std::vector<TcFilter>{});
}

bool detach_filter(std::uint32_t ifindex, Direction direction, std::uint32_t priority) {
  const bpf_tc_hook hook = hook_at(ifindex, direction);
  const bpf_tc_opts options = our_place(priority);
  return bpf_tc_detach(&hook, &options) == 0;
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

Status attach_clsact(int program_fd, std::uint32_t ifindex, Direction direction, std::uint16_t priority) {
  const auto filters = dump_filters(ifindex, direction);
  if (!filters) return failure("the filters that are there cannot be listed", std::errc::io_error);
  for (const TcFilter& filter : *filters) {
    if (is_ours(filter)) {
      if (filter.priority != priority) detach_filter(ifindex, direction, filter.priority);
    } else if (filter.priority == priority && filter.handle == kHandle)
      return failure(fmt::format("another program's filter has priority {} and handle {:#x}, which are ours "
                                 "(tc_priority says which priority)",
                                 priority, kHandle),
                     std::errc::device_or_resource_busy);
  }
  const bpf_tc_hook hook = hook_at(ifindex, direction);
  bpf_tc_opts options = our_place(priority);
  options.prog_fd = program_fd;
  options.flags = BPF_TC_F_REPLACE;
  if (const int error = bpf_tc_attach(&hook, &options); error != 0)
    return bpf_error("attach a clsact filter", -error);
  return Done{};
}

bool detach_clsact(std::uint32_t ifindex, Direction direction) {
  bool detached = false;
  for (const TcFilter& filter : filters_at(ifindex, direction))
    if (is_ours(filter) && detach_filter(ifindex, direction, filter.priority)) detached = true;
  return detached;
}

bool has_our_filter(std::uint32_t ifindex, Direction direction) {
  return std::ranges::any_of(filters_at(ifindex, direction), is_ours);
}

bool remove_empty_clsact_qdisc(std::uint32_t ifindex) {
  if (has_filters(ifindex, Direction::ingress) || has_filters(ifindex, Direction::egress)) return false;
  // Both points at once: libbpf removes the qdisc. One alone would flush that point's filters.
  bpf_tc_hook hook = whole_qdisc(ifindex);
  return bpf_tc_hook_destroy(&hook) == 0;
}

}  // namespace rheo
