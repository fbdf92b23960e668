// SPDX-License-Identifier: Apache-2.0
// The flow table's entries and the header of their file: what rheod keeps of a flow, what that says as a
// record, and how somebody else who has the file mapped reads it while it is written. Fixed layout; a change
// is a change of kTableSchema. Times are CLOCK_MONOTONIC nanoseconds (the capture's own clock in a replay).
// Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/model/flow_record.h"

namespace rheo {

inline constexpr std::uint32_t kTableSchema = 5;
inline constexpr std::uint64_t kTableMagic = 0x31574f4c464f4852;  // "RHOFLOW1"
inline constexpr std::size_t kMaxLanes = 32;

/// Bits of EntrySide::flags of TCP, the wire's; see kFlagSynOnly for those beside them.
inline constexpr std::uint16_t kFlagFin = 0x001;
inline constexpr std::uint16_t kFlagRst = 0x004;
inline constexpr std::uint16_t kFlagAck = 0x010;

/// FlowKey::kind
inline constexpr std::uint8_t kKindTunnelMask = 0x0f;  // a TunnelType
inline constexpr std::uint8_t kKindIpv6 = 0x80;

/// Which biflow a packet belongs to, the same for both directions: address[0] <= address[1], and where they
/// are equal port_be[0] <= port_be[1] as numbers. For ICMP port_be[0] is type and code of the request,
/// port_be[1] the identifier.
struct FlowKey {
  Address address[2];
  std::uint16_t port_be[2];
  std::uint32_t link;  // as FlowRecord::link
  std::uint32_t tunnel_id;
  std::uint16_t vlan;
  std::uint8_t protocol;
  std::uint8_t kind;
};
static_assert(sizeof(FlowKey) == 48);

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

/// What is known of an entry's TCP connection, by direction of the sorted key.
struct EntryTcp {
  TcpSample sample[2];
  std::uint32_t sampled_at[2];  // bpf/abi.h, tcp_time(): the later of two is kept
  std::uint64_t syn_ns;         // the first SYN without ACK; 0: none was seen
  std::uint64_t syn_ack_ns;     // the first with ACK
  // The first ACK that may be a handshake's; only one of the initiator, behind syn_ack_ns, is.
  std::uint64_t ack_ns[2];
};
static_assert(sizeof(EntryTcp) == 72);

/// The part of an entry that merging changes; the journal's after-image.
struct EntryState {
  FlowKey key;
  std::uint64_t flow_id;   // 0: the entry is free
  std::uint32_t owner[2];  // by direction: of the socket that sends, owner.h; 0: none known
  EntrySide side[2];       // by direction of the sorted key
  std::uint64_t first_ns;
  std::uint64_t window_first_ns;  // first packet since the last record; 0: none since then
  std::uint64_t window_floor_ns;  // end of the last record's window: the next one does not start before it
  std::uint64_t recent_bytes;     // layer-2 octets since `recent_drain` began, for a live view
  std::uint32_t recent_drain;
  std::uint32_t sequence;  // of the next record
  std::uint8_t initiator;  // 0 or 1: the side that is "source"
  std::uint8_t initiator_by;
  std::uint8_t first_direction;
  std::uint8_t many_links;  // 1: it was seen on more links than its key's, and is reported once
  std::uint32_t version;    // odd while the entry is being written; see read_entry()
  // Where many_links is 0 the rest is nothing; daemon/flow/reporter.h.
  OtherLinks link;           // those beside its key's, then 0
  std::uint8_t reporter[2];  // by direction: 0 for the key's link, n for link[n - 1]
  std::uint8_t drain[2];     // by direction: the reporter's last, in its low 8 bits
  EntryTcp tcp;
  std::uint8_t reported_events;  // bits of FlowRecord::tcp_events that are in records
  std::uint8_t zero[7];
};
static_assert(sizeof(EntryState) == 336);

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
static_assert(sizeof(FlowEntry) == 400);

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
  std::uint64_t drain_version;      // odd while a drain is being merged
  std::uint64_t drained_at_ns;      // when the last merged drain began
  FlowCounts duplicate;             // merged, and in no flow: another link has reported the same packets
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

/// The last packet of both directions.
std::uint64_t last_ns(const EntryState& entry);

/// What the flags of both directions say; TcpState::none where the protocol is not TCP.
TcpState tcp_state(const EntryState& entry);

/// The events (kTcpConnect, …) that an entry which ends for `reason`, or does not where that is `active`, has
/// in no record yet.
std::uint8_t unreported_events(const EntryState& entry, EndReason reason);

/// Packets and octets of an entry that are in no record yet.
FlowCounts unreported(const EntryState& entry);

/// The entry's record for the window since its last one. `clock_offset_ns` is added to make CLOCK_MONOTONIC
/// nanoseconds since 1970. running_sum is left for the outbox.
FlowRecord make_record(const EntryState& entry, const EntryOrigin& origin, EndReason reason,
                       std::int64_t clock_offset_ns);

/// The entry's one writer, rheod's collector, makes `version` odd, writes, and makes it even again; a version
/// that was odd already, because a process died, stays so.
void begin_writing(EntryState& entry);
void end_writing(EntryState& entry);

/// For readers in other processes: a copy of the entry that is of one moment. False where the entry is free,
/// damaged, or not to be had because its writer does not get on.
bool read_entry(const FlowEntry& entry, FlowEntry& copy);

}  // namespace rheo
