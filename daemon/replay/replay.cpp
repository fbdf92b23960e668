// SPDX-License-Identifier: Apache-2.0
#include "daemon/replay/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "bpf/flow_cache.h"
#include "bpf/parse.h"
#include "daemon/base/assert.h"
#include "daemon/replay/capture_reader.h"
#include "daemon/replay/fragment_ports.h"
#include "daemon/replay/link_frame.h"

namespace rheo {
namespace {

constexpr std::size_t kRowsPerStep = 1024;
// Of a gap between two packets. A stamp that is wrong by years must not cost a step for each second of them.
constexpr std::uint32_t kMostTicksPerGap = 4096;
constexpr std::size_t kMostLinks = 100'000;

struct RowMemory {
  std::array<abi::hot_row, kRowsPerStep> hot;
  std::array<abi::cold_row, kRowsPerStep> cold;
  std::array<abi::tcp_row, kRowsPerStep> tcp;
};

Status put_ports(const char* name, const std::vector<std::uint16_t>& ports, std::span<__u16> places,
                 __u64& filter) {
  if (ports.size() > places.size())
    return failure(
        fmt::format("{}: {} ports given, at most {} are possible", name, ports.size(), places.size()));
  std::ranges::copy(ports, places.begin());
  for (const std::uint16_t port : ports) filter |= abi::tunnel_port_bit(port);
  return Done{};
}

Result<abi::parse_settings> make_settings(const ReplayOptions& options) {
  abi::parse_settings settings{};
  __u64& filter = settings.tunnel_port_filter;
  if (auto put = put_ports("vxlan_ports", options.vxlan_ports, settings.vxlan_ports, filter); !put)
    return forward(std::move(put));
  if (auto put = put_ports("geneve_ports", options.geneve_ports, settings.geneve_ports, filter); !put)
    return forward(std::move(put));
  if (auto put = put_ports("wireguard_ports", options.wireguard_ports, settings.wireguard_ports, filter);
      !put)
    return forward(std::move(put));
  settings.decapsulate_gre = options.gre;
  settings.decapsulate_ipip = options.ipip;
  return settings;
}

Status check(const ReplayOptions& options) {
  constexpr std::chrono::nanoseconds longest = std::chrono::hours(24);
  if (options.fragments == 0) return failure("fragments: 0 is too few, at least 1 is needed");
  if (options.drain_interval <= options.drain_interval.zero() || options.drain_interval > longest)
    return failure(
        fmt::format("drain_interval: {} ns is not between 1 ns and 24 h", options.drain_interval.count()));
  return Done{};
}

}  // namespace

struct Replay::State {
  State(CaptureReader capture, const abi::parse_settings& parse, const ReplayOptions& options)
      : reader(std::move(capture)),
        settings(parse),
        fragments(options.fragments),
        drain_interval_ns(static_cast<std::uint64_t>(options.drain_interval.count())) {
    rows.reserve(kRowsPerStep);
  }

  Result<ReplayStep> step();
  Status fetch();
  bool tick();
  Status meter(const CapturedPacket& packet);
  void count_drop(int reason, std::uint64_t octets);
  std::uint32_t link_of(const CapturedPacket& packet, std::uint32_t device);
  std::uint32_t add_link(const std::string& name, std::uint32_t link_type);

  CaptureReader reader;
  abi::parse_settings settings;
  FragmentPorts fragments;
  std::uint64_t drain_interval_ns;

  DatapathCounters counters;
  LinkTable links;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t>
      link_index;  // of capture interface and device
  std::map<std::string, std::uint32_t> link_by_name;

