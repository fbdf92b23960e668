// SPDX-License-Identifier: Apache-2.0
// FileStamp: by which a file that others write is seen to have changed. A plain value, any thread.
#pragma once

#include <cstdint>
#include <string>

namespace rheo {

struct FileStamp {
  int error = 0;  // errno: there is no such file, or nothing is known of it
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t size = 0;
  std::int64_t changed_s = 0;  // of the content or of the inode (ctime): no program can set it back
  std::int64_t changed_ns = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

/// Of the file behind links. Asks the file system, and may wait for it.
FileStamp stamp_of(const std::string& path);

}  // namespace rheo
