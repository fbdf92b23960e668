// SPDX-License-Identifier: Apache-2.0
// How rheoctl writes flows. Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/model/flow_record.h"
#include "daemon/model/link.h"
#include "dbus/rheoctl/table.h"

namespace rheo::ctl {

/// "10.0.0.1:443", "[2001:db8::1]:443", without a port where that is 0.
std::string end_point_text(const std::string& address, std::uint16_t port);

/// Of one side of a flow.
std::string end_point_text(const FlowRecord& record, bool initiator);

/// 16 hexadecimal digits.
std::string flow_id_text(std::uint64_t flow_id);
std::optional<std::uint64_t> flow_id(std::string_view text);

/// Everything that is known of the flow, in one row.
Table flow_details(const FlowRecord& record, const LinkTable& links);

}  // namespace rheo::ctl
