// SPDX-License-Identifier: Apache-2.0
// What a server sees most, for benchmarks of exporters: answered TCP in the middle of a long flow. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/model/flow_record.h"

namespace rheo::testing {

/// The i-th of a server's flows; ids, clients, ports and times differ.
inline FlowRecord server_record(std::size_t i, bool ipv6) {
  FlowRecord r;
  const auto low = static_cast<std::uint8_t>(i);
  r.flow_id = i * 0x9e3779b97f4a7c15U;
  r.protocol = 6;
  r.tcp_state = TcpState::established;
  r.end_reason = EndReason::active;
  r.ipv6 = ipv6;
  const Address v4 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, low};
  const Address v6 = {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 1, low};
  r.source = r.destination = r.ipv6 ? v6 : v4;
  r.destination[15] = 1;
  r.source_port_be = static_cast<std::uint16_t>(40'000 + i);
  r.destination_port_be = 0xbb01;
  r.link = 2;
  r.flow_start_ns = 1'767'323'045'000'000'006 + i * 7'777'777'777;
  r.start_ns = r.flow_start_ns + 60'000'000'000;
  r.end_ns = r.start_ns + 59'123'456'789;
  r.forward.delta = {.packets = 120, .l3_bytes = 34'567, .l2_bytes = 36'247};
  r.forward.total = {.packets = 4'000, .l3_bytes = 900'000, .l2_bytes = 956'000};
  r.forward.tcp_flags = r.reverse.tcp_flags = 0x18;
  r.forward.ttl = r.reverse.ttl = 64;
  r.forward.hooks = 2;
  r.reverse.hooks = 1;
  r.reverse.delta = r.forward.delta;
  r.reverse.total = r.forward.total;
  r.source_mac = {2, 0, 0, 0, 0, low};
  r.destination_mac = {2, 0, 0, 0, 1, 1};
  return r;
}

}  // namespace rheo::testing
