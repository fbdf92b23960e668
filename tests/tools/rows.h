// SPDX-License-Identifier: Apache-2.0
// Rows of the flow cache, made by hand for tests of the flow table. One thread.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "bpf/abi.h"
#include "daemon/model/row.h"

namespace rheo::testing {

inline constexpr std::uint64_t kSecond = 1'000'000'000;

struct TestRow {
  abi::hot_row hot{};
  abi::cold_row cold{};
  abi::tcp_row tcp{};
};

/// A row between 10.0.0.1:`low_port` and 10.0.0.2:`high_port` (host order) of link 7 without packets.
inline TestRow make_row(std::uint8_t protocol, std::uint16_t low_port, std::uint16_t high_port) {
  TestRow row;
  for (int side = 0; side < 2; ++side) {
    std::uint8_t* address = row.hot.key.address[side];
    address[10] = address[11] = 0xff;
    address[12] = 10;
    address[15] = static_cast<std::uint8_t>(side + 1);
  }
  row.hot.key.port[0] = htons(low_port);
  row.hot.key.port[1] = htons(high_port);
  row.hot.key.protocol = protocol;
  row.hot.key.link = 7;
  return row;
}

/// Adds packets of 100 octets (layer 3) and 14 more (layer 2) in one direction at one moment.
inline TestRow& add_packets(TestRow& row, unsigned direction, std::uint32_t packets, std::uint64_t at_ns,
                            std::uint16_t flags = 0) {
  if (row.hot.first_ns == 0) {
    row.hot.first_ns = at_ns;
    row.hot.first_direction = static_cast<std::uint8_t>(direction);
  }
  row.hot.last_ns = at_ns;
  abi::direction_counts& counts = row.hot.direction[direction];
  counts.packets += packets;
  counts.l3_bytes += 100ULL * packets;
  counts.l2_surplus += 14 * packets;
  counts.flags |= flags;
  counts.ttl = 64;
  return row;
}

/// Owner of rows that lie nowhere.
class NoOwner final : public RowOwner {
 public:
  void release(const RowPlace& /*place*/) override { ++released; }
  std::uint64_t identity() const override { return 1; }
  std::uint64_t released = 0;
};

}  // namespace rheo::testing
