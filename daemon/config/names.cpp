// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/names.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/config/toml_tree.h"

namespace rheo {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

template <class Action>
void for_tables(const TomlTable& table, Action action) {
  for (const TomlEntry& entry : table) {
    if (const auto* const inner = std::get_if<TomlTable>(&entry.value.value)) action(entry.key, *inner);
  }
}

}  // namespace

bool is_exporter_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameLength && std::ranges::all_of(name, is_name_character);
}

bool is_class_name(std::string_view name) {
  const auto allowed = [](char c) { return is_name_character(c) || (c >= 'A' && c <= 'Z'); };
  return !name.empty() && name.size() <= kMaxNameLength && std::ranges::all_of(name, allowed);
}

std::set<std::string> exporters_of(std::span<const ConfigText> files) {
  std::set<std::string> names;
  if (std::ranges::none_of(files, &ConfigText::switches_only)) return names;
  for (const ConfigText& file : files) {
    if (file.switches_only || file.text.size() > kMaxConfigBytes) continue;
    const auto root = parse_toml(file.text);
    if (!root) continue;
    for_tables(*root, [&](const std::string& section, const TomlTable& formats) {
      if (section != "export") return;
      for_tables(formats, [&](const std::string& format, const TomlTable& exporters) {
        for (const TomlEntry& exporter : exporters)
          names.insert(fmt::format("export.{}.{}", format, exporter.key));
      });
    });
  }
  return names;
}

}  // namespace rheo
