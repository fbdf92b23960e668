// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/secret.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/base/read_file.h"

namespace rheo {
namespace {

constexpr std::size_t kMaxSecret = 8'192;

/// Without the end of its last line.
Result<std::string> read_line(const std::string& what, const std::string& path) {
  auto text = read_file(what, path, kMaxSecret + 1);
  if (!text) return text;
  while (text->ends_with('\n') || text->ends_with('\r') || text->ends_with(' ')) text->pop_back();
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
  auto text = read_line(what, in_file ? secret.file : credentials_directory + "/" + secret.credential);
  if (!text) return text;
  const bool fit = !text->empty() && text->size() <= kMaxSecret &&
                   std::ranges::all_of(*text, [](char c) { return c >= 0x20 && c < 0x7f; });
  if (!fit)
    return failure(
        fmt::format("{}: not a secret; allowed: 1 to {} printable ASCII characters", what, kMaxSecret));
  return text;
}

}  // namespace rheo
