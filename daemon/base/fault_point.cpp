// SPDX-License-Identifier: Apache-2.0
#include "daemon/base/fault_point.h"

#ifdef RHEO_FAULT_POINTS
#include <pthread.h>

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

Fault fault;
bool fault_is_read = false;

/// A child that is forked may have another environment.
void read_fault_once() {
  static const bool forgotten_by_children =
      ::pthread_atfork(nullptr, nullptr, [] { fault_is_read = false; }) == 0;
  if (fault_is_read || !forgotten_by_children) return;
  fault = read_fault();
  fault_is_read = true;
}

}  // namespace

void pass_fault_point(const char* name) {
  read_fault_once();
  if (fault.countdown > 0 && fault.name == name && --fault.countdown == 0) std::raise(SIGKILL);
}

}  // namespace rheo
#endif
