// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/top.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "daemon/base/clock.h"
#include "dbus/rheoctl/flow_text.h"
#include "dbus/rheoctl/live_flows.h"
#include "dbus/rheoctl/screen.h"
#include "dbus/rheoctl/table_reader.h"
#include "dbus/rheoctl/top_picture.h"

namespace rheo::ctl {
namespace {

constexpr std::uint64_t kIntervalNs = kNanosecondsPerSecond;
constexpr std::uint64_t kAskAgainNs = 5 * kNanosecondsPerSecond;
constexpr const char* kHint = "q quit   ? help   / filter   s sort   space pause";

std::int64_t clock_offset_ns() { return static_cast<std::int64_t>(realtime_ns() - monotonic_ns()); }

class Top {
 public:
  Top(Client& client, TableReader table, LinkTable links, LiveOrder order)
      : client_(client), table_(std::move(table)), links_(std::move(links)), order_(order) {}

  Status set_filter(const std::string& text) {
    auto filter = FlowFilter::parse(text, links_);
    if (!filter) return forward(std::move(filter));
    filter_ = *std::move(filter);
    filter_text_ = text;
    first_ = 0;
    return Done{};
  }

  void run(Screen& screen) {
    for (std::uint64_t next_ns = monotonic_ns(); !done_;) {
      if (const std::uint64_t now_ns = monotonic_ns(); now_ns >= next_ns) {
        if (!paused_) look();
        next_ns = std::max(next_ns + kIntervalNs, now_ns);
      }
      show(screen);
      const std::uint64_t now_ns = monotonic_ns();
      const std::uint64_t left_ns = next_ns - std::min(now_ns, next_ns);
      obey(screen.wait_for_key(std::chrono::milliseconds(left_ns / 1'000'000 + 1)));
    }
  }

 private:
  void look() {
    if (monotonic_ns() >= ask_at_ns_ && (table_.is_removed() || drained_ago_ns() > kAskAgainNs))
      follow_rheod();
    if (!table_.refresh()) return;  // the file is as it was, or the next look finds it
    flows_.look(table_);
    looked_at_ns_ = realtime_ns();
  }

  std::uint64_t drained_ago_ns() const {
    const std::uint64_t now_ns = monotonic_ns();
    return flows_.drained_at_ns() == 0 ? 0 : now_ns - std::min(now_ns, flows_.drained_at_ns());
  }

  /// Another rheod may have another table by now, and other interfaces.
  void follow_rheod() {
    ask_at_ns_ = monotonic_ns() + kAskAgainNs;
    try {
      auto table = TableReader::map(client_.flow_table());
      if (!table) return say(table.error().what);
      if (table_.is_removed()) flows_ = LiveFlows();
      table_ = *std::move(table);
      links_ = client_.links();
    } catch (const sdbus::Error&) {
      say("rheod does not answer");
    }
  }

  /// An interface may have come since; its number is shown where its name is not known.
  void name_links(const LiveAnswer& answer) {
    const bool unknown = std::ranges::any_of(
        answer.flows, [&](const LiveFlow& flow) { return link_name(links_, flow.record.link).empty(); });
    if (!unknown || monotonic_ns() < name_at_ns_) return;
    name_at_ns_ = monotonic_ns() + kAskAgainNs;
    try {
      links_.merge(client_.links());
    } catch (const sdbus::Error&) {
      return;  // follow_rheod() tells
    }
  }

  void show(Screen& screen) {
    if (help_) return screen.draw(draw_top_help(screen.columns(), screen.rows()));
    page_ = std::max<std::size_t>(screen.rows(), kTopHeading + 1) - kTopHeading;
    const auto ask = [&] {
      return flows_.answer({.filter = filter_, .order = order_, .first = first_, .count = page_},
                           clock_offset_ns());
    };
    TopView view{.answer = ask(),
                 .first = first_,
                 .flows = flows_.size(),
                 .order = order_,
                 .filter = filter_text_,
                 .message = asking_ ? "filter: " + typed_ : message_,
                 .paused = paused_,
                 .has_rates = flows_.has_rates(),
                 .looked_at_ns = looked_at_ns_,
                 .drained_ago_ns = drained_ago_ns()};
    if (first_ > 0 && first_ >= view.answer.matching) {  // they have become fewer
      view.first = first_ = view.answer.matching - std::min(page_, view.answer.matching);
      view.answer = ask();
    }
    name_links(view.answer);
    screen.draw(draw_top(view, links_, screen.columns(), screen.rows()), asking_ ? 2 : -1);
    matching_ = view.answer.matching;
  }

