// SPDX-License-Identifier: Apache-2.0
// The bytes of the flow table's file: header, lanes, journal, outbox, entries, in this order. Everything here
// is read by the next process, so every struct has a fixed layout and a change is a change of kTableSchema.
// What a viewer reads of it, header and entries, is in daemon/model/flow_entry.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bpf/abi.h"
#include "daemon/model/flow_batch.h"
#include "daemon/model/flow_entry.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/row.h"

namespace rheo {

inline constexpr std::size_t kLaneNameBytes = 48;  // with the terminating zero

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
  std::uint32_t has_duplicate;  // 0: `duplicate` is nothing
  std::uint32_t has_origin;
  FlowCounts duplicate;  // TableHeader::duplicate from now on
  EntryOrigin origin;    // of the entry
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

// FlowKey is the kernel's flow_key, by another name for those who do not know the kernel side.
static_assert(sizeof(FlowKey) == sizeof(abi::flow_key));
static_assert(offsetof(FlowKey, port_be) == offsetof(abi::flow_key, port));
static_assert(offsetof(FlowKey, link) == offsetof(abi::flow_key, link));
static_assert(offsetof(FlowKey, tunnel_id) == offsetof(abi::flow_key, tunnel_id));
static_assert(offsetof(FlowKey, vlan) == offsetof(abi::flow_key, vlan));
static_assert(offsetof(FlowKey, protocol) == offsetof(abi::flow_key, protocol));
static_assert(offsetof(FlowKey, kind) == offsetof(abi::flow_key, kind));
static_assert(kKindIpv6 == abi::KIND_IPV6 && kKindTunnelMask == abi::KIND_TUNNEL_MASK);
static_assert(kFlagFin == abi::FLAG_FIN && kFlagRst == abi::FLAG_RST && kFlagAck == abi::FLAG_ACK);
static_assert(kFlagSynOnly == abi::FLAG_SYN_ONLY && kFlagSynAck == abi::FLAG_SYN_ACK);

}  // namespace rheo
