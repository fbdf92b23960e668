// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/frames.h"

#include <netinet/in.h>

#include <algorithm>
#include <span>
#include <utility>

namespace rheo::tests {
namespace {

constexpr std::size_t kEthernetBytes = 14;
constexpr std::uint16_t kDiscardPort = 9;

using Bytes = std::vector<std::uint8_t>;

void put16(Bytes& out, std::size_t at, std::uint32_t value) {
  out[at] = static_cast<std::uint8_t>(value >> 8U);
  out[at + 1] = static_cast<std::uint8_t>(value);
}

void put32(Bytes& out, std::size_t at, std::uint32_t value) {
  put16(out, at, value >> 16U);
  put16(out, at + 2, value & 0xffffU);
}

std::uint32_t ones_sum(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i]) << 8U : bytes[i];
    sum = (sum & 0xffffU) + (sum >> 16U);
  }
  return sum;
}

std::size_t ip_header_bytes(int family) { return family == 4 ? 20 : 40; }
std::size_t transport_header_bytes(std::uint8_t protocol) { return protocol == IPPROTO_TCP ? 20 : 8; }

struct Layout {
  std::size_t ip = 0;         // octets of the IP header
  std::size_t transport = 0;  // octets from the transport header to the packet's end
  std::size_t ends = 0;       // offset of the two addresses
  std::size_t address = 0;    // octets of one
};

Layout layout_of(FrameKind kind, const FrameOptions& options) {
  const std::size_t ip = ip_header_bytes(kind.family);
  const std::size_t least = kEthernetBytes + ip + transport_header_bytes(kind.protocol);
  const std::size_t wanted = options.size > options.padding ? options.size - options.padding : 0;
  return {.ip = ip,
          .transport = std::max(least, wanted) - kEthernetBytes - ip,
          .ends = kEthernetBytes + (kind.family == 4 ? 12U : 8U),
          .address = kind.family == 4 ? 4U : 16U};
}

void write_ethernet(Bytes& frame, FrameKind kind) {
  constexpr std::uint8_t addresses[12] = {0x02, 0xee, 0, 0, 0, 0x02, 0x02, 0xee, 0, 0, 0, 0x01};
  std::copy(std::begin(addresses), std::end(addresses), frame.begin());
  put16(frame, 12, kind.family == 4 ? 0x0800 : 0x86dd);
}

/// 10.n.n.n to 198.18.0.1, or 2001:db8::n:n to 2001:db8:ffff::1.
void write_ip(Bytes& frame, FrameKind kind, const Layout& layout, std::uint32_t flow) {
  const std::size_t at = kEthernetBytes;
  if (kind.family == 4) {
    frame[at] = 0x45;
    put16(frame, at + 2, static_cast<std::uint32_t>(layout.ip + layout.transport));
    frame[at + 8] = 64;
    frame[at + 9] = kind.protocol;
    put32(frame, at + 12, 0x0a000000U | (flow & 0xffffffU));
    put32(frame, at + 16, 0xc6120001U);
    put16(frame, at + 10, ~ones_sum({frame.data() + at, layout.ip}) & 0xffffU);
    return;
  }
  frame[at] = 0x60;
  put16(frame, at + 4, static_cast<std::uint32_t>(layout.transport));
  frame[at + 6] = kind.protocol;
  frame[at + 7] = 64;
  put32(frame, at + 8, 0x20010db8U);
  put32(frame, at + 20, flow);
  put32(frame, at + 24, 0x20010db8U);
  put32(frame, at + 28, 0xffff0000U);
  frame[at + 39] = 1;
}

void write_transport(Bytes& frame, FrameKind kind, const Layout& layout, std::uint32_t flow) {
  const std::size_t at = kEthernetBytes + layout.ip;
  put16(frame, at, 20'000 + flow % 10'000);  // clear of every port that means a tunnel
  put16(frame, at + 2, kDiscardPort);
  const bool tcp = kind.protocol == IPPROTO_TCP;
  if (tcp) {
    put32(frame, at + 8, 1);  // acknowledges nothing new
    frame[at + 12] = 5U << 4U;
    frame[at + 13] = 0x10;  // ACK
    put16(frame, at + 14, 0xffff);
  } else {
    put16(frame, at + 4, static_cast<std::uint32_t>(layout.transport));
  }
  std::uint32_t sum = static_cast<std::uint32_t>(layout.transport) + kind.protocol;  // pseudo header
  sum = ones_sum({frame.data() + layout.ends, 2 * layout.address}, sum);
  sum = ~ones_sum({frame.data() + at, layout.transport}, sum) & 0xffffU;
  put16(frame, at + (tcp ? 16U : 6U), sum == 0 ? 0xffffU : sum);
}

/// Neither checksum changes by it.
void exchange_ends(Bytes& frame, const Layout& layout) {
  const auto swap = [&frame](std::size_t at, std::size_t length) {
    const auto first = frame.begin() + static_cast<std::ptrdiff_t>(at);
    const auto middle = first + static_cast<std::ptrdiff_t>(length);
    std::swap_ranges(first, middle, middle);
  };
  swap(0, 6);
  swap(layout.ends, layout.address);
  swap(kEthernetBytes + layout.ip, 2);
}

}  // namespace

std::vector<Frame> make_frames(const FrameOptions& options) {
  std::vector<Frame> frames;
  for (std::uint32_t i = 0; i < options.flows; ++i) {
    const std::uint32_t flow = options.first_flow + i;
    const std::uint32_t index = i % static_cast<std::uint32_t>(options.kinds.size());
    const FrameKind kind = options.kinds[index];
    const Layout layout = layout_of(kind, options);
    const std::size_t l3_bytes = layout.ip + layout.transport;

    Bytes bytes(kEthernetBytes + l3_bytes + options.padding);
    write_ethernet(bytes, kind);
    write_ip(bytes, kind, layout, flow);
    write_transport(bytes, kind, layout, flow);
    if (options.swap_ends) exchange_ends(bytes, layout);

    Frame frame{.bytes = std::move(bytes),
                .l3_bytes = static_cast<std::uint32_t>(l3_bytes),
                .kind = index,
                .flow = i};
    frames.push_back(frame);
    if (!options.both_directions) continue;
    exchange_ends(frame.bytes, layout);
    frames.push_back(std::move(frame));
  }
  return frames;
}

}  // namespace rheo::tests
