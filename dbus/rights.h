// SPDX-License-Identifier: Apache-2.0
// Who may call which member of the bus interfaces: one table. Pure, any thread.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace rheo {

/// A method, and the polkit action that its caller needs; "" for those that every local user may call.
struct MemberRight {
  std::string_view member;
  std::string_view action;
};

std::span<const MemberRight> member_rights();

/// The action of a member; nothing for one that is not in the table, and nobody may call that.
std::optional<std::string_view> action_of(std::string_view member);

}  // namespace rheo
