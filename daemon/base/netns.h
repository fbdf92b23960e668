// SPDX-License-Identifier: Apache-2.0
// Netns: an open network namespace, in which other threads' questions to the kernel are asked. Any thread. As
// long as one is open the namespace lives, whoever else has left it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"

namespace rheo {

/// Where network namespaces have names (ip-netns(8)).
inline constexpr const char* kNetnsDirectory = "/run/netns";

class Netns {
 public:
  /// Fails where the file is no network namespace.
  static Result<Netns> open(const std::string& path);

  /// No other namespace has the same as long as this one is open.
  std::uint64_t inode() const { return inode_; }

  /// Does the work in the namespace, in a thread that lives no longer, while the caller waits where it is.
  /// Needs CAP_SYS_ADMIN: else std::errc::operation_not_permitted, and nothing was done.
  Status run(const std::function<void()>& work) const;

 private:
  UniqueFd file_;
  std::uint64_t inode_ = 0;
};

}  // namespace rheo
