// SPDX-License-Identifier: Apache-2.0
#include "daemon/model/flow_filter.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>

#include "daemon/base/assert.h"
#include "daemon/model/byte_order.h"
#include "daemon/model/protocols.h"

namespace rheo {
namespace {

using What = FlowFilter::What;
using Side = FlowFilter::Side;
using Step = FlowFilter::Step;

// Each level of parentheses has at most a left side of "or" and one of "and" waiting.
constexpr std::size_t kMostTruths = 2 * (FlowFilter::kMaxDepth + 1) + 1;

struct ProtocolWord {
  std::string_view word;
  std::uint32_t number;
};
constexpr ProtocolWord kProtocols[] = {{"tcp", IPPROTO_TCP},        {"udp", IPPROTO_UDP},
                                       {"icmp", IPPROTO_ICMP},      {"icmpv6", IPPROTO_ICMPV6},
                                       {"icmp6", IPPROTO_ICMPV6},   {"sctp", IPPROTO_SCTP},
                                       {"udplite", IPPROTO_UDPLITE}};

struct OwnerWord {
  std::string_view word;
  What what;
  const char* expected;
};
constexpr OwnerWord kOwnerWords[] = {
    {"unit", What::unit, "the name of a unit, such as nginx.service, is expected"},
    {"user", What::user, "the name of a user is expected"},
    {"uid", What::uid, "a user's number, 0 to 4294967295, is expected"},
    {"process", What::process, "the name or the path of a program is expected"},
    {"pid", What::pid, "a process's number, 1 to 4294967295, is expected"},
    {"container", What::container, "the name of a container, its id, or the id's beginning, is expected"}};

/// The end of what stands in quotes at `at`, npos where it is nothing, or endless.
std::size_t end_of_quoted(std::string_view text, std::size_t at) {
  const std::size_t end = text.find('"', at + 1);
  return end == std::string_view::npos || end == at + 1 ? std::string_view::npos : end;
}

/// Of quoted words without the quotes, so that none but a faulty one begins with a quote.
std::vector<std::string_view> split_words(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  std::vector<std::string_view> words;
  for (std::size_t at = text.find_first_not_of(kSpaces); at != std::string_view::npos;) {
    std::size_t end = at + 1;
    if (const std::size_t quote = text[at] == '"' ? end_of_quoted(text, at) : std::string_view::npos;
        quote != std::string_view::npos) {
      words.push_back(text.substr(at + 1, quote - at - 1));
      at = text.find_first_not_of(kSpaces, quote + 1);
      continue;
    }
    if (text[at] != '(' && text[at] != ')') end = std::min(text.find_first_of(" \t\r\n()", at), text.size());
    words.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(kSpaces, end);
  }
  return words;
}

std::optional<std::uint32_t> number(std::string_view word, std::uint32_t most) {
  std::uint32_t value = 0;
  const auto [end, fault] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (fault != std::errc() || end != word.data() + word.size() || value > most) return std::nullopt;
  return value;
}

/// The address, IPv4 mapped, and how many bits of it are in front of the family's own.
std::optional<std::pair<Address, std::uint32_t>> parse_address(std::string_view word) {
  Address address{};
  const std::string text(word);
  if (::inet_pton(AF_INET6, text.c_str(), address.data()) == 1) return std::pair(address, 0U);
  address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (::inet_pton(AF_INET, text.c_str(), address.data() + 12) == 1)
    return std::pair(address, std::uint32_t{kMappedBits});
  return std::nullopt;
}

bool in_net(const Address& address, const Address& net, std::uint32_t bits) {
  const std::size_t whole = bits / 8;
  if (std::memcmp(address.data(), net.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  return ((address[whole] ^ net[whole]) >> (8 - bits % 8)) == 0;
}

/// Words that others chose, short and printable.
std::string quoted(std::string_view word) {
  std::string text = "\"";
  for (const char c : word.substr(0, 40)) text += c >= ' ' && c <= '~' ? c : '?';
  return text + (word.size() > 40 ? "…\"" : "\"");
}

class Parser {
 public:
  Parser(std::string_view text, const LinkTable& links, const FilterSources& sources)
      : words_(split_words(text)), links_(links), sources_(sources) {}

  Result<std::vector<Step>> parse() {
    if (words_.empty()) return std::move(steps_);
    if (auto parsed = parse_any(); !parsed) return forward(std::move(parsed));
    if (at_ < words_.size()) return complain("nothing opens this parenthesis");
    return std::move(steps_);
  }

 private:
  std::unexpected<Error> complain(std::string_view what) const {
    if (at_ >= words_.size()) return failure("filter: it ends too early: " + std::string(what));
    return failure("filter: at " + quoted(words_[at_]) + " (word " + std::to_string(at_ + 1) +
                   "): " + std::string(what));
  }

  std::string_view word() const { return at_ < words_.size() ? words_[at_] : std::string_view(); }

  bool take(std::string_view wanted) {
    if (word() != wanted) return false;
    ++at_;
    return true;
  }

  Status parse_any() {
    if (auto parsed = parse_all(); !parsed) return parsed;
    while (take("or")) {
      if (auto parsed = parse_all(); !parsed) return parsed;
      steps_.push_back({.what = What::any_of});
    }
    return Done{};
  }

  Status parse_all() {
    if (auto parsed = parse_factor(); !parsed) return parsed;
    while (!word().empty() && word() != "or" && word() != ")") {
      take("and");
      if (auto parsed = parse_factor(); !parsed) return parsed;
      steps_.push_back({.what = What::all_of});
    }
    return Done{};
  }

  Status parse_factor() {
    if (depth_ == FlowFilter::kMaxDepth) return complain("nested too deeply");
    ++depth_;
    Status parsed = Done{};
    if (take("not")) {
      parsed = parse_factor();
      steps_.push_back({.what = What::negate});
    } else if (take("(")) {
      parsed = parse_any();
      if (parsed && !take(")")) parsed = complain("a closing parenthesis is missing");
    } else {
      parsed = parse_primitive();
    }
    --depth_;
    return parsed;
  }

  Status parse_primitive() {
    for (const ProtocolWord& protocol : kProtocols) {
      if (take(protocol.word)) return add({.what = What::protocol, .low = protocol.number});
    }
    if (take("ip")) return add({.what = What::family, .low = 4});
    if (take("ip6")) return add({.what = What::family, .low = 6});
    if (take("proto")) return parse_number(What::protocol, 255, "a protocol number, 0 to 255, is expected");
    if (take("vlan")) return parse_number(What::vlan, 4'095, "a VLAN, 0 to 4095, is expected");
    if (take("interface")) return parse_interface();
    const Side side = take("src") ? Side::source : take("dst") ? Side::destination : Side::either;
    if (take("host")) return parse_host(side);
    if (take("net")) return parse_net(side);
    if (take("port")) return parse_port(side);
    if (take("class")) return parse_class(side);
    for (const OwnerWord& owner : kOwnerWords) {
      if (take(owner.word)) return parse_owner(owner, side);
    }
    return complain(side == Side::either
                        ? "not a word of a filter; see rheoctl(1)"
                        : "host, net, port, class, unit, user, uid, process, pid or container is expected");
  }

  Status add(Step step) {
    steps_.push_back(std::move(step));
    return Done{};
  }

  Status parse_number(What what, std::uint32_t most, const char* expected) {
    const auto value = number(word(), most);
    if (!value) return complain(expected);
    ++at_;
    return add({.what = what, .low = *value});
  }

  Status parse_interface() {
    for (const auto& [index, link] : links_) {
      if (take(full_name(link))) return add({.what = What::link, .low = index});
    }
    return complain("no such interface");
  }

  Status parse_host(Side side) {
    const auto address = parse_address(word());
    if (!address) return complain("an address is expected");
    ++at_;
    return add({.what = What::net, .side = side, .low = 128, .address = address->first});
  }

  Status parse_net(Side side) {
    const std::size_t slash = word().find('/');
    const auto address = parse_address(word().substr(0, slash));
    if (!address || slash == std::string_view::npos) return complain("a net such as 10.0.0.0/8 is expected");
    const auto bits = number(word().substr(slash + 1), 128 - address->second);
    if (!bits) return complain("too many bits behind the slash");
    ++at_;
    return add({.what = What::net, .side = side, .low = address->second + *bits, .address = address->first});
  }

  Status parse_port(Side side) {
    const std::size_t dash = word().find('-');
    const auto low = number(word().substr(0, dash), 65'535);
    const auto high = dash == std::string_view::npos ? low : number(word().substr(dash + 1), 65'535);
    if (!low || !high || *low > *high) return complain("a port such as 443 or 8000-8099 is expected");
    ++at_;
    return add({.what = What::port, .side = side, .low = *low, .high = *high});
  }

  Status parse_class(Side side) {
    if (sources_.classes == nullptr)
      return complain("classes are known to rheod alone; rheoctl flows list asks it");
    const auto number = sources_.classes->number_of(word());
    if (!number) return complain("no such class");
    ++at_;
    return add({.what = What::place, .side = side, .low = *number});
  }

  Status parse_owner(const OwnerWord& owner, Side side) {
    if (sources_.owners == nullptr)
      return complain("owners of sockets are known to rheod alone, where datapath.owners is true");
    Step step{.what = owner.what, .side = side};
    if (owner.what == What::uid || owner.what == What::pid) {
      const auto value = number(word(), UINT32_MAX);
      if (!value || (owner.what == What::pid && *value == 0)) return complain(owner.expected);
      step.low = *value;
    } else {
      if (word().empty() || word()[0] == '"' || word() == "(" || word() == ")")
        return complain(owner.expected);
      step.name = word();
      if (owner.what == What::unit && step.name.find('.') == std::string::npos) step.name += ".service";
    }
    ++at_;
    return add(std::move(step));
  }

  const std::vector<std::string_view> words_;
  const LinkTable& links_;
  const FilterSources& sources_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::vector<Step> steps_;
};

/// Whether the condition holds on the side, or on one of both.
template <class Condition>
bool on_side(Side side, Condition condition) {
  return (side != Side::destination && condition(true)) || (side != Side::source && condition(false));
}

bool owner_holds(const Step& step, const Owner& owner) {
  switch (step.what) {
    case What::unit:
      return owner.unit == step.name || owner.user_unit == step.name;
    case What::user:
      return owner.user == step.name;
    case What::uid:
      return owner.uid == step.low;
    case What::process: {
      const std::string_view path = owner.executable;
      return owner.name == step.name || path == step.name || path.substr(path.rfind('/') + 1) == step.name;
    }
    case What::pid:
      return owner.pid == step.low;
    default:
      return owner.container_id.starts_with(step.name) || owner.container_name == step.name;
  }
}

bool holds(const Step& step, const FlowRecord& record, const FilterSources& sources) {
  switch (step.what) {
    case What::protocol:
      return record.protocol == step.low;
    case What::family:
      return record.ipv6 == (step.low == 6);
    case What::vlan:
      return record.vlan == step.low;
    case What::link:
      return record.link == step.low;
    case What::net:
      return on_side(step.side, [&](bool source) {
        return in_net(source ? record.source : record.destination, step.address, step.low);
      });
    case What::port:
      return has_ports(record.protocol) && on_side(step.side, [&](bool source) {
               const unsigned port = host_order(source ? record.source_port_be : record.destination_port_be);
               return port >= step.low && port <= step.high;
             });
    case What::place:
      return on_side(step.side, [&](bool source) {
        return sources.classes->find(source ? record.source : record.destination) == step.low;
      });
    default:  // of an owner
      return on_side(step.side, [&](bool source) {
        const auto owner = sources.owners->find(source ? record.source_owner : record.destination_owner);
        return owner != nullptr && owner_holds(step, *owner);
      });
  }
}

}  // namespace

Result<FlowFilter> FlowFilter::parse(std::string_view text, const LinkTable& links, FilterSources sources) {
  if (text.size() > kMaxBytes)
    return failure("filter: " + std::to_string(text.size()) + " bytes, the most is " +
                   std::to_string(kMaxBytes));
  auto steps = Parser(text, links, sources).parse();
  if (!steps) return forward(std::move(steps));
  return FlowFilter(*std::move(steps), std::move(sources));
}

bool FlowFilter::matches(const FlowRecord& record) const {
  if (steps_.empty()) return true;
  std::array<bool, kMostTruths> truths{};
  std::size_t count = 0;
  for (const Step& step : steps_) {
    if (step.what == What::negate) {
      truths[count - 1] = !truths[count - 1];
    } else if (step.what == What::all_of || step.what == What::any_of) {
      const bool right = truths[--count];
      bool& left = truths[count - 1];
      left = step.what == What::all_of ? left && right : left || right;
    } else {
      RHEO_ASSERT(count < kMostTruths);
      truths[count++] = holds(step, record, sources_);
    }
  }
  return truths[0];
}

}  // namespace rheo
