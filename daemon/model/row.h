// SPDX-License-Identifier: Apache-2.0
// Row: one drained row of the flow cache on its way from the datapath (or a replay) to the flow table.
// RowPlace says where it lies, so that it can be released exactly once, by this process or by the next.
// The collector's thread.
#pragma once

#include <cstdint>

namespace rheo::abi {
struct hot_row;
struct cold_row;
struct tcp_row;
}  // namespace rheo::abi

namespace rheo {

/// Fixed layout: it is part of the flow table's journal.
struct RowPlace {
  enum class Kind : std::uint32_t { nowhere, cache, ring };

  Kind kind = Kind::nowhere;
  std::uint16_t generation = 0;  // cache: 0 or 1
  std::uint16_t way = 0;         // cache
  std::uint64_t position = 0;    // cache: index of the set; ring: consumer position after the row
};
static_assert(sizeof(RowPlace) == 16);

/// The pointers are good until the callback that got them returns.
struct Row {
  const abi::hot_row* hot = nullptr;
  const abi::cold_row* cold = nullptr;
  const abi::tcp_row* tcp = nullptr;  // null, or what hot->tcp_notes says it is
  RowPlace place;
};

/// Whoever holds rows. release() forgets one that has been merged; doing it twice is doing it once.
class RowOwner {
 public:
  virtual ~RowOwner() = default;
  virtual void release(const RowPlace& place) = 0;

  /// A number that other maps do not have: a place noted down for other maps is not released in these.
  virtual std::uint64_t identity() const = 0;
};

}  // namespace rheo
