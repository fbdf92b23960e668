// SPDX-License-Identifier: Apache-2.0
// Whose a socket is: SocketOwner as the kernel side noted it, Owner as it is told. Plain values; OwnerNotes
// and Owners say where they are to be had. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace rheo {

/// Numbers below are no owner: nothing is known, or nothing is to be known.
inline constexpr std::uint32_t kFirstOwner = 2;

/// Octets of a value that others chose, as it is told; what is longer is cut.
inline constexpr std::size_t kMaxOwnerText = 255;

/// A process when it last had a new socket, or connected, sent or accepted with one.
struct SocketOwner {
  std::uint32_t number = 0;    // as in FlowRecord; gone when many others came after
  std::uint32_t pid = 0;       // 0: in a pid namespace that is not ours
  std::uint32_t uid = 0;       // effective
  std::uint64_t start_ns = 0;  // CLOCK_BOOTTIME
  std::uint64_t cgroup_id = 0;
  std::string comm;
  std::string executable;  // the path of the file that it runs, as it sees it; "" where that is too long
  std::string cgroup;      // "/system.slice/nginx.service"; likewise
};

class OwnerNotes {
 public:
  virtual ~OwnerNotes() = default;

  /// Nothing: the number is none, or its place was needed for another. Does not ask the kernel. Any thread.
  virtual std::optional<SocketOwner> read(std::uint32_t number) const = 0;
};

struct Owner {
  std::uint32_t pid = 0;  // as in SocketOwner
  std::uint32_t uid = 0;
  std::string name;               // at most 15 octets
  std::string executable;         // its path as the process sees it
  std::string command_line;       // "" where the settings do not ask for it, or the process was gone
  std::string user;               // its name, or its number
  std::string unit;               // systemd's, "nginx.service"
  std::string user_unit;          // of the user's own manager, "syncthing.service"
  std::string slice;              // "system.slice"
  std::string session;            // the login session's, "3"
  std::string container_id;       // 64 hexadecimal digits, or a name for LXC and nspawn
  std::string container_name;     // what its user calls it; "" where the settings do not ask for it
  std::string container_image;    // likewise
  std::string container_runtime;  // "docker", "podman", "containerd", "cri-o", "lxc", "systemd-nspawn"
};

class Owners {
 public:
  virtual ~Owners() = default;

  /// Null where nothing is known. Reads /etc/passwd when it has changed. Any thread.
  virtual std::shared_ptr<const Owner> find(std::uint32_t number) = 0;
};

}  // namespace rheo
