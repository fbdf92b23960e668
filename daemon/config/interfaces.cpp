// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/interfaces.h"

#include <fnmatch.h>

#include <algorithm>

namespace rheo {
namespace {

bool any_matches(const std::vector<std::string>& globs, const std::string& name) {
  return std::any_of(globs.begin(), globs.end(),
                     [&](const std::string& glob) { return ::fnmatch(glob.c_str(), name.c_str(), 0) == 0; });
}

}  // namespace

bool interface_wanted(const InterfacesConfig& interfaces, std::string_view name) {
  const std::string text(name);
  return any_matches(interfaces.include, text) && !any_matches(interfaces.exclude, text);
}

}  // namespace rheo
