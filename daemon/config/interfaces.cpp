// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/interfaces.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <regex.h>

#include <algorithm>
#include <array>
#include <set>

#include "daemon/base/utf8.h"
#include "daemon/config/toml_tree.h"

namespace rheo {
namespace {

constexpr std::string_view kKindPrefix = "kind:";

bool any_matches(const std::vector<InterfacePattern>& patterns, const Link& link) {
  return std::ranges::any_of(patterns, [&](const auto& pattern) { return pattern.matches(link); });
}

Result<std::vector<InterfacePattern>> parse_all(const std::vector<std::string>& texts) {
  std::vector<InterfacePattern> patterns;
  for (const std::string& text : texts) {
    auto pattern = InterfacePattern::parse(text);
    if (!pattern) return forward(std::move(pattern));
    patterns.push_back(*std::move(pattern));
  }
  return patterns;
}

/// Every packet of these passes their lower link, too.
bool rides_on_lower(const Link& link) {
  constexpr std::array<std::string_view, 5> kKinds = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"};
  return std::ranges::find(kKinds, link.kind) != kKinds.end();
}

/// Follows masters and lower links from each link to the first that is metered.
class Coverage {
 public:
  Coverage(const LinkTable& links, const std::set<std::uint32_t>& candidates,
           const std::set<std::uint32_t>& by_name)
      : links_(links), candidates_(candidates), by_name_(by_name) {}

  bool metered(std::uint32_t index) { return look(index, kDeepest).metered; }

 private:
  /// More than the kernel lets devices be stacked (MAX_NEST_DEV, 8); a table caught in the middle of a change
  /// may have a circle.
  static constexpr int kDeepest = 16;

  struct Seen {
    bool metered = false;
    bool elsewhere = false;  // its packets pass a link that is metered
  };

  Seen look(std::uint32_t index, int deepest) {
    if (const auto known = seen_.find(index); known != seen_.end()) return known->second;
    const auto link = links_.find(index);
    if (link == links_.end() || deepest == 0) return {};
    Seen seen;
    seen.elsewhere = covers(link->second.master, deepest) ||
                     (rides_on_lower(link->second) && covers(link->second.lower, deepest));
    seen.metered = by_name_.contains(index) || (candidates_.contains(index) && !seen.elsewhere);
    seen_[index] = seen;
    return seen;
  }

  bool covers(std::uint32_t index, int deepest) {
    const auto link = links_.find(index);
    // A VRF passes what its members receive on without a hook of its own.
    if (index == 0 || link == links_.end() || link->second.kind == "vrf") return false;
    const Seen seen = look(index, deepest - 1);
    return seen.metered || seen.elsewhere;
  }

