// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/drop_in.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "daemon/base/unique_fd.h"

namespace rheo {
namespace {

constexpr const char* kHeading =
    "# Written by rheod for rheoctl --persist. Delete it to have the setting of the files before it again.\n";

Status write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_error("write");
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return Done{};
}

/// A new file below `directory`, on the disk when this returns.
Status write_new_file(int directory, const char* name, const std::string& text) {
  const UniqueFd file(::openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) return errno_error("make a file");
  if (::fchmod(file.get(), 0644) != 0) return errno_error("make a file");  // whatever the umask
  if (Status written = write_all(file.get(), text); !written) return written;
  if (::fsync(file.get()) != 0) return errno_error("write");
  return Done{};
}

Status replace_file(const std::string& directory_path, const std::string& name, const std::string& text) {
  if (::mkdir(directory_path.c_str(), 0755) != 0 && errno != EEXIST) return errno_error("make the directory");
  const UniqueFd directory(::open(directory_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return errno_error("open the directory");
  // Hidden, and no drop-in by its name: one that a crash leaves behind is not read.
  const std::string unfinished = "." + name + ".new";
  Status done = write_new_file(directory.get(), unfinished.c_str(), text);
  if (done && ::renameat(directory.get(), unfinished.c_str(), directory.get(), name.c_str()) != 0)
    done = errno_error("rename it into place");
  if (!done) {
    ::unlinkat(directory.get(), unfinished.c_str(), 0);
    return done;
  }
  ::fsync(directory.get());
  return Done{};
}

constexpr std::string_view kPrefix = "90-rheoctl-";

std::string file_name(const std::string& name) { return fmt::format("{}{}.toml", kPrefix, name); }

}  // namespace

bool switches_an_exporter(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return name.starts_with(kPrefix) && name.substr(kPrefix.size()).starts_with(kExporterDropIn);
}

std::string drop_in_path(const std::string& config_path, const std::string& name) {
  return config_path + ".d/" + file_name(name);
}

Status write_drop_in(const std::string& config_path, const DropIn& drop_in) {
  Status done = replace_file(config_path + ".d", file_name(drop_in.name), kHeading + drop_in.settings);
  if (done) return done;
  Error error = std::move(done).error();
  error.what = fmt::format(
      "{}: {}; nothing is changed. rheod's user must be able to write there: "
      "systemd-tmpfiles --create rheo.conf sees to that for /etc/rheo/rheo.toml.d",
      drop_in_path(config_path, drop_in.name), error.what);
  return std::unexpected(std::move(error));
}

std::string toml_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\u{:04x}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace rheo
