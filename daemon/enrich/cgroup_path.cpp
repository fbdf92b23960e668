// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/cgroup_path.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

namespace rheo {
namespace {

constexpr std::size_t kContainerDigits = 64;

std::vector<std::string_view> names_of(std::string_view path) {
  std::vector<std::string_view> names;
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), name.size() + 1));
    // systemd puts "_" before names that the kernel could take for its own.
    if (!name.empty()) names.push_back(name.starts_with('_') ? name.substr(1) : name);
  }
  return names;
}

bool is_slice(std::string_view name) { return name.ends_with(".slice"); }
bool is_unit(std::string_view name) {
  constexpr std::array<std::string_view, 6> kinds = {".service", ".scope", ".socket",
                                                     ".mount",   ".swap",  ".timer"};
  return std::ranges::any_of(
      kinds, [&](std::string_view kind) { return name.size() > kind.size() && name.ends_with(kind); });
}

/// What stands between; nothing where the name is another.
std::optional<std::string_view> between(std::string_view name, std::string_view before,
                                        std::string_view after) {
  if (name.size() <= before.size() + after.size() || !name.starts_with(before) || !name.ends_with(after))
    return std::nullopt;
  return name.substr(before.size(), name.size() - before.size() - after.size());
}

bool is_container_id(std::string_view text) {
  return text.size() == kContainerDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// "a\x2db" is "a-b" (systemd-escape).
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 3 < text.size() && text[i + 1] == 'x' &&
                         hex_digit(text[i + 2]) >= 0 && hex_digit(text[i + 3]) >= 0;
    if (escaped) {
      plain.push_back(static_cast<char>(hex_digit(text[i + 2]) * 16 + hex_digit(text[i + 3])));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

struct ScopeName {
  std::string_view before;
  std::string_view runtime;
};
constexpr std::array kScopes = {ScopeName{"docker-", "docker"}, ScopeName{"libpod-", "podman"},
                                ScopeName{"cri-containerd-", "containerd"},
                                ScopeName{"nerdctl-", "containerd"}, ScopeName{"crio-", "cri-o"}};

void read_container(CgroupMeaning& meaning, std::string_view name, std::string_view parent) {
  for (const ScopeName& scope : kScopes) {
    const auto with_systemd = between(name, scope.before, ".scope");
    const auto without = between(name, scope.before, "");
    const std::string_view id = with_systemd.value_or(without.value_or(""));
    if (!is_container_id(id)) continue;
    meaning.container_id = id;
    meaning.container_runtime = scope.runtime;
    return;
  }
  if (is_container_id(name)) {
    meaning.container_id = name;
    meaning.container_runtime = parent == "docker" ? "docker" : "";
  } else if (const auto lxc = between(name, "lxc.payload.", ""); lxc || (parent == "lxc" && !name.empty())) {
    meaning.container_id = lxc.value_or(name);
    meaning.container_runtime = "lxc";
  } else if (const auto machine = between(name, "machine-", ".scope");
             machine && !machine->starts_with("qemu") && !machine->starts_with("lxc")) {
    meaning.container_id = unescape(*machine);
    meaning.container_runtime = "systemd-nspawn";
  } else if (const auto nspawn = between(name, "systemd-nspawn@", ".service")) {
    meaning.container_id = unescape(*nspawn);
    meaning.container_runtime = "systemd-nspawn";
  }
}

}  // namespace

CgroupMeaning read_cgroup_path(std::string_view path) {
  CgroupMeaning meaning;
  const std::vector<std::string_view> names = names_of(path);
  auto name = names.begin();
  for (; name != names.end() && is_slice(*name); ++name) meaning.slice = *name;
  if (name != names.end() && is_unit(*name)) {
    meaning.unit = *name;
    if (meaning.slice.empty()) meaning.slice = "-.slice";
    if (const auto session = between(*name, "session-", ".scope")) meaning.session = *session;
    const bool user_manager = between(*name, "user@", ".service").has_value();
    const auto inner =
        std::find_if(name + 1, names.end(), [](std::string_view one) { return !is_slice(one); });
    if (user_manager && inner != names.end() && is_unit(*inner)) meaning.user_unit = *inner;
  }
  std::string_view parent;
  for (const std::string_view one : names) read_container(meaning, one, std::exchange(parent, one));
  return meaning;
}

}  // namespace rheo
