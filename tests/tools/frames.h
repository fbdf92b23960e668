// SPDX-License-Identifier: Apache-2.0
// The Ethernet frames of packet_source: one for each flow (and one back), built before the first is sent,
// so that sending is nothing but system calls. Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rheo::tests {

struct FrameKind {
  int family = 4;  // 4 or 6
  std::uint8_t protocol = 17;
  friend bool operator==(const FrameKind&, const FrameKind&) = default;
};

struct FrameOptions {
  std::vector<FrameKind> kinds;  // flow i has kind i mod size
  std::uint32_t flows = 1;
  std::uint32_t first_flow = 0;  // number of the first flow; end points follow from the number alone
  std::uint32_t size = 60;       // octets of a frame without FCS; raised to what the headers need
  std::uint32_t padding = 0;     // of these, octets behind the IP packet
  bool swap_ends = false;        // source and destination exchanged
  bool both_directions = false;  // each flow has a second frame with its ends exchanged
};

struct Frame {
  std::vector<std::uint8_t> bytes;
  std::uint32_t l3_bytes = 0;
  std::uint32_t kind = 0;  // index into FrameOptions::kinds
  std::uint32_t flow = 0;  // 0 to FrameOptions::flows - 1
};

/// Frames of flow 0, (0 back,) 1, (1 back,) … with right checksums. TCP has ACK alone set. The
/// destination MAC is nobody's, so a receiving host's IP layer takes no notice and answers nothing.
std::vector<Frame> make_frames(const FrameOptions& options);

}  // namespace rheo::tests
