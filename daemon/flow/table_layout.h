// SPDX-License-Identifier: Apache-2.0
// The bytes of the flow table's file: header, lanes, journal, outbox, entries, in this order. Everything here
// is read by the next process, so every struct has a fixed layout and a change is a change of kTableSchema.
// Times are CLOCK_MONOTONIC nanoseconds (the capture's own clock in a replay).
#pragma once

#include <cstddef>
#include <cstdint>

#include "bpf/abi.h"
#include "daemon/model/flow_batch.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/row.h"

namespace rheo {

inline constexpr std::uint32_t kTableSchema = 1;
inline constexpr std::uint64_t kTableMagic = 0x31574f4c464f4852;  // "RHOFLOW1"
inline constexpr std::size_t kMaxLanes = 32;
inline constexpr std::size_t kLaneNameBytes = 48;  // with the terminating zero

/// One direction of an entry: what its packets summed up to, and how much of that is in records already.
struct EntrySide {
  FlowCounts total;
  FlowCounts reported;
  std::uint64_t last_ns;       // last packet in this direction; 0: none yet
  std::uint16_t flags;         // TCP: of all packets. ICMP: type << 8 | code of the first
  std::uint16_t window_flags;  // TCP: since the last record
  std::uint8_t ttl;
  std::uint8_t tos;
  std::uint8_t hooks;
  std::uint8_t marks;
};
static_assert(sizeof(EntrySide) == 64);

/// The part of an entry that merging changes; the journal's after-image.
struct EntryState {
  abi::flow_key key;
  std::uint64_t flow_id;  // 0: the entry is free
  std::uint64_t last_ns;
  EntrySide side[2];  // by direction of the sorted key
  std::uint64_t first_ns;
  std::uint64_t window_first_ns;  // first packet since the last record; 0: none since then
  std::uint64_t window_floor_ns;  // end of the last record's window: the next one does not start before it
  std::uint64_t recent_bytes;     // layer-2 octets since `recent_drain` began, for a live view
  std::uint32_t recent_drain;
  std::uint32_t sequence;  // of the next record
  std::uint8_t initiator;  // 0 or 1: the side that is "source"
  std::uint8_t initiator_by;
  std::uint8_t first_direction;
  std::uint8_t zero[21];
};
static_assert(sizeof(EntryState) == 256);

/// The part that is written once, when the entry is made. Sides as in the sorted key.
struct EntryOrigin {
  MacAddress mac[2];
  std::uint32_t flow_label;
  Address outer[2];
  std::uint16_t outer_port_be[2];
  std::uint16_t inner_vlan;
  std::uint8_t outer_protocol;
  std::uint8_t mpls_count;
  std::uint32_t mpls_top_label;
  std::uint32_t zero;
};
static_assert(sizeof(EntryOrigin) == 64);

struct FlowEntry {
  EntryState state;
  EntryOrigin origin;
};
static_assert(sizeof(FlowEntry) == 320);

/// One change of the table, redone after a crash: entry, finished record and source move together or not at
/// all.
struct Journal {
  std::uint64_t committed;  // 0 or 1
  std::uint64_t owner;      // identity of the maps in which `source` lies
  RowPlace source;
  std::uint32_t entry_index;
  std::uint32_t has_record;
  std::uint64_t outbox_position;  // of the record
  EntryState entry;
  FlowRecord record;
};
static_assert(sizeof(Journal) <= 4096);

/// How far a lane is; stored in two copies, so that a change is one store of LaneSlot::current.
struct LaneMark {
  std::uint64_t position;  // records before it are delivered or lost
  FlowCounts sum;          // FlowRecord::running_sum of the record before `position`
  FileMark file;
  RecordLosses losses;
};

struct LaneSlot {
  char name[kLaneNameBytes];  // empty: free
  std::uint64_t current;      // 0 or 1
  LaneMark mark[2];
};
static_assert(sizeof(LaneSlot) <= 256);

struct TableHeader {
  std::uint64_t magic;
  std::uint32_t schema;
  std::uint32_t entry_bytes;
  std::uint32_t record_bytes;
  std::uint32_t lane_bytes;
  std::uint32_t outbox_records;  // a power of two
  std::uint32_t zero;
  char boot_id[40];              // zero-terminated
  std::uint64_t flow_id_prefix;  // random, in the high bits of every flow_id
  std::uint64_t next_flow_number;
  std::uint64_t outbox_head;        // position of the next record
  std::uint64_t outbox_writing;     // == outbox_head, or one more while a record is being written
  std::uint64_t entries_used_upto;  // no entry from this index on was ever used
};
static_assert(sizeof(TableHeader) <= 4096);

inline constexpr std::uint64_t kHeaderOffset = 0;
inline constexpr std::uint64_t kLanesOffset = 4096;
inline constexpr std::uint64_t kJournalOffset = kLanesOffset + kMaxLanes * 256;
inline constexpr std::uint64_t kOutboxOffset = kJournalOffset + 4096;

/// Offset of the first entry: behind the outbox, on a page of its own.
constexpr std::uint64_t entries_offset(std::uint64_t outbox_records) {
  return (kOutboxOffset + outbox_records * sizeof(FlowRecord) + 4095) & ~std::uint64_t{4095};
}

}  // namespace rheo
