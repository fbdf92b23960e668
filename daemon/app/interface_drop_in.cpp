// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/interface_drop_in.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "daemon/config/drop_in.h"

namespace rheo {
namespace {

std::string toml_list(std::string_view key, const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ", ";
    text += toml_string(word);
  }
  return fmt::format("{} = [{}]\n", key, text);
}

}  // namespace

Status write_interfaces(const std::string& config_path, const InterfacesConfig& config) {
  return write_drop_in(config_path, {.name = "interfaces",
                                     .settings = "[interfaces]\n" + toml_list("include", config.include) +
                                                 toml_list("exclude", config.exclude)});
}

}  // namespace rheo
