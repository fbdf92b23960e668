// SPDX-License-Identifier: Apache-2.0
// Files of prefixes: one on a line, "#" and what is behind it is a comment. Others write them. Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/model/ip_prefix.h"

namespace rheo {

inline constexpr std::size_t kMaxPrefixFile = 64U << 20U;  // bytes

/// Pure. The error is "LINE: what is wrong with it", of the first such line; `most` prefixes are allowed.
Result<std::vector<IpPrefix>> parse_prefix_lines(std::string_view text, std::size_t most);

/// The error begins with the path.
Result<std::vector<IpPrefix>> read_prefix_file(const std::string& path, std::size_t most);

}  // namespace rheo
