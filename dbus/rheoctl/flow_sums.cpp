// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/flow_sums.h"

#include "daemon/base/clock.h"

namespace rheo::ctl {

FlowSums::FlowSums(Client& client, FlowsWanted wanted, std::string by, bool listed)
    : client_(client), wanted_(std::move(wanted)), by_(std::move(by)) {
  if (listed || !AllFlows::can_tell(by_)) return;
  auto all = AllFlows::open(client, wanted_.filter, by_);
  if (all) all_ = *std::move(all);  // else rheod knows more, or says what is wrong
}

Status FlowSums::look(std::chrono::seconds most) {
  flows_ = 0;
  const auto add = [this](const GroupedFlow& flow) {
    groups_.add(flow);
    ++flows_;
  };
  Status looked = Done{};
  if (all_) {
    groups_.begin(realtime_ns());
    looked = all_->look(add);
  } else {
    const auto flows = client_.grouped_flows(wanted_, by_, most);
    groups_.begin(realtime_ns());
    for (const GroupedFlow& flow : flows) add(flow);
  }
  groups_.end();
  return looked;
}

std::string FlowSums::of_what() const {
  if (all_) return "all flows";
  return "the " + std::to_string(wanted_.limit) + " flows that come first by " + wanted_.sort;
}

}  // namespace rheo::ctl
