// SPDX-License-Identifier: Apache-2.0
// read_json_strings: single strings out of JSON that somebody else wrote. Pure, any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rheo {

/// A string that is looked for: the keys that lead to it from the top, "[]" for each array's members.
struct JsonString {
  std::vector<std::string_view> path;
  std::string* value;  // the first there; left alone where there is none
};

/// What is nested deeper is refused.
inline constexpr std::size_t kMaxJsonDepth = 32;

/// True where all of `text` is JSON in UTF-8, or `enough` stopped it; else nothing that was read counts.
/// Keeps no more of it than is looked for, and the keys on the way. `enough` is asked at the end of each
/// object that is a member of an array at the top.
bool read_json_strings(std::string_view text, const std::vector<JsonString>& wanted,
                       const std::function<bool()>& enough = nullptr);

}  // namespace rheo
