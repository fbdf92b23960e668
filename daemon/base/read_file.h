// SPDX-License-Identifier: Apache-2.0
// read_file: the text of a small file that somebody else wrote. Any thread.
#pragma once

#include <cstddef>
#include <string>

#include "daemon/base/result.h"

namespace rheo {

/// At most the first `most` octets of a regular file; anything else is refused without waiting for it. Errors
/// begin with `what`.
Result<std::string> read_file(const std::string& what, const std::string& path, std::size_t most);

}  // namespace rheo
