// SPDX-License-Identifier: Apache-2.0
#include "daemon/base/fault_point.h"

#ifdef RHEO_FAULT_POINTS
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

namespace rheo {
namespace {

struct Fault {
  std::string name;
  long countdown = 0;
};

Fault read_fault() {
  const char* text = std::getenv("RHEO_FAULT");
  const char* colon = text != nullptr ? std::strchr(text, ':') : nullptr;
  if (colon == nullptr) return {};
  return {std::string(text, colon), std::strtol(colon + 1, nullptr, 10)};
}

}  // namespace

void pass_fault_point(const char* name) {
  static Fault fault = read_fault();
  if (fault.countdown > 0 && fault.name == name && --fault.countdown == 0) std::raise(SIGKILL);
}

}  // namespace rheo
#endif
