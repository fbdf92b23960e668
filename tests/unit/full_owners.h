// SPDX-License-Identifier: Apache-2.0
// FullOwners: an owner of whom everything is known for every number, which is its pid. Plain values.
#pragma once

#include <memory>

#include "daemon/model/owner.h"

namespace rheo::test {

class FullOwners final : public Owners {
 public:
  std::shared_ptr<const Owner> find(std::uint32_t number) override {
    if (number < kFirstOwner) return nullptr;
    return std::make_shared<const Owner>(Owner{.pid = number,
                                               .uid = 33,
                                               .name = "nginx",
                                               .executable = "/usr/sbin/nginx",
                                               .command_line = "nginx -g x",
                                               .user = "www-data",
                                               .unit = "user@33.service",
                                               .user_unit = "web.service",
                                               .slice = "user-33.slice",
                                               .session = "7",
                                               .container_id = "web",
                                               .container_name = "front",
                                               .container_image = "nginx:1.27",
                                               .container_runtime = "lxc"});
  }
};

}  // namespace rheo::test
