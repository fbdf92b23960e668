// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/tcx_link.h"

#include <bpf/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "daemon/datapath/refusal.h"

namespace rheo {
namespace {

// <linux/bpf.h> of Linux 6.6; Debian 12's headers are older.
constexpr int kTcxIngress = 46;      // BPF_TCX_INGRESS
constexpr int kTcxEgress = 47;       // BPF_TCX_EGRESS
constexpr __u32 kBefore = 1U << 3U;  // BPF_F_BEFORE; with no program named: before all
constexpr __u32 kAfter = 1U << 4U;   // BPF_F_AFTER; likewise after all
constexpr __u32 kLinkTypeTcx = 11;   // BPF_LINK_TYPE_TCX

/// The first bytes of bpf_link_info, with its member `tcx`.
struct TcxLinkInfo {
  __u32 type;
  __u32 id;
  __u32 program_id;
  __u32 padding;
  __u32 ifindex;
  __u32 attach_type;
};

bpf_attach_type attach_type(Direction direction) {
  return static_cast<bpf_attach_type>(direction == Direction::ingress ? kTcxIngress : kTcxEgress);
}

/// The first bytes of bpf_attr, with its member `query`.
struct ProgramQuery {
  __u32 ifindex;
  __u32 attach_type;
  __u32 query_flags;
  __u32 attach_flags;
  __u64 program_ids;
  __u32 count;
  __u32 padding;
  __u64 program_attach_flags;
  __u64 link_ids;
  __u64 link_attach_flags;
  __u64 revision;
};

/// Nothing: it is no TCX link of that direction.
std::optional<TcxLinkInfo> link_info(int link_fd, Direction direction) {
  TcxLinkInfo info{};
  __u32 size = sizeof info;
  if (bpf_obj_get_info_by_fd(link_fd, &info, &size) != 0) return std::nullopt;
  if (info.type != kLinkTypeTcx || info.attach_type != static_cast<__u32>(attach_type(direction)))
    return std::nullopt;
  return info;
}

/// A link whose interface has moved to another namespace tells the number that it has there.
bool is_here(const TcxLinkInfo& info) {
  std::array<__u32, 64> programs{};  // the kernel's limit of one hook
  std::array<__u32, 64> links{};
  ProgramQuery query{};
  query.ifindex = info.ifindex;
  query.attach_type = info.attach_type;
  query.program_ids = reinterpret_cast<__u64>(programs.data());
  query.link_ids = reinterpret_cast<__u64>(links.data());
  query.count = programs.size();
  if (::syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof query) != 0) return false;
  return std::find(links.begin(), links.end(), info.id) != links.end();
}

}  // namespace

bool kernel_has_tcx(int program_fd) {
  constexpr int kNoInterface = 0x7fffffff;
  const UniqueFd link(bpf_link_create(program_fd, kNoInterface, attach_type(Direction::ingress), nullptr));
  return !link && errno == ENODEV;  // EINVAL: the attach type is unknown
}

Result<UniqueFd> attach_tcx(int program_fd, std::uint32_t ifindex, Direction direction, TcxOrder order) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = order == TcxOrder::first ? kBefore : kAfter);
  UniqueFd link(bpf_link_create(program_fd, static_cast<int>(ifindex), attach_type(direction), &options));
  if (!link) return bpf_error("attach a TCX link", errno);
  return link;
}

Status update_tcx(int link_fd, int program_fd) {
  if (bpf_link_update(link_fd, program_fd, nullptr) != 0) return bpf_error("update a TCX link", errno);
  return Done{};
}

std::uint32_t tcx_ifindex(int link_fd, Direction direction) {
  const auto info = link_info(link_fd, direction);
  return info && info->ifindex != 0 && is_here(*info) ? info->ifindex : 0;
}

std::uint32_t tcx_ifindex_anywhere(int link_fd, Direction direction) {
  const auto info = link_info(link_fd, direction);
  return info ? info->ifindex : 0;
}

bool tcx_is_link(int link_fd, Direction direction) { return link_info(link_fd, direction).has_value(); }

void detach_tcx(int link_fd) { bpf_link_detach(link_fd); }

}  // namespace rheo
