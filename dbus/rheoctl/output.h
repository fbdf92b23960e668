// SPDX-License-Identifier: Apache-2.0
// Output: text to standard output, through a pager where it is longer than the terminal. One thread.
#pragma once

#include <string>

namespace rheo::ctl {

/// Standard output is a terminal that may show attributes (NO_COLOR is not set).
bool wants_attributes();

/// False where it could not be written.
bool show(const std::string& text, bool pager);

}  // namespace rheo::ctl
