// SPDX-License-Identifier: Apache-2.0
// RunDirectory: the folder of the flow table, and the lock that keeps a second rheod out of it. Main thread.
#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"

namespace rheo {

class RunDirectory {
 public:
  /// Makes the folder where it is missing (0700) and takes the lock, or says who has it.
  static Result<RunDirectory> claim(const std::string& path);

  const std::string& path() const { return path_; }

  /// A file made here by root belongs to the folder's owner: the service's own user has to open it.
  void give_to_owner(int fd) const;

  /// Nothing is to be kept: removes the lock file and, if we made it and it is empty, the folder.
  void clear();

 private:
  std::string path_;
  UniqueFd lock_;
  bool made_ = false;
};

}  // namespace rheo
