// SPDX-License-Identifier: Apache-2.0
// Secrets: read from where the configuration says they are, and shown nowhere. Any thread; blocks on the
// disk.
#pragma once

#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/config/config.h"

namespace rheo {

/// The secret, without white space at its end. `key` names it in the error, which has nothing of it. A
/// credential is a file below `credentials_directory` (systemd.exec(5), $CREDENTIALS_DIRECTORY).
Result<std::string> read_secret_value(std::string_view key, const SecretConfig& secret,
                                      const std::string& credentials_directory);

}  // namespace rheo
