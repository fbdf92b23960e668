// SPDX-License-Identifier: Apache-2.0
// Orphan: something of rheo's in the kernel that serves no running rheod. A plain value, any thread.
#pragma once

#include <string>

namespace rheo {

struct Orphan {
  std::string kind;    // "link", "filter", "qdisc", "map"; "unknown": not certainly rheo's, never removed
  std::string place;   // a path on the BPF file system, or "eth0 ingress"
  std::string reason;  // why it is one
  friend bool operator==(const Orphan&, const Orphan&) = default;
};

}  // namespace rheo
