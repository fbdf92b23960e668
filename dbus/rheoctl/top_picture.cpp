// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/top_picture.h"
#include "daemon/base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/model/names.h"
#include "dbus/rheoctl/flow_text.h"
#include "dbus/rheoctl/table.h"

namespace rheo::ctl {
namespace {

struct Shown {
  const LiveFlow& flow;
  const TopView& view;
  const LinkTable& links;
};

struct TopColumn {
  const char* title;
  std::size_t width;
  bool right;
  int rank;  // those with the least are shown first where there is not room for all
  std::string (*text)(const Shown& shown);
};

std::string rate_text(double value, const TopView& view) {
  return view.has_rates ? short_number(value) : "-";
}

std::string count_text(std::uint64_t value) { return short_number(static_cast<double>(value)); }

/// "23:59:59", local time
std::string clock_text(std::uint64_t ns) {
  const auto seconds = static_cast<std::time_t>(ns / kNanosecondsPerSecond);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

/// "59s", "12m", "3h", "9d"
std::string age_text(std::uint64_t start_ns, std::uint64_t now_ns) {
  const std::uint64_t seconds = (now_ns - std::min(start_ns, now_ns)) / kNanosecondsPerSecond;
  if (seconds < 100) return fmt::format("{}s", seconds);
  if (seconds < 100 * 60) return fmt::format("{}m", seconds / 60);
  if (seconds < 100 * 3'600) return fmt::format("{}h", seconds / 3'600);
  return fmt::format("{}d", seconds / 86'400);
}

constexpr std::size_t kEndPointWidth = 21;    // an IPv4 address and a port
constexpr std::size_t kLongestEndPoint = 47;  // an IPv6 address in brackets and a port

constexpr TopColumn kColumns[] = {
    {"INTERFACE", 10, false, 6,
     [](const Shown& shown) {
       const std::string_view name = link_name(shown.links, shown.flow.record.link);
       return name.empty() ? std::to_string(link_ifindex(shown.flow.record.link)) : without_controls(name);
     }},
    {"PROTO", 6, false, 1, [](const Shown& shown) { return protocol_name(shown.flow.record.protocol); }},
    {"INITIATOR", kEndPointWidth, false, 1,
     [](const Shown& shown) { return end_point_text(shown.flow.record, true); }},
    {"RESPONDER", kEndPointWidth, false, 1,
     [](const Shown& shown) { return end_point_text(shown.flow.record, false); }},
    {"STATE", 12, false, 5,
     [](const Shown& shown) {
       const std::string_view state = tcp_state_name(shown.flow.record.tcp_state);
       return std::string(state.empty() ? "-" : state);
     }},
    {"BIT/S", 7, true, 2, [](const Shown& shown) { return rate_text(shown.flow.forward.bits, shown.view); }},
    {"REPLY", 7, true, 2, [](const Shown& shown) { return rate_text(shown.flow.reverse.bits, shown.view); }},
    {"PKT/S", 7, true, 4,
     [](const Shown& shown) { return rate_text(shown.flow.forward.packets, shown.view); }},
    {"REPLY", 7, true, 4,
     [](const Shown& shown) { return rate_text(shown.flow.reverse.packets, shown.view); }},
    {"PACKETS", 8, true, 7,
     [](const Shown& shown) {
       return count_text((shown.flow.record.forward.total + shown.flow.record.reverse.total).packets);
     }},
    {"BYTES", 7, true, 3,
     [](const Shown& shown) {
       return count_text((shown.flow.record.forward.total + shown.flow.record.reverse.total).l3_bytes);
     }},
    {"AGE", 4, true, 8,
     [](const Shown& shown) { return age_text(shown.flow.record.flow_start_ns, shown.view.looked_at_ns); }},
    {"ID", 16, false, 9, [](const Shown& shown) { return flow_id_text(shown.flow.record.flow_id); }},
};

struct Layout {
  std::vector<const TopColumn*> columns;
  std::size_t end_point = kEndPointWidth;
};

Layout layout_for(std::size_t width) {
  constexpr int kRanks = 9;
  int most = 1;
  std::size_t taken = 0;
  for (int rank = 1; rank <= kRanks; ++rank) {
    std::size_t wanted = taken;
    for (const TopColumn& column : kColumns) wanted += column.rank == rank ? column.width + 1 : 0;
    if (rank > 1 && wanted > width + 1) break;  // the last column needs no space behind it
    taken = wanted;
    most = rank;
  }
  Layout layout;
  for (const TopColumn& column : kColumns) {
    if (column.rank <= most) layout.columns.push_back(&column);
  }
  const std::size_t spare = width + 1 - std::min(taken, width + 1);
  layout.end_point = std::min(kEndPointWidth + spare / 2, kLongestEndPoint);
  return layout;
}

template <class TextOf>
std::string line_of(const Layout& layout, TextOf text_of) {
  std::string line;
  for (const TopColumn* column : layout.columns) {
    const bool end_point = column->rank == 1 && column->width == kEndPointWidth;
    const std::size_t width = end_point ? layout.end_point : column->width;
    if (!line.empty()) line += ' ';
    line += column->right ? fmt::format("{:>{}}", text_of(*column), width)
                          : fmt::format("{:<{}.{}}", text_of(*column), width, width);
  }
  return line;
}

std::string summary(const TopView& view) {
  const LiveAnswer& answer = view.answer;
  std::string text = fmt::format("{} flows", view.flows);
  if (!view.filter.empty()) text += fmt::format(", {} match", answer.matching);
  text += fmt::format("   {}bit/s and {}bit/s of replies   {} and {} packets/s",
                      rate_text(answer.forward.bits, view), rate_text(answer.reverse.bits, view),
                      rate_text(answer.forward.packets, view), rate_text(answer.reverse.packets, view));
  if (view.first > 0) text += fmt::format("   from the {}th on", view.first + 1);
  return text;
}

std::string heading(const TopView& view) {
  std::string text = fmt::format("rheoctl flows top   {}   by {}", clock_text(view.looked_at_ns),
                                 live_order_name(view.order));
  if (!view.filter.empty()) text += "   only " + view.filter;
  if (view.paused) text += "   PAUSED";
  constexpr std::uint64_t kStaleNs = 10 * kNanosecondsPerSecond;
  if (view.drained_ago_ns > kStaleNs)
    text += fmt::format("   no drain for {} s", view.drained_ago_ns / kNanosecondsPerSecond);
  return text;
}

std::vector<PictureLine> fitted(std::vector<PictureLine> lines, std::size_t columns, std::size_t rows) {
  lines.resize(std::min(lines.size(), rows));
  for (PictureLine& line : lines) line.text = cut_text(without_controls(line.text), columns);
  return lines;
}

}  // namespace

std::string short_number(double value) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T", "P", "E"};
  std::size_t prefix = 0;
  for (; value >= 999.5 && prefix + 1 < std::size(kPrefixes); ++prefix) value /= 1'000;
  if (prefix == 0) return fmt::format("{:.0f}", value);
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}", value, digits, kPrefixes[prefix]);
}

std::vector<PictureLine> draw_top(const TopView& view, const LinkTable& links, std::size_t columns,
                                  std::size_t rows) {
  const Layout layout = layout_for(columns);
  std::vector<PictureLine> lines = {
      {.style = LineStyle::bold, .text = heading(view)},
      {.style = LineStyle::plain, .text = summary(view)},
      {.style = LineStyle::plain, .text = view.message},
      {.style = LineStyle::reverse,
       .text = line_of(layout, [](const TopColumn& column) { return std::string(column.title); })}};
  lines.back().text.resize(std::max(lines.back().text.size(), columns), ' ');
  for (const LiveFlow& flow : view.answer.flows)
    lines.push_back({.style = LineStyle::plain, .text = line_of(layout, [&](const TopColumn& column) {
                                                  return column.text({flow, view, links});
                                                })});
  return fitted(std::move(lines), columns, rows);
}

std::vector<PictureLine> draw_top_help(std::size_t columns, std::size_t rows) {
  std::vector<PictureLine> lines = {{.style = LineStyle::bold, .text = "Keys of rheoctl flows top"}};
  for (const char* line :
       {"", "  q            quit", "  space        pause, go on",
        "  r            by octets per second of both directions", "  k            by packets per second",
        "  b            by octets since the flow began", "  p            by packets since the flow began",
        "  t            by start, the newest first", "  e            by last packet, the newest first",
        "  s            by the next of these", "  /            filter, such as: tcp and dst port 443",
        "  arrows, page, home: other flows", "  ?            this text", "",
        "Octets are those of layer 3. Any key goes back."})
    lines.push_back({.style = LineStyle::plain, .text = line});
  return fitted(std::move(lines), columns, rows);
}

}  // namespace rheo::ctl
