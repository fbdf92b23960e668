// SPDX-License-Identifier: Apache-2.0
// RHEO_FAULT_POINT(name): a place where a test build dies as by `kill -9`, when the environment says
// RHEO_FAULT=NAME:N (at the N-th passage). Compiled to nothing unless RHEO_FAULT_POINTS is defined.
#pragma once

#ifdef RHEO_FAULT_POINTS
namespace rheo {
/// Counts passages of the named point and raises SIGKILL at the one that RHEO_FAULT names.
void pass_fault_point(const char* name);
}  // namespace rheo
#define RHEO_FAULT_POINT(name) ::rheo::pass_fault_point(name)
#else
#define RHEO_FAULT_POINT(name) static_cast<void>(0)
#endif
