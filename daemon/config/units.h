// SPDX-License-Identifier: Apache-2.0
// Durations and sizes as people write them. Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/config/config.h"

namespace rheo {

/// "500ms", "60s", "2m", "1h", or several from large to small: "1m30s". Nothing for other text, or for what
/// does not fit in nanoseconds of 64 bits.
std::optional<Duration> parse_duration(std::string_view text);

/// "16MiB", "32KiB", "1GiB", "4096B". Nothing for other text, or beyond 64 bits.
std::optional<std::uint64_t> parse_size(std::string_view text);

/// As parse_duration reads it: 90 seconds are "1m30s". Below a millisecond is cut off.
std::string duration_text(Duration duration);

/// As parse_size reads it, in the largest unit that leaves no rest.
std::string size_text(std::uint64_t bytes);

}  // namespace rheo
