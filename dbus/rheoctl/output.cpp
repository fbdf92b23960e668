// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace rheo::ctl {
namespace {

// Quits where it all fits, keeps attributes, cuts long lines, leaves the text on the screen.
constexpr const char* kPager = "less -FRSX";

bool fits(const std::string& text) {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return true;
  return std::ranges::count(text, '\n') < size.ws_row;
}

/// False where there is no pager to be had.
bool show_in_pager(const std::string& text) {
  const char* pager = std::getenv("PAGER");
  std::fflush(stdout);
  std::FILE* pipe = ::popen(pager != nullptr && *pager != '\0' ? pager : kPager, "w");
  if (pipe == nullptr) return false;
  std::fwrite(text.data(), 1, text.size(), pipe);  // whoever quits the pager has read enough
  constexpr int kNotFound = 127 << 8;
  return ::pclose(pipe) != kNotFound;
}

}  // namespace

bool wants_attributes() {
  const char* no_color = std::getenv("NO_COLOR");
  return ::isatty(STDOUT_FILENO) != 0 && (no_color == nullptr || *no_color == '\0');
}

bool show(const std::string& text, bool pager) {
  if (pager && ::isatty(STDOUT_FILENO) != 0 && !fits(text) && show_in_pager(text)) return true;
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

}  // namespace rheo::ctl
