// SPDX-License-Identifier: Apache-2.0
// Authority: asks whether a caller may do something. Root may do everything, also where there is no polkit;
// everybody else what polkit says, and nothing where it does not answer. Main thread; never waits.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "dbus/sdbus.h"

namespace rheo {

class Authority {
 public:
  using Decided = std::function<void(Status)>;

  /// The connection outlives the authority; questions that are open then are forgotten.
  explicit Authority(sdbus::IConnection& connection);

  /// `sender` is a unique name on the bus; `decided` is called later, from the main loop. The error is a
  /// sentence for the caller.
  void check(const std::string& sender, std::string_view action, Decided decided);

 private:
  void ask_polkit(const std::string& sender, const std::string& action, Decided decided);

  std::unique_ptr<sdbus::IProxy> bus_;
  std::unique_ptr<sdbus::IProxy> polkit_;
};

}  // namespace rheo
