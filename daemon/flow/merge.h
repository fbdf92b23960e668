// SPDX-License-Identifier: Apache-2.0
// What a row of the flow cache does to an entry of the flow table. Pure functions, any thread.
#pragma once

#include <cstdint>

#include "daemon/flow/table_layout.h"
#include "daemon/model/listeners.h"

namespace rheo {

/// Packets and octets of one direction of a row.
FlowCounts direction_counts(const abi::direction_counts& direction);

/// Likewise of both.
FlowCounts row_counts(const abi::hot_row& row);

/// An entry for the row's key without a packet yet.
EntryState make_entry(const abi::hot_row& row, std::uint64_t flow_id);

/// The row's cold part, turned from "its first packet's source" to the sorted key's sides.
EntryOrigin make_origin(const abi::hot_row& row, const abi::cold_row& cold);

/// Takes over whose the sockets are, as far as the row knows.
void note_owners(EntryState& entry, const abi::hot_row& row);

/// Takes over what was noted of the TCP connection. Rows of one flow may come in any order, and of each link.
void note_tcp(EntryState& entry, const abi::hot_row& row, const abi::tcp_row* tcp);

/// Adds a row's packets. Rows of one flow may come in any order.
void add_row(EntryState& entry, const abi::hot_row& row, std::uint32_t drain_number);

/// Chooses the initiator again and takes it where it is better founded than the present one.
void improve_initiator(EntryState& entry, const Listeners& listeners);

}  // namespace rheo
