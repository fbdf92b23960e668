// SPDX-License-Identifier: Apache-2.0
// Which interfaces the [interfaces] settings mean. Pure, any thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/config/config.h"
#include "daemon/model/link.h"

namespace rheo {

/// One entry of include, exclude or direction: a shell glob of the whole name ("eth*"), a POSIX extended
/// regular expression without braces found in it ("/^eth[0-9]+$/"), or a kind ("kind:veth", see link_kind()).
class InterfacePattern {
 public:
  /// Fails on a regular expression that is none, or has braces, and on a kind of other characters than
  /// [a-z0-9_-].
  static Result<InterfacePattern> parse(const std::string& text);

  bool matches(const Link& link) const;

  /// A name without wildcards, which means one link, as opposed to whatever looks like it.
  bool is_name() const { return form_ == Form::name; }
  bool is_kind() const { return form_ == Form::kind; }
  const std::string& text() const { return text_; }  // as configured

 private:
  enum class Form : std::uint8_t { name, glob, regex, kind };
  struct Regex;  // in interfaces.cpp

  Form form_ = Form::name;
  std::string text_;
  std::string word_;  // of a kind
  std::shared_ptr<const Regex> regex_;
};

/// The settings by which the link is included, or excluded, whatever else they say. Fails where no entry
/// means this name alone, and where another entry of `exclude` matches the link, naming it.
Result<InterfacesConfig> including(InterfacesConfig config, const Link& link);
Result<InterfacesConfig> excluding(InterfacesConfig config, const Link& link);

/// Which links are metered, and in which directions. A function of the settings and of all links:
/// - what `include` matches, `exclude` does not, and is up; what is included by its name also while it is
/// down;
/// - loopback and VRF only by name or kind: packets on them are seen elsewhere, or twice;
/// - unless included by its name, no link whose packets are seen on another that is metered: enslaved links
///   whose master is, VLAN, macvlan and ipvlan whose lower link is, at any distance.
class InterfaceChooser {
 public:
  static Result<InterfaceChooser> make(const InterfacesConfig& config);

  struct Wanted {
    bool ingress = true;
    bool egress = true;  // loopback: egress alone, since each packet passes both hooks
    friend bool operator==(const Wanted&, const Wanted&) = default;
  };
  /// By ifindex. Without links of LinkLayer::unsupported.
  std::map<std::uint32_t, Wanted> choose(const LinkTable& links) const;

  /// Of a link that is metered, by the settings or otherwise: at least one.
  Wanted directions_of(const Link& link) const;

  /// What is included by name, and cannot be metered now: a sentence each.
  std::vector<std::string> complaints(const LinkTable& links) const;

 private:
  bool may_be_metered(const Link& link) const;
  bool included_by_name(const Link& link) const;
  Wanted configured_directions(const Link& link) const;

  struct DirectionRule {
    InterfacePattern pattern;
    DirectionChoice direction;
  };
  std::vector<InterfacePattern> include_;
  std::vector<InterfacePattern> exclude_;
  std::vector<DirectionRule> directions_;  // the longest pattern first
};

}  // namespace rheo
