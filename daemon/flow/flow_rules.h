// SPDX-License-Identifier: Apache-2.0
// The rules of a flow's life: who began it and when it ends. What it says of itself is in
// daemon/model/flow_entry.h.
// Pure functions of an entry, any thread.
#pragma once

#include <cstdint>

#include "daemon/flow/table_layout.h"
#include "daemon/model/listeners.h"

namespace rheo {

/// Idle and active timeouts, in nanoseconds.
struct FlowTimeouts {
  std::uint64_t max_record_interval_ns;
  std::uint64_t generic_ns;
  std::uint64_t icmp_ns;
  std::uint64_t tcp_ns;
  std::uint64_t tcp_fin_ns;
  std::uint64_t tcp_rst_ns;
  std::uint64_t udp_ns;
  friend bool operator==(const FlowTimeouts&, const FlowTimeouts&) = default;
};

struct Initiator {
  std::uint8_t side = 0;  // of the sorted key
  InitiatorBy by = InitiatorBy::first_packet;
};

/// Who began the flow: the sender of a SYN without ACK (or of the request that an ICMP answer, or a SYN and
/// ACK, belongs to); else the side opposite a local listening socket; else the side with the higher port;
/// else whoever sent the first packet seen.
Initiator choose_initiator(const EntryState& entry, const Listeners& listeners);

/// True where a FIN or RST was seen in either direction.
bool is_closed(const EntryState& entry);

/// Silence after which the flow is over, in nanoseconds.
std::uint64_t idle_timeout_ns(const EntryState& entry, const FlowTimeouts& timeouts);

/// Why a flow that has been silent for its idle timeout ended.
EndReason idle_end_reason(const EntryState& entry);

/// True where this row, merged into this entry, begins a new flow on a 5-tuple whose last one was closed: it
/// has a SYN without ACK later than everything seen in that direction.
bool begins_new_flow(const EntryState& entry, const abi::hot_row& row);

/// Closes the window: what is there now counts as reported.
void begin_window(EntryState& entry);

}  // namespace rheo
