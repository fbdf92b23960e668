// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/command_line.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>

#include "daemon/base/clock.h"
#include "daemon/base/unique_fd.h"

namespace rheo {
namespace {

constexpr std::size_t kMaxStat = 2'048;  // 52 numbers and a name

/// What one read gives of a file in the folder; nothing where the process is gone.
std::optional<std::string> read_once(int folder, const char* name, std::size_t most) {
  const UniqueFd file(::openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return std::nullopt;
  std::string text(most, '\0');
  const ssize_t got = ::read(file.get(), text.data(), text.size());
  if (got < 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(got));
  return text;
}

/// "812 (nginx) S 1 …": whether name and start time (field 22, in clock ticks) are those that were noted.
bool is_the_noted(std::string_view stat, const SocketOwner& noted) {
  constexpr int kStartAfterName = 20;
  const std::size_t open = stat.find('(');
  const std::size_t close = stat.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return false;
  if (stat.substr(open + 1, close - open - 1) != noted.comm) return false;
  std::string_view rest = stat.substr(close + 1);
  for (int field = 0; field < kStartAfterName; ++field) {
    const std::size_t space = rest.find(' ');
    if (space == std::string_view::npos) return false;
    rest.remove_prefix(space + 1);
  }
  std::uint64_t ticks = 0;
  if (std::from_chars(rest.data(), rest.data() + rest.size(), ticks).ec != std::errc()) return false;
  return ticks ==
         noted.start_ns / (kNanosecondsPerSecond / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
}

}  // namespace

std::string read_command_line(const std::string& proc, const SocketOwner& noted) {
  if (noted.pid == 0) return {};
  // The folder stays the process's: another with its number has another folder.
  const std::string path = proc + "/" + std::to_string(noted.pid);
  const UniqueFd folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return {};
  const auto before = read_once(folder.get(), "stat", kMaxStat);
  if (!before || !is_the_noted(*before, noted)) return {};
  auto line = read_once(folder.get(), "cmdline", kMaxOwnerText);
  const auto after = read_once(folder.get(), "stat", kMaxStat);
  if (!line || !after || !is_the_noted(*after, noted)) return {};
  while (line->ends_with('\0')) line->pop_back();
  std::ranges::replace(*line, '\0', ' ');
  return *std::move(line);
}

bool sees_processes(const std::string& proc) { return ::access((proc + "/1/cmdline").c_str(), R_OK) == 0; }

}  // namespace rheo
