// SPDX-License-Identifier: Apache-2.0
// RHEO_ASSERT: what cannot happen. Aborts in release builds too: systemd restarts the daemon and
// nothing is lost. Any thread.
#pragma once

#include <cstdio>
#include <cstdlib>

#define RHEO_ASSERT(condition)                                                                  \
  do {                                                                                          \
    if (!(condition)) [[unlikely]] {                                                            \
      std::fprintf(stderr, "rheo: cannot happen: %s, %s:%d\n", #condition, __FILE__, __LINE__); \
      std::abort();                                                                             \
    }                                                                                           \
  } while (false)
