// SPDX-License-Identifier: Apache-2.0
// IP addresses of netlink messages as the model has them. Pure, any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "daemon/model/flow_record.h"

namespace rheo {

/// The address at the beginning of the bytes; nothing for a family that is neither IPv4 nor IPv6, or too few
/// bytes.
std::optional<Address> to_address(int family, std::span<const std::byte> bytes);

}  // namespace rheo
