// SPDX-License-Identifier: Apache-2.0
#include "daemon/base/log.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace rheo::log {
namespace {

std::atomic<int> least{static_cast<int>(Priority::info)};

void write_journal(Priority priority, const std::string& text, const Fields& fields) {
  std::vector<std::string> lines;
  lines.reserve(fields.size() + 2);
  lines.push_back("MESSAGE=" + text);
  lines.push_back("PRIORITY=" + std::to_string(static_cast<int>(priority)));
  for (const Field& field : fields) lines.push_back(std::string(field.name) + "=" + field.value);

  std::vector<iovec> parts;
  parts.reserve(lines.size());
  for (std::string& line : lines) parts.push_back({line.data(), line.size()});
  ::sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
}

}  // namespace

bool is_journal(int fd) {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status{};
  unsigned long long device = 0;
  unsigned long long inode = 0;
  return stream != nullptr && std::sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
         ::fstat(fd, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void set_threshold(Priority priority) { least = static_cast<int>(priority); }

Priority threshold() { return static_cast<Priority>(least.load()); }

void write(Priority priority, const std::string& text, const Fields& fields) {
  static const bool journal = is_journal(STDERR_FILENO);
  if (static_cast<int>(priority) > least) return;
  if (journal) return write_journal(priority, text, fields);
  std::fprintf(stderr, "rheod: %s\n", text.c_str());
}

void write(Priority priority, const Event& event, const std::string& text, Fields fields) {
  fields.push_back({"MESSAGE_ID", std::string(event.id)});
  write(priority, text, fields);
}

Fields repeated(std::string_view name, std::span<const std::string> values) {
  constexpr std::size_t kMost = 256;
  Fields fields;
  for (const std::string& value : values.first(std::min(values.size(), kMost)))
    fields.push_back({name, value});
  return fields;
}

Field errno_field(const Error& error) { return {"ERRNO", std::to_string(error.code.value())}; }

}  // namespace rheo::log