  std::unique_ptr<RowMemory> memory = std::make_unique<RowMemory>();
  std::vector<Row> rows;
  std::optional<CapturedPacket> held;  // read, and not metered yet
  bool clock_started = false;
  std::uint64_t clock_ns = 0;  // the latest stamp or drain time so far
  std::uint64_t next_drain_ns =
      0;  // a multiple of the interval, so that it depends on the capture's clock alone
  std::uint32_t ticks_in_gap = 0;
  bool at_end = false;
  std::optional<Error> failed;
};

Replay::Replay(std::unique_ptr<State> state) : state_(std::move(state)) {}
Replay::Replay(Replay&&) noexcept = default;
Replay& Replay::operator=(Replay&&) noexcept = default;
Replay::~Replay() = default;

Result<Replay> Replay::open(const std::string& path, const ReplayOptions& options) {
  if (auto checked = check(options); !checked) return forward(std::move(checked));
  auto settings = make_settings(options);
  if (!settings) return forward(std::move(settings));
  auto reader = CaptureReader::open(path);
  if (!reader) return forward(std::move(reader));
  return Replay(std::make_unique<State>(*std::move(reader), *settings, options));
}

Result<Replay> Replay::over(std::span<const std::uint8_t> capture, std::string name,
                            const ReplayOptions& options) {
  if (auto checked = check(options); !checked) return forward(std::move(checked));
  auto settings = make_settings(options);
  if (!settings) return forward(std::move(settings));
  auto reader = CaptureReader::over(capture, std::move(name));
  if (!reader) return forward(std::move(reader));
  return Replay(std::make_unique<State>(*std::move(reader), *settings, options));
}

Result<ReplayStep> Replay::next() { return state_->step(); }
const DatapathCounters& Replay::counters() const { return state_->counters; }
const LinkTable& Replay::links() const { return state_->links; }

Result<ReplayStep> Replay::State::step() {
  rows.clear();
  while (!failed && !at_end && rows.size() < kRowsPerStep) {
    if (auto fetched = fetch(); !fetched) failed = std::move(fetched).error();
    if (failed || at_end) break;
    if (tick()) break;
    if (auto metered = meter(*held); !metered) failed = std::move(metered).error();
    held.reset();
  }
  if (failed && rows.empty()) return std::unexpected(*failed);
  return ReplayStep{.rows = rows, .now_ns = clock_ns, .at_end = at_end};
}

/// Sees to it that a packet is held, unless the capture is at its end.
Status Replay::State::fetch() {
  if (held) return Done{};
  const auto packet = reader.next();
  if (!packet) return std::unexpected(packet.error());
  held = *packet;
  at_end = !held;
  if (held && !clock_started) {
    clock_started = true;
    clock_ns = held->time_ns;
    next_drain_ns = (clock_ns / drain_interval_ns + 1) * drain_interval_ns;
  }
  return Done{};
}

/// Moves the clock on to the next drain time, if that is not after the held packet; else to the packet.
bool Replay::State::tick() {
  if (held->time_ns < next_drain_ns) {
    clock_ns = std::max(clock_ns, held->time_ns);
    ticks_in_gap = 0;
    return false;
  }
  if (++ticks_in_gap > kMostTicksPerGap)
    next_drain_ns = held->time_ns / drain_interval_ns * drain_interval_ns;
  clock_ns = next_drain_ns;
  next_drain_ns += drain_interval_ns;
  return true;
}

/// A packet becomes a row, or a drop with its reason.
Status Replay::State::meter(const CapturedPacket& packet) {
  const auto frame = open_frame(packet);
  if (!frame)
    return failure(
        fmt::format("{}: a packet of link type {}: those known are Ethernet (1), raw IP (12, 14, 101, 228, "
                    "229), Linux cooked (113, 276) and null or loopback (0, 108)",
                    reader.name(), packet.link_type));
  const std::uint32_t link = link_of(packet, frame->device);

  abi::parsed_packet parsed;
  int status = frame->status;
  if (status == abi::PARSE_OK)
    status = abi::parse_packet(&frame->input, &settings, &parsed, abi::MEMORY_COPY);
  if (status != abi::PARSE_OK) {
    count_drop(status, abi::unparsed_octets(&frame->input));
    return Done{};
  }
  parsed.key.link = link;
  if (!fragments.resolve(parsed, packet.time_ns)) ++counters.fragments_unknown;

  abi::octets octets;
  abi::count_octets(&frame->input, &parsed, &octets);
  counters.seen_packets += octets.packets;
  counters.seen_bytes += octets.l2;
  abi::hot_row& hot = memory->hot[rows.size()];
  abi::cold_row& cold = memory->cold[rows.size()];
  abi::tcp_row& tcp = memory->tcp[rows.size()];
  abi::row_start(&hot, parsed.word, &parsed, packet.time_ns);
  abi::row_add(&hot, &parsed, &octets, frame->hooks, packet.time_ns);
  abi::cold_start(&cold, &parsed);
  if (parsed.tcp_flags != 0) abi::row_note_handshake(&hot, &tcp, &parsed, packet.time_ns);
  rows.push_back({.hot = &hot, .cold = &cold, .tcp = &tcp, .place = {}});
  return Done{};
}

void Replay::State::count_drop(int reason, std::uint64_t octets) {
  const std::array<LossCount*, abi::DROP_REASON_COUNT> losses = {
      &counters.not_ip, &counters.truncated, &counters.malformed, &counters.too_deep, &counters.evicted_full};
  RHEO_ASSERT(reason >= 0 && reason < abi::DROP_REASON_COUNT);
  LossCount& loss = *losses[static_cast<std::size_t>(reason)];
  ++loss.packets;
  loss.bytes += octets;
  ++counters.seen_packets;
  counters.seen_bytes += octets;
}

/// The link of a packet. Interfaces of one name are one link, so that the sections of a file continue each
/// other. A cooked v2 capture of several devices has a link for each, "any:3".
std::uint32_t Replay::State::link_of(const CapturedPacket& packet, std::uint32_t device) {
  const auto found = link_index.find({packet.interface, device});
  if (found != link_index.end()) return found->second;
  // A hostile file can name more devices than memory holds: they share one link.
  if (device != 0 && link_index.size() >= kMostLinks) return link_of(packet, 0);

  const CaptureInterface& interface = reader.interfaces()[packet.interface];
  std::string name = interface.name;
  if (name.empty()) name = fmt::format("capture{}", interface.number_in_section);
  if (device != 0) name += fmt::format(":{}", device);
  const std::uint32_t index = add_link(name, packet.link_type);
  link_index.emplace(std::pair(packet.interface, device), index);
  return index;
}

std::uint32_t Replay::State::add_link(const std::string& name, std::uint32_t link_type) {
  const auto index = static_cast<std::uint32_t>(links.size() + 1);
  const auto [place, is_new] = link_by_name.emplace(name, index);
  if (is_new)
    links[index] = {.index = index,
                    .name = name,
                    .kind = "capture",
                    .layer = is_ethernet(link_type) ? LinkLayer::ethernet : LinkLayer::none,
                    .up = true};
  return place->second;
}

}  // namespace rheo
