// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/file_stamp.h"

#include <sys/stat.h>

#include <cerrno>

namespace rheo {

FileStamp stamp_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {.error = errno};
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = status.st_size,
          .changed_s = status.st_ctim.tv_sec,
          .changed_ns = status.st_ctim.tv_nsec};
}

}  // namespace rheo
