// SPDX-License-Identifier: Apache-2.0
// What must be true of a flow table's file before a byte of it is believed. Pure: reads the mapped bytes
// only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/flow/table_layout.h"

namespace rheo {

/// What the checks look at; every pointer is valid for the stated number of elements.
struct TableBytes {
  const TableHeader* header = nullptr;
  const LaneSlot* lanes = nullptr;  // not contiguous: 256 bytes apart
  const Journal* journal = nullptr;
  const FlowRecord* outbox = nullptr;
  const FlowEntry* entries = nullptr;
  std::uint32_t capacity = 0;  // of entries
};

/// Why the header cannot be used, or "". Asked before anything else in the file is located.
std::string find_header_fault(const TableHeader& header, std::string_view boot_id);

/// Why the rest of the file cannot be used, or "".
std::string find_table_fault(const TableBytes& table);

/// True if every field that selects something (enumerations, flags of one bit) is in range.
bool plausible_record(const FlowRecord& record);

/// As plausible_record, for an entry in use.
bool plausible_entry(const EntryState& entry);

}  // namespace rheo