  void obey(const Key& key) {
    if (key.kind == KeyKind::none || key.kind == KeyKind::resize) return;
    if (key.kind == KeyKind::quit) {
      done_ = true;
    } else if (help_) {
      help_ = false;
    } else if (asking_) {
      type(key);
    } else if (key.kind == KeyKind::character) {
      command(key.character);
    } else {
      scroll(key.kind);
    }
  }

  void type(const Key& key) {
    if (key.kind == KeyKind::character && typed_.size() < FlowFilter::kMaxBytes) {
      typed_ += key.character;
    } else if (key.kind == KeyKind::erase && !typed_.empty()) {
      typed_.pop_back();
    } else if (key.kind == KeyKind::escape) {
      asking_ = false;
    } else if (key.kind == KeyKind::enter) {
      asking_ = false;
      const Status set = set_filter(typed_);
      say(set ? kHint : set.error().what);
    }
  }

  void command(char character) {
    say(kHint);
    switch (character) {
      case 'q':
        done_ = true;
        break;
      case ' ':
        paused_ = !paused_;
        break;
      case '?':
      case 'h':
        help_ = true;
        break;
      case '/':
      case 'f':
        asking_ = true;
        typed_ = filter_text_;
        break;
      case 's':
        order_ = static_cast<LiveOrder>((static_cast<int>(order_) + 1) % kLiveOrderCount);
        break;
      default:
        choose_order(character);
    }
  }

  void choose_order(char character) {
    constexpr std::pair<char, LiveOrder> kKeys[] = {{'r', LiveOrder::rate},  {'k', LiveOrder::packet_rate},
                                                    {'b', LiveOrder::bytes}, {'p', LiveOrder::packets},
                                                    {'t', LiveOrder::start}, {'e', LiveOrder::end}};
    for (const auto& [name, order] : kKeys) {
      if (name == character) order_ = order;
    }
  }

  void scroll(KeyKind kind) {
    const std::size_t last = matching_ - std::min(page_, matching_);
    if (kind == KeyKind::home) first_ = 0;
    if (kind == KeyKind::end) first_ = last;
    if (kind == KeyKind::up) first_ -= std::min<std::size_t>(first_, 1);
    if (kind == KeyKind::page_up) first_ -= std::min(first_, page_);
    if (kind == KeyKind::down) first_ = std::min(first_ + 1, last);
    if (kind == KeyKind::page_down) first_ = std::min(first_ + page_, last);
  }

  void say(const std::string& text) { message_ = text; }

  Client& client_;
  TableReader table_;
  LinkTable links_;
  LiveFlows flows_;
  LiveOrder order_;
  FlowFilter filter_;
  std::string filter_text_;
  std::string typed_;
  std::string message_ = kHint;
  std::size_t first_ = 0;
  std::size_t page_ = 1;
  std::size_t matching_ = 0;
  std::uint64_t looked_at_ns_ = 0;
  std::uint64_t ask_at_ns_ = 0;
  std::uint64_t name_at_ns_ = 0;
  bool asking_ = false;
  bool help_ = false;
  bool paused_ = false;
  bool done_ = false;
};

}  // namespace

Status run_top(Client& client, const TopOptions& options) {
  const auto order = options.order.empty() ? LiveOrder::rate : live_order(options.order);
  if (!order)
    return failure("--sort " + options.order + ": not rate, packet-rate, bytes, packets, start or end");
  auto table = TableReader::map(client.flow_table());
  if (!table) return forward(std::move(table));
  Top top(client, *std::move(table), client.links(), *order);
  if (auto set = top.set_filter(options.filter); !set) return set;
  auto screen = Screen::take();
  if (!screen) return forward(std::move(screen));
  top.run(*screen);
  return Done{};
}

Result<Table> show_flow(Client& client, const std::string& id) {
  const auto wanted = flow_id(id);
  if (!wanted) return failure("flows show " + id + ": an ID has 16 hexadecimal digits; see rheoctl flows");
  const auto table = TableReader::map(client.flow_table());
  if (!table) return std::unexpected(table.error());
  FlowEntry entry;
  for (std::uint32_t i = 0; i < table->entries(); ++i) {
    if (table->read(i, entry) && entry.state.flow_id == *wanted)
      return flow_details(make_record(entry.state, entry.origin, EndReason::active, clock_offset_ns()),
                          client.links());
  }
  return failure("flows show " + id + ": no such flow in the table; it may have ended");
}

}  // namespace rheo::ctl
