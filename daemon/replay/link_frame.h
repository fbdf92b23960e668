// SPDX-License-Identifier: Apache-2.0
// LinkFrame: a captured packet as the datapath's parser wants it: without the header that the capture put in
// front (cooked, null/loopback), which was on no wire and counts for nothing. Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "bpf/parse.h"
#include "daemon/replay/capture_reader.h"

namespace rheo {

struct LinkFrame {
  abi::parse_input input{};    // to be parsed as MEMORY_COPY
  int status = abi::PARSE_OK;  // or the enum drop_reason of a packet that has nothing to parse
  std::uint8_t hooks = 0;      // enum flow_hooks; 0: the capture does not say
  std::uint32_t device = 0;    // cooked v2: the ifindex on the host that captured, else 0
};

/// Nothing for a link type that replay does not know.
std::optional<LinkFrame> open_frame(const CapturedPacket& packet);

/// What a link type's packets begin with: an Ethernet header, or not.
bool is_ethernet(std::uint32_t link_type);

}  // namespace rheo
