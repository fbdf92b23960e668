// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/user_names.h"

#include <pwd.h>
#include <sys/stat.h>

#include <cstdio>

namespace rheo {

void UserNames::read_if_changed() {
  struct stat status{};
  if (::stat(file_.c_str(), &status) != 0) return;
  if (status.st_mtim.tv_sec == changed_.tv_sec && status.st_mtim.tv_nsec == changed_.tv_nsec) return;
  FILE* const file = std::fopen(file_.c_str(), "re");
  if (file == nullptr) return;
  changed_ = status.st_mtim;
  names_.clear();
  while (const passwd* user = ::fgetpwent(file)) names_.try_emplace(user->pw_uid, user->pw_name);
  std::fclose(file);
}

std::string UserNames::find(std::uint32_t uid) {
  read_if_changed();
  const auto found = names_.find(uid);
  return found == names_.end() ? std::to_string(uid) : found->second;
}

}  // namespace rheo
