// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/live_table.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "daemon/base/clock.h"
#include "daemon/model/byte_order.h"
#include "daemon/model/names.h"

namespace rheo {
namespace {

constexpr const char* kOtherScreen = "\033[?1049h\033[?25l";
constexpr const char* kFirstScreen = "\033[?25h\033[?1049l";
constexpr const char* kHome = "\033[H";
constexpr const char* kClearLine = "\033[K";
constexpr const char* kClearBelow = "\033[J";
constexpr const char* kBold = "\033[1m";
constexpr const char* kPlain = "\033[0m";

/// "1.23 M" with a decimal prefix, five characters of number at the most.
std::string short_number(double value) {
  constexpr const char* kPrefixes[] = {"", " k", " M", " G", " T", " P"};
  std::size_t prefix = 0;
  while (value >= 999.5 && prefix + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++prefix;
  }
  if (prefix == 0) return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}f}{}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, kPrefixes[prefix]);
}

double per_second(std::uint64_t now, std::uint64_t before, std::uint64_t now_ns, std::uint64_t before_ns) {
  if (before_ns == 0 || now_ns <= before_ns || now < before) return 0;
  return static_cast<double>(now - before) * 1e9 / static_cast<double>(now_ns - before_ns);
}

std::string end_point(const FlowRecord& record, const Address& address, std::uint16_t port_be) {
  std::string text = address_text(address, record.ipv6);
  if (port_be == 0) return text;
  if (record.ipv6) text = "[" + text + "]";
  return text + ":" + std::to_string(host_order(port_be));
}

std::string transport(const FlowRecord& record) {
  std::string text = protocol_name(record.protocol);
  if (record.tunnel != TunnelType::none) text += fmt::format("/{}", tunnel_type_name(record.tunnel));
  return text;
}

std::uint64_t lost_packets(const DaemonCounters& counters) {
  const DatapathCounters& d = counters.datapath;
  std::uint64_t lost =
      d.truncated.packets + d.malformed.packets + d.too_deep.packets + d.evicted_full.packets;
  for (const LaneCounters& lane : counters.lanes) lost += lane.lost.packets;
  return lost;
}

std::string summary(const LiveView& view, const LiveView& previous) {
  const DatapathCounters& now = view.counters.datapath;
  const DatapathCounters& before = previous.counters.datapath;
  return fmt::format(
      "{} flows   {} packets/s   {}bit/s   {} packets seen   {} not IP   {} lost",
      short_number(static_cast<double>(view.counters.table.active_flows)),
      short_number(per_second(now.seen_packets, before.seen_packets, view.at_ns, previous.at_ns)),
      short_number(8 * per_second(now.seen_bytes, before.seen_bytes, view.at_ns, previous.at_ns)),
      short_number(static_cast<double>(now.seen_packets)),
      short_number(static_cast<double>(now.not_ip.packets)),
      short_number(static_cast<double>(lost_packets(view.counters))));
}

/// The terminal obeys control characters, and whoever names an interface may use them; bytes beyond ASCII are
/// other characters than they are columns.
void fit(std::string& line, std::size_t columns) {
  line.resize(std::min(line.size(), columns));
  std::ranges::replace_if(line, [](unsigned char byte) { return byte < 0x20 || byte > 0x7e; }, '?');
}

std::string flow_line(const LiveFlow& flow, const LinkTable& links, double seconds, std::size_t width) {
  const FlowRecord& record = flow.record;
  const FlowCounts total = record.forward.total + record.reverse.total;
  const std::string_view state = tcp_state_name(record.tcp_state);
  return fmt::format(
      "{:<10.10} {:<11.11} {:<{}} {:<{}} {:<12} {:>9} {:>8} {:>8}", link_name(links, record.link),
      transport(record), end_point(record, record.source, record.source_port_be), width,
      end_point(record, record.destination, record.destination_port_be), width, state.empty() ? "-" : state,
      seconds > 0 ? short_number(8 * static_cast<double>(flow.recent_bytes) / seconds) + "b" : "-",
      short_number(static_cast<double>(total.packets)),
      short_number(static_cast<double>(total.l3_bytes)) + "B");
}

}  // namespace

std::vector<std::string> draw_live_view(const LiveView& view, const LiveView& previous,
                                        const LinkTable& links, unsigned columns, unsigned rows) {
  constexpr std::size_t kFixedColumns = 10 + 11 + 12 + 9 + 8 + 8 + 7;
  const std::size_t width =
      columns > kFixedColumns + 2 * 21 ? std::min<std::size_t>((columns - kFixedColumns) / 2, 47) : 21;
  std::vector<std::string> lines = {
      view.heading, summary(view, previous), "",
      fmt::format("{:<10} {:<11} {:<{}} {:<{}} {:<12} {:>9} {:>8} {:>8}", "INTERFACE", "PROTOCOL",
                  "INITIATOR", width, "RESPONDER", width, "STATE", "BIT/S", "PACKETS", "OCTETS")};
  const double seconds =
      previous.at_ns > 0 ? static_cast<double>(view.at_ns - previous.at_ns) / kNanosecondsPerSecond : 0;
  for (const LiveFlow& flow : view.flows) {
    if (lines.size() >= rows) break;
    lines.push_back(flow_line(flow, links, seconds, width));
  }
  if (view.flows.empty()) lines.emplace_back("no packets in the last interval");
  lines.resize(std::min<std::size_t>(lines.size(), rows));
  for (std::string& line : lines) fit(line, columns);
  return lines;
}

// A terminal that is stopped (Ctrl-S) must not stop the main loop, and O_NONBLOCK belongs to the open file,
// which standard output shares with our parent: so it is opened once more.
LiveTable::LiveTable() : terminal_(::open("/proc/self/fd/1", O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
  write(kOtherScreen);
}

LiveTable::~LiveTable() { write(kFirstScreen); }

/// What the terminal does not take now is left out: the next picture is whole again.
void LiveTable::write(std::string_view text) {
  if (!terminal_) return;
  while (!text.empty()) {
    const ssize_t count = ::write(terminal_.get(), text.data(), text.size());
    if (count <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

void LiveTable::show(LiveView view, const LinkTable& links) {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) size = {24, 80, 0, 0};
  const auto lines = draw_live_view(view, previous_, links, size.ws_col, size.ws_row);

  std::string picture = kHome;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const bool bold = i == 0 || i == 3;
    if (i > 0) picture += "\r\n";
    picture += (bold ? kBold : "") + lines[i] + kClearLine + (bold ? kPlain : "");
  }
  picture += kClearBelow;
  write(picture);
  previous_ = std::move(view);
}

}  // namespace rheo
