// SPDX-License-Identifier: Apache-2.0
// UTF-8 of names that others chose: the kernel's names are bytes. Pure, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rheo {

/// Length of the valid UTF-8 sequence (RFC 3629) that `text` begins with; 0 where there is none. `text` is
/// not empty.
std::size_t utf8_length(std::string_view text);

/// The text with each byte that is not UTF-8 as U+FFFD.
std::string valid_utf8(std::string_view text);

}  // namespace rheo
