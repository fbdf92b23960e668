// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/utf8.h"
#include "dbus/rheoctl/flow_sums.h"
#include "dbus/rheoctl/screen.h"
#include "dbus/rheoctl/top.h"
#include "dbus/rheoctl/top_picture.h"

namespace rheo::ctl {
namespace {

// A look at a large table, or at a list, of which rheod makes dictionaries, is no trifle.
constexpr std::uint64_t kIntervalNs = 2 * kNanosecondsPerSecond;

std::vector<PictureLine> draw(const Screen& screen, const FlowSums& sums, const std::string& by,
                              const std::string& message) {
  std::vector<PictureLine> lines = {
      {LineStyle::bold, "rheoctl flows top --by " + by + "   sums of " + sums.of_what()},
      {LineStyle::plain, message}};
  const std::string text = print_table(sums.groups().table(by), {.legend = true, .attributes = false});
  for (std::size_t at = 0; at < text.size() && lines.size() < screen.rows();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back({lines.size() == 2 ? LineStyle::reverse : LineStyle::plain, text.substr(at, end - at)});
    at = end + 1;
  }
  for (PictureLine& line : lines) line.text = cut_text(without_controls(line.text), screen.columns());
  return lines;
}

}  // namespace

Status run_top_by(Client& client, const std::string& filter, const std::string& by) {
  FlowSums sums(client, {.filter = filter}, by, false);
  // What is wrong with the filter is said before the terminal is taken.
  if (Status looked = sums.look(Client::kAnswer); !looked) return looked;
  auto screen = Screen::take();
  if (!screen) return forward(std::move(screen));
  std::string message = "q quit";
  for (std::uint64_t next_ns = monotonic_ns() + kIntervalNs;;) {
    screen->draw(draw(*screen, sums, by, message));
    const std::uint64_t now_ns = monotonic_ns();
    const std::uint64_t left_ns = next_ns - std::min(now_ns, next_ns);
    const Key key = screen->wait_for_key(std::chrono::milliseconds(left_ns / 1'000'000 + 1));
    if (key.kind == KeyKind::quit || (key.kind == KeyKind::character && key.character == 'q')) return Done{};
    if (monotonic_ns() < next_ns) continue;
    try {
      const Status looked = sums.look(Client::kGlance);
      message = looked ? "q quit" : looked.error().what;
    } catch (const sdbus::Error&) {
      message = "rheod does not answer";
    }
    next_ns = monotonic_ns() + kIntervalNs;
  }
}

}  // namespace rheo::ctl
