// SPDX-License-Identifier: Apache-2.0
// The picture that "rheoctl flows top" shows: text lines for a screen of some size. Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "daemon/model/link.h"
#include "dbus/rheoctl/live_flows.h"

namespace rheo::ctl {

enum class LineStyle : std::uint8_t { plain, bold, reverse };

struct PictureLine {
  LineStyle style = LineStyle::plain;
  std::string text;  // printable, not longer than the screen is wide
};

struct TopView {
  LiveAnswer answer;
  std::size_t first = 0;  // of the first flow in `answer`
  std::size_t flows = 0;  // in the table
  LiveOrder order = LiveOrder::rate;
  std::string filter;
  std::string message;  // a mistake, a question, or what keys there are
  bool paused = false;
  bool has_rates = false;
  std::uint64_t looked_at_ns = 0;  // since 1970; when the table was looked at
  std::uint64_t drained_ago_ns = 0;
};

/// Lines above the first flow.
inline constexpr std::size_t kTopHeading = 4;

std::vector<PictureLine> draw_top(const TopView& view, const LinkTable& links, std::size_t columns,
                                  std::size_t rows);

/// What the keys do.
std::vector<PictureLine> draw_top_help(std::size_t columns, std::size_t rows);

/// "999", "1.23k", "45.6M"
std::string short_number(double value);

}  // namespace rheo::ctl
