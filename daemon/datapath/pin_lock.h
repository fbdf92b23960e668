// SPDX-License-Identifier: Apache-2.0
// PinLock: keeps a second rheod out of a pin directory, also one with another run directory, and of another
// version. The lock is on the folder itself, since a BPF file system has no files. Main thread.
#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"

namespace rheo {

class PinLock {
 public:
  /// Makes the folder where it is missing, for us alone. Where nothing can be pinned there is nothing to
  /// lock, and that is fine. Fails where another process has it, naming its number.
  static Result<PinLock> take(const std::string& pin_directory);

  /// Removes the folder if we made it and it is empty.
  void clear();

 private:
  std::string path_;
  UniqueFd lock_;
  bool made_ = false;
};

}  // namespace rheo
