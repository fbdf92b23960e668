// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/load_config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/config/drop_in.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;

Result<std::string> read_text(const std::string& path) {
  // Without waiting: the path may be a fifo.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return errno_error("cannot read it");

  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return errno_error("cannot read it");
  if (!S_ISREG(status.st_mode)) return failure("cannot read it: not a regular file");

  std::string text(kMaxConfigBytes + 1, '\0');  // one more, so that the parser sees that it is too large
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("cannot read it");
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

/// The drop-ins beside `path` in the byte order of their names.
Result<std::vector<std::string>> list_drop_ins(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code fault;
  for (fs::directory_iterator entry(directory, fault), end; !fault && entry != end; entry.increment(fault)) {
    const std::string name = entry->path().filename().string();
    if (name.ends_with(".toml") && !name.starts_with('.')) paths.push_back(entry->path().string());
  }
  if (fault && fault != std::errc::no_such_file_or_directory)
    return std::unexpected(Error{fault, "cannot list it: " + fault.message()});
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace

ParsedConfig load_config(const std::string& path, WhenMissing when_missing) {
  std::vector<ConfigText> texts;
  std::vector<Complaint> unreadable;

  const auto add = [&](const std::string& file, bool may_be_missing) {
    auto text = read_text(file);
    if (text)
      texts.push_back({file, *std::move(text), switches_an_exporter(file)});
    else if (!may_be_missing || text.error().code != std::errc::no_such_file_or_directory)
      unreadable.push_back({file, 0, text.error().what});
  };

  add(path, when_missing == WhenMissing::use_defaults);
  const std::string directory = path + ".d";
  auto drop_ins = list_drop_ins(directory);
  if (!drop_ins)
    unreadable.push_back({directory, 0, drop_ins.error().what});
  else
    for (const std::string& file : *drop_ins) add(file, false);

  ParsedConfig parsed = parse_config(texts);
  parsed.complaints.insert(parsed.complaints.begin(), unreadable.begin(), unreadable.end());
  return parsed;
}

}  // namespace rheo
