// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/refusal.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <string>

namespace rheo {
namespace {

constexpr std::size_t kKeptLines = 3;

thread_local std::deque<std::string> last_lines;

void keep_line(std::string_view line) {
  if (line.find_first_not_of(" \t") == std::string_view::npos) return;
  last_lines.emplace_back(line);
  if (last_lines.size() > kKeptLines) last_lines.pop_front();
}

int keep_message(libbpf_print_level level, const char* format, std::va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  // A verifier log comes as one message of up to megabytes, its reason near the end; what does not fit is cut
  // there.
  char text[16 * 1024];
  std::vsnprintf(text, sizeof text, format, arguments);
  std::string_view rest(text);
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    keep_line(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return 0;
}

bool has_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  const auto has = [&data](unsigned capability) {
    return (data[capability / 32].effective >> (capability % 32) & 1U) != 0;
  };
  return has(CAP_NET_ADMIN) && (has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON)));
}

}  // namespace

void capture_libbpf_log() { libbpf_set_print(keep_message); }

std::unexpected<Error> bpf_error(std::string_view doing, int number) {
  std::unexpected<Error> error = errno_error(doing, number);
  std::string& what = error.error().what;
  if (number == ENOSYS) {
    what += ": this kernel has no bpf() system call, or a system call filter hides it";
  } else if ((number == EPERM || number == EACCES) && !has_capabilities()) {
    what += ": rheod needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or root";
  } else if (number == EPERM) {
    what +=
        ": rheod has the capabilities it needs, so a system call filter, a container or kernel lockdown "
        "forbids "
        "it, or, before Linux 5.11, RLIMIT_MEMLOCK is too small";
  } else if (!last_lines.empty()) {
    what += fmt::format(" ({})", fmt::join(last_lines, "; "));
  }
  last_lines.clear();
  return error;
}

}  // namespace rheo
