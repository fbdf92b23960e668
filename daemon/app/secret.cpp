// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/secret.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "daemon/base/unique_fd.h"

namespace rheo {
namespace {

constexpr std::size_t kMaxSecret = 8'192;

Result<std::string> read_file(const std::string& what, const std::string& path) {
  // Without waiting: the path may be a fifo.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) return errno_error(what);
  if (!S_ISREG(status.st_mode)) return failure(what + ": not a regular file");
  std::string text(kMaxSecret + 1, '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(what);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  while (text.ends_with('\n') || text.ends_with('\r') || text.ends_with(' ')) text.pop_back();
  return text;
}

}  // namespace

Result<std::string> read_secret_value(std::string_view key, const SecretConfig& secret,
                                      const std::string& credentials_directory) {
  if (!secret.value.empty()) return secret.value;
  const bool in_file = !secret.file.empty();
  const std::string what = fmt::format("{}_{} {}", key, in_file ? "file" : "credential",
                                       in_file ? secret.file : secret.credential);
  if (!in_file && credentials_directory.empty())
    return failure(what + ": no credentials were passed, $CREDENTIALS_DIRECTORY is not set");
  auto text = read_file(what, in_file ? secret.file : credentials_directory + "/" + secret.credential);
  if (!text) return text;
  const bool fit = !text->empty() && text->size() <= kMaxSecret &&
                   std::ranges::all_of(*text, [](char c) { return c >= 0x20 && c < 0x7f; });
  if (!fit)
    return failure(
        fmt::format("{}: not a secret; allowed: 1 to {} printable ASCII characters", what, kMaxSecret));
  return text;
}

}  // namespace rheo
