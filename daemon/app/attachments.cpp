// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/attachments.h"

#include <algorithm>

#include "daemon/base/log.h"
#include "daemon/config/interfaces.h"

namespace rheo {
namespace {

bool is_pattern(const std::string& name) { return name.find_first_of("*?[") != std::string::npos; }

const Link* find_link(const LinkTable& links, const std::string& name) {
  const auto found = std::ranges::find(links, name, [](const auto& entry) { return entry.second.name; });
  return found == links.end() ? nullptr : &found->second;
}

bool named(const InterfacesConfig& config, const std::string& name) {
  return std::ranges::find(config.include, name) != config.include.end();
}

}  // namespace

Result<std::vector<LinkTarget>> choose_targets(const LinkTable& links, const InterfacesConfig& config) {
  for (const std::string& name : config.include) {
    if (!is_pattern(name) && find_link(links, name) == nullptr)
      return failure("interface " + name + ": no such interface", std::errc::no_such_device);
  }

  std::vector<LinkTarget> targets;
  for (const auto& [index, link] : links) {
    if (!interface_wanted(config, link.name)) continue;
    if (link.layer == LinkLayer::unsupported) {
      if (named(config, link.name))
        return failure("interface " + link.name + ": links of hardware type " +
                       std::to_string(link.hardware_type) + " cannot be metered");
      continue;
    }
    // By its name a link is metered also while it is down: it will come up.
    if (!link.up && !named(config, link.name)) continue;
    targets.push_back({.ifindex = index, .name = link.name, .layer = link.layer, .ingress = !link.loopback});
  }
  if (targets.empty())
    return failure("no interface that is up matches [interfaces]", std::errc::no_such_device);
  return targets;
}

Result<std::vector<std::string>> attach_all(Datapath& datapath, const std::vector<LinkTarget>& targets) {
  std::vector<std::string> names;
  std::string last_reason;
  for (const LinkTarget& target : targets) {
    auto attached = datapath.attach(target);
    if (attached) {
      names.push_back(target.name);
      continue;
    }
    last_reason = attached.error().what;
    if (attached.error().code == std::errc::operation_not_permitted) return forward(std::move(attached));
    log::write(log::Priority::error, last_reason + ", continuing without it",
               {{"RHEO_INTERFACE", target.name}});
  }
  if (names.empty())
    return failure(last_reason + "; no interface is left to meter", std::errc::no_such_device);
  return names;
}

}  // namespace rheo
