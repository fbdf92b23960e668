// SPDX-License-Identifier: Apache-2.0
// UserNames: the names of the host's users by number, from /etc/passwd alone: other sources of users may
// wait for the network. Its owner's locks.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <unordered_map>

namespace rheo {

class UserNames {
 public:
  explicit UserNames(std::string file = "/etc/passwd") : file_(std::move(file)) {}

  /// The number as text where the file names no such user. Reads the file again when it has changed.
  std::string find(std::uint32_t uid);

 private:
  void read_if_changed();

  std::string file_;
  timespec changed_{};
  std::unordered_map<std::uint32_t, std::string> names_;
};

}  // namespace rheo
