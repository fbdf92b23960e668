// SPDX-License-Identifier: Apache-2.0
// Which unit, slice, session and container a path in the cgroup tree means. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

namespace rheo {

struct CgroupMeaning {
  std::string unit;       // "nginx.service", "user@1000.service", "session-3.scope"
  std::string user_unit;  // of the user's own manager: "syncthing.service"
  std::string slice;      // the unit's: "system.slice"
  std::string session;    // "3"
  std::string container_id;
  std::string container_runtime;
};

/// By systemd's rules (systemd's src/basic/cgroup-util.c) and the names that container runtimes give their
/// cgroups. What a path does not tell is "".
CgroupMeaning read_cgroup_path(std::string_view path);

}  // namespace rheo
