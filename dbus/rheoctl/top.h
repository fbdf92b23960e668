// SPDX-License-Identifier: Apache-2.0
// "rheoctl flows top": looks at the live flow table once a second and shows what it finds, until somebody has
// seen enough. Costs rheod nothing: the table is read from its file. One thread.
#pragma once

#include <string>

#include "daemon/base/result.h"
#include "dbus/rheoctl/client.h"

namespace rheo::ctl {

struct TopOptions {
  std::string filter;
  std::string order;  // a LiveOrder's name, or "" for the usual one
};

/// "rheoctl flows top --by": sums, every two seconds, of the flows that rheod lists. Likewise.
Status run_top_by(Client& client, const std::string& filter, const std::string& by);

/// Returns when it is left. Throws sdbus::Error where rheod cannot be reached to begin with.
Status run_top(Client& client, const TopOptions& options);

/// All that the table says of one flow.
Result<Table> show_flow(Client& client, const std::string& id);

}  // namespace rheo::ctl
