// SPDX-License-Identifier: Apache-2.0
// OwnerTexts: what a record says of the owners of its sockets, as one text format writes it, rendered once
// for each pair of owners. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "daemon/model/flow_record.h"
#include "daemon/model/owner.h"
#include "export/flow_fields.h"

namespace rheo {

/// How a format writes one field behind what is there.
struct OwnerFormat {
  void (*integer)(std::string& out, Field field, std::uint64_t value);
  void (*text)(std::string& out, Field field, std::string_view value);
};

class OwnerTexts {
 public:
  /// `owners` may be null, and outlives this.
  OwnerTexts(Owners* owners, const OwnerFormat& format) : owners_(owners), format_(format) {}

  /// The fields of the only owner that is known, or of both ends' with "source." and "destination." before
  /// their names. Valid until the next call.
  std::string_view of(const FlowRecord& record) {
    if (owners_ == nullptr || (record.source_owner | record.destination_owner) == 0) return {};
    return find(record.source_owner, record.destination_owner);
  }

 private:
  std::string_view find(std::uint32_t source, std::uint32_t destination);
  void render(std::string& out, const Owner& owner, unsigned offset) const;

  Owners* const owners_;
  const OwnerFormat format_;
  std::unordered_map<std::uint64_t, std::string> texts_;
};

}  // namespace rheo