  const LinkTable& links_;
  const std::set<std::uint32_t>& candidates_;
  const std::set<std::uint32_t>& by_name_;
  std::map<std::uint32_t, Seen> seen_;
};

Status can_be_named(const Link& link) {
  const auto pattern = InterfacePattern::parse(link.name);
  if (pattern && pattern->is_name() && valid_utf8(link.name) == link.name) return Done{};
  return failure(fmt::format("interface {}: its name cannot be in the settings, where it is a pattern",
                             printable(link.name)));
}

}  // namespace

struct InterfacePattern::Regex {
  regex_t compiled{};
  Regex() = default;
  ~Regex() { ::regfree(&compiled); }
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;
};

Result<InterfacePattern> InterfacePattern::parse(const std::string& text) {
  InterfacePattern pattern;
  pattern.text_ = text;
  if (text.size() > 2 && text.front() == '/' && text.back() == '/') {
    pattern.form_ = Form::regex;
    auto regex = std::make_unique<Regex>();
    // Small counts in each other make a program that fills the memory.
    if (text.find('{') != std::string::npos)
      return failure(
          fmt::format("\"{}\" has a count in braces, which is not possible here", printable(text)));
    const std::string expression = text.substr(1, text.size() - 2);
    if (const int code = ::regcomp(&regex->compiled, expression.c_str(), REG_EXTENDED | REG_NOSUB);
        code != 0) {
      char why[128] = "";
      ::regerror(code, &regex->compiled, why, sizeof why);
      regex->compiled = {};
      return failure(fmt::format("\"{}\" is not a regular expression ({})", printable(text), why));
    }
    pattern.regex_ = std::move(regex);
  } else if (text.starts_with(kKindPrefix)) {
    pattern.form_ = Form::kind;
    pattern.word_ = text.substr(kKindPrefix.size());
    if (pattern.word_.empty() ||
        pattern.word_.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos)
      return failure(fmt::format("\"{}\" is not a kind of interface, such as kind:veth", printable(text)));
  } else if (text.find_first_of("*?[\\") != std::string::npos) {
    pattern.form_ = Form::glob;
  }
  return pattern;
}

bool InterfacePattern::matches(const Link& link) const {
  switch (form_) {
    case Form::name:
      return link.name == text_;
    case Form::glob:
      return ::fnmatch(text_.c_str(), link.name.c_str(), 0) == 0;
    case Form::regex:
      return ::regexec(&regex_->compiled, link.name.c_str(), 0, nullptr, 0) == 0;
    case Form::kind:
      break;
  }
  return link_kind(link) == word_;
}

Result<InterfaceChooser> InterfaceChooser::make(const InterfacesConfig& config) {
  InterfaceChooser chooser;
  auto include = parse_all(config.include);
  if (!include) return forward(std::move(include), "interfaces.include");
  auto exclude = parse_all(config.exclude);
  if (!exclude) return forward(std::move(exclude), "interfaces.exclude");
  chooser.include_ = *std::move(include);
  chooser.exclude_ = *std::move(exclude);
  for (const auto& [text, direction] : config.direction) {
    auto pattern = InterfacePattern::parse(text);
    if (!pattern) return forward(std::move(pattern), "interfaces.direction");
    chooser.directions_.push_back({*std::move(pattern), direction});
  }
  std::ranges::stable_sort(chooser.directions_, std::greater(),
                           [](const DirectionRule& rule) { return rule.pattern.text().size(); });
  return chooser;
}

bool InterfaceChooser::included_by_name(const Link& link) const {
  return std::ranges::any_of(include_,
                             [&](const auto& pattern) { return pattern.is_name() && pattern.matches(link); });
}

bool InterfaceChooser::may_be_metered(const Link& link) const {
  if (link.layer == LinkLayer::unsupported || any_matches(exclude_, link)) return false;
  if (included_by_name(link)) return true;
  const bool only_if_asked_for = link.loopback || link.kind == "vrf";
  return link.up && std::ranges::any_of(include_, [&](const auto& pattern) {
           return pattern.matches(link) && (pattern.is_kind() || !only_if_asked_for);
         });
}

InterfaceChooser::Wanted InterfaceChooser::configured_directions(const Link& link) const {
  Wanted wanted;
  for (const DirectionRule& rule : directions_) {
    if (!rule.pattern.matches(link)) continue;
    wanted = {.ingress = rule.direction != DirectionChoice::egress,
              .egress = rule.direction != DirectionChoice::ingress};
    break;
  }
  if (link.loopback) wanted.ingress = false;
  return wanted;
}

InterfaceChooser::Wanted InterfaceChooser::directions_of(const Link& link) const {
  const Wanted wanted = configured_directions(link);
  return wanted.ingress || wanted.egress ? wanted : Wanted{.ingress = false, .egress = true};
}

std::map<std::uint32_t, InterfaceChooser::Wanted> InterfaceChooser::choose(const LinkTable& links) const {
  std::set<std::uint32_t> candidates;
  std::set<std::uint32_t> by_name;
  for (const auto& [index, link] : links) {
    if (!may_be_metered(link)) continue;
    candidates.insert(index);
    if (included_by_name(link)) by_name.insert(index);
  }
  Coverage coverage(links, candidates, by_name);
  std::map<std::uint32_t, Wanted> chosen;
  for (const std::uint32_t index : candidates) {
    const Wanted wanted = configured_directions(links.at(index));
    if ((wanted.ingress || wanted.egress) && coverage.metered(index)) chosen.emplace(index, wanted);
  }
  return chosen;
}

std::vector<std::string> InterfaceChooser::complaints(const LinkTable& links) const {
  std::vector<std::string> said;
  for (const InterfacePattern& pattern : include_) {
    if (!pattern.is_name()) continue;
    const auto found =
        std::ranges::find_if(links, [&](const auto& entry) { return pattern.matches(entry.second); });
    if (found == links.end())
      said.push_back(
          fmt::format("interface {}: there is none now, it is metered when it appears", pattern.text()));
    else if (found->second.layer == LinkLayer::unsupported)
      said.push_back(
          fmt::format("interface {}: links of hardware type {} cannot be metered, continuing without it",
                      pattern.text(), found->second.hardware_type));
  }
  return said;
}

Result<InterfacesConfig> including(InterfacesConfig config, const Link& link) {
  if (const Status named = can_be_named(link); !named) return std::unexpected(named.error());
  std::erase(config.exclude, link.name);
  for (const std::string& text : config.exclude) {
    const auto pattern = InterfacePattern::parse(text);
    if (pattern && pattern->matches(link))
      return failure(fmt::format("interface {}: \"{}\" of exclude matches it, and exclude wins; change that",
                                 link.name, text));
  }
  if (std::ranges::find(config.include, link.name) == config.include.end())
    config.include.push_back(link.name);
  return config;
}

Result<InterfacesConfig> excluding(InterfacesConfig config, const Link& link) {
  if (const Status named = can_be_named(link); !named) return std::unexpected(named.error());
  if (std::ranges::find(config.exclude, link.name) == config.exclude.end())
    config.exclude.push_back(link.name);
  return config;
}

}  // namespace rheo
