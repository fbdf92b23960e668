// SPDX-License-Identifier: Apache-2.0
#include "daemon/flow/table_check.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

namespace rheo {
namespace {

/// A bool read from a file may be neither: look at the byte.
bool plausible_bool(const bool& value) {
  unsigned char byte = 0;
  std::memcpy(&byte, &value, 1);
  return byte <= 1;
}

template <class E>
bool below(const E& value, int count) {
  std::underlying_type_t<E> number{};
  std::memcpy(&number, &value, sizeof number);
  return std::cmp_less(number, count);
}

bool sane_counts(const FlowCounts& counts) {
  constexpr std::uint64_t limit = std::uint64_t{1} << 62U;
  return counts.packets < limit && counts.l3_bytes < limit && counts.l2_bytes < limit;
}

bool not_above(const FlowCounts& a, const FlowCounts& b) {
  return a.packets <= b.packets && a.l3_bytes <= b.l3_bytes && a.l2_bytes <= b.l2_bytes;
}

bool plausible_direction(const FlowDirection& direction) {
  return sane_counts(direction.delta) && sane_counts(direction.total) &&
         not_above(direction.delta, direction.total);
}

std::string find_lane_fault(const LaneSlot& lane, std::uint64_t head) {
  if (lane.name[kLaneNameBytes - 1] != '\0') return "a lane's name does not end";
  if (lane.name[0] == '\0') return {};
  if (lane.current > 1) return "a lane's mark is neither of its two";
  if (lane.mark[lane.current].position > head) return "a lane is ahead of the outbox";
  return {};
}

std::string find_outbox_fault(const TableBytes& table) {
  const std::uint64_t head = table.header->outbox_head;
  const std::uint64_t size = table.header->outbox_records;
  if (table.header->outbox_writing != head && table.header->outbox_writing != head + 1)
    return "the outbox's positions disagree";

  // The place of a record that was being written at the crash is not looked at: the journal has it.
  std::uint64_t first = head > size ? head - size : 0;
  if (table.header->outbox_writing > size) first = std::max(first, table.header->outbox_writing - size);
  const FlowRecord* previous = nullptr;
  for (std::uint64_t position = first; position < head; ++position) {
    const FlowRecord& record = table.outbox[position & (size - 1)];
    if (!plausible_record(record)) return fmt::format("record {} of the outbox is damaged", position);
    if (previous != nullptr && previous->running_sum + record_counts(record) != record.running_sum)
      return fmt::format("the sum of record {} of the outbox is wrong", position);
    previous = &record;
  }
  return {};
}

std::string find_journal_fault(const TableBytes& table) {
  const Journal& journal = *table.journal;
  if (journal.committed == 0) return {};
  if (journal.committed != 1) return "the journal's state is unknown";
  if (journal.entry_index >= table.header->entries_used_upto) return "the journal's entry does not exist";
  if (journal.entry.flow_id != 0 && !plausible_entry(journal.entry)) return "the journal's entry is damaged";
  if (journal.has_record > 1) return "the journal's record is damaged";
  if (journal.has_duplicate > 1 || journal.has_origin > 1 ||
      (journal.has_duplicate == 1 && !sane_counts(journal.duplicate)))
    return "the journal's duplicates are damaged";
  if (!below(journal.source.kind, 3) || journal.source.generation > 1 ||
      journal.source.way >= abi::FLOW_CACHE_WAYS)
    return "the journal's source is damaged";
  if (journal.has_record == 0) return {};
  const std::uint64_t head = table.header->outbox_head;
  if (journal.outbox_position != head && journal.outbox_position + 1 != head)
    return "the journal's record has no place in the outbox";
  if (!plausible_record(journal.record)) return "the journal's record is damaged";
  return {};
}

}  // namespace

bool plausible_record(const FlowRecord& record) {
  return plausible_bool(record.ipv6) && below(record.end_reason, kEndReasonCount) &&
         below(record.tcp_state, kTcpStateCount) && below(record.tunnel, kTunnelTypeCount) &&
         below(record.initiator_by, kInitiatorByCount) && record.mpls_count <= 4 &&
         record.start_ns <= record.end_ns && plausible_direction(record.forward) &&
         plausible_direction(record.reverse) && sane_counts(record.running_sum);
}

bool plausible_entry(const EntryState& entry) {
  if (entry.initiator > 1 || entry.first_direction > 1 || entry.initiator_by >= kInitiatorByCount)
    return false;
  if ((entry.key.kind & kKindTunnelMask) >= kTunnelTypeCount) return false;
  if (entry.key.address[0] > entry.key.address[1]) return false;
  if (entry.first_ns > last_ns(entry) || entry.window_first_ns > last_ns(entry)) return false;
  if (entry.many_links > 1) return false;
  if (entry.many_links == 1 &&
      (entry.reporter[0] > entry.link.size() || entry.reporter[1] > entry.link.size()))
    return false;
  for (const EntrySide& side : entry.side) {
    if (!sane_counts(side.total) || !not_above(side.reported, side.total)) return false;
  }
  return true;
}

std::string find_header_fault(const TableHeader& header, std::string_view boot_id) {
  if (header.magic != kTableMagic) return "it is not a flow table";
  if (header.schema != kTableSchema)
    return fmt::format("its schema is {}, this program's is {}", header.schema, kTableSchema);
  if (header.entry_bytes != sizeof(FlowEntry) || header.record_bytes != sizeof(FlowRecord) ||
      header.lane_bytes != sizeof(LaneSlot))
    return "its layout is another";
  if (std::string_view(header.boot_id, ::strnlen(header.boot_id, sizeof header.boot_id)) != boot_id)
    return "it is from another boot of this host";
  if (!std::has_single_bit(header.outbox_records) || header.outbox_records > (1U << 24U))
    return fmt::format("its outbox has {} records", header.outbox_records);
  return {};
}

std::string find_table_fault(const TableBytes& table) {
  if (!sane_counts(table.header->duplicate)) return "its duplicates are damaged";
  if (table.header->entries_used_upto > table.capacity) return "it is shorter than its entries";
  const auto* lanes = reinterpret_cast<const std::byte*>(table.lanes);
  for (std::size_t i = 0; i < kMaxLanes; ++i) {
    const auto& lane = *reinterpret_cast<const LaneSlot*>(lanes + i * 256);
    if (auto fault = find_lane_fault(lane, table.header->outbox_head); !fault.empty()) return fault;
  }
  if (auto fault = find_journal_fault(table); !fault.empty()) return fault;
  if (auto fault = find_outbox_fault(table); !fault.empty()) return fault;
  for (std::uint32_t i = 0; i < table.header->entries_used_upto; ++i) {
    // The journal's entry may be half written: its after-image was looked at instead.
    if (table.journal->committed == 1 && table.journal->entry_index == i) continue;
    if (table.entries[i].state.flow_id != 0 && !plausible_entry(table.entries[i].state))
      return fmt::format("entry {} is damaged", i);
  }
  return {};
}

}  // namespace rheo
