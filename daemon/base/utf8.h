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

/// The text with each byte that is not UTF-8 as U+FFFD, and so each of the 66 characters that Unicode
/// reserves as none, which sd-bus refuses.
std::string valid_utf8(std::string_view text);

/// A control character begins at `at`: C0, DEL or C1, which terminals obey.
bool is_control(std::string_view text, std::size_t at);

/// The text with each control character as '?', but for those in `kept`.
std::string without_controls(std::string_view text, std::string_view kept = {});

}  // namespace rheo
