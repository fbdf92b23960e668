// SPDX-License-Identifier: Apache-2.0
// Replay: a capture file in the place of the kernel. It runs the datapath's own parser, compiled for the
// host, on each packet and hands out one row a packet, in the capture's order and on the capture's clock.
// Nothing is lost in it: seen == rows + drops, exactly. Needs no privilege and no BPF. One thread.
//
//   auto replay = Replay::open("a.pcapng", options);
//   while (true) {
//     auto step = replay->next();          // an error comes after the rows of every complete packet
//     if (!step) ...
//     merge(step->rows); advance_clock(step->now_ns);
//     if (step->at_end) break;
//   }
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/model/counters.h"
#include "daemon/model/link.h"
#include "daemon/model/row.h"

namespace rheo {

/// The settings of the datapath that mean something for a capture. At most eight ports of a kind.
struct ReplayOptions {
  std::vector<std::uint16_t> vxlan_ports = {4789, 8472};
  std::vector<std::uint16_t> geneve_ports = {6081};
  std::vector<std::uint16_t> wireguard_ports = {51820};
  bool gre = true;
  bool ipip = true;
  std::uint32_t fragments = 8'192;                                    // datagrams whose ports are remembered
  std::chrono::nanoseconds drain_interval = std::chrono::seconds(1);  // of the capture's clock, > 0
};

struct ReplayStep {
  /// To be merged first. Good until the next call of next(). May be empty.
  std::span<const Row> rows;
  /// The capture's clock after the rows, ns since 1970: a drain time, or the latest packet's time where the
  /// rows are many and at the end. Never less than a row's last_ns, nor than in the step before, though
  /// the stamps of a capture may step back.
  std::uint64_t now_ns = 0;
  bool at_end = false;
};

class Replay {
 public:
  /// Fails when the file cannot be opened, is compressed, is no capture, or an option is out of range.
  static Result<Replay> open(const std::string& path, const ReplayOptions& options);

  /// The same over bytes in memory, which must outlive the replay; `name` is for error messages.
  static Result<Replay> over(std::span<const std::uint8_t> capture, std::string name,
                             const ReplayOptions& options);

  Replay(Replay&&) noexcept;
  Replay& operator=(Replay&&) noexcept;
  ~Replay();

  /// The rows up to the next drain time. The error of a damaged file ("a.pcap: damaged at byte 1234: …")
  /// comes after the rows of all packets before the damage, and comes again when asked again; so does at_end.
  Result<ReplayStep> next();

  /// Everything read so far. seen == rows handed out + drops when next() has said at_end or failed.
  const DatapathCounters& counters() const;

  /// The capture's interfaces met so far: 1 is the first. Named by the file, else "capture0", "capture1", …
  const LinkTable& links() const;

 private:
  struct State;
  explicit Replay(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace rheo
