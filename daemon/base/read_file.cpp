// SPDX-License-Identifier: Apache-2.0
#include "daemon/base/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/unique_fd.h"

namespace rheo {

Result<std::string> read_file(const std::string& what, const std::string& path, std::size_t most) {
  // Without waiting: the path may be a fifo.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) return errno_error(what);
  if (!S_ISREG(status.st_mode)) return failure(what + ": not a regular file");
  std::string text(most, '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(what);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

}  // namespace rheo
