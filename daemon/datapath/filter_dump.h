// SPDX-License-Identifier: Apache-2.0
// FilterDump: which tc filters a clsact hook holds, and what kind of qdisc the hook belongs to. By rtnetlink
// itself, since libbpf asks for one place only, and does not tell names. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/datapath/options.h"

namespace rheo {

struct TcFilter {
  std::uint32_t priority = 0;
  std::uint32_t handle = 0;
  std::string bpf_name;  // of a BPF filter as attached by libbpf: "program:[id]"; else ""
};

/// All filters at the hook, of any kind, priority and chain; none where there is no clsact qdisc.
/// Nothing at all if the kernel does not answer.
std::optional<std::vector<TcFilter>> dump_filters(std::uint32_t ifindex, Direction direction);

/// "clsact" or "ingress": an interface has one of them or neither. Nothing where the kernel tells of none.
std::optional<std::string> dump_ingress_qdisc_kind(std::uint32_t ifindex);

/// Pure: adds what one part of the answer holds. True: it was the last part. An error message, or bytes that
/// are no messages, are Nothing.
std::optional<bool> read_filters(std::span<const std::byte> answer, std::vector<TcFilter>& filters);

}  // namespace rheo
