// SPDX-License-Identifier: Apache-2.0
// Ports and identifiers are kept as the wire has them; numbers for people and formats are host order. Any
// thread.
#pragma once

#include <bit>
#include <cstdint>

namespace rheo {

constexpr std::uint16_t host_order(std::uint16_t be) {
  if constexpr (std::endian::native == std::endian::big) return be;
  return static_cast<std::uint16_t>(be << 8U | be >> 8U);
}

}  // namespace rheo
