// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/toml_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

// Compiled in here rather than linked, without exceptions: the packaged library throws, and inline functions
// of the two must not meet.
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 1
#define TOML_MAX_NESTED_VALUES 8
// Its assertion of what follows a "[" fails on bad input ("[@]"), for which the code behind it has a proper
// error. With NDEBUG it would be worse than an abort: an assumption that the optimizer builds on.
#undef NDEBUG
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>

namespace rheo {
namespace {

constexpr int kMaxDotsInLine = 128;
constexpr std::size_t kMaxShown = 64;
// Tables within tables that are looked at: export.json.NAME.key, and some for a good complaint.
constexpr int kMaxDepth = 8;

int line_of(const toml::source_region& source) { return static_cast<int>(source.begin.line); }

TomlValue convert(const toml::node& node, int depth);

TomlTable convert_table(const toml::table& table, int depth) {
  TomlTable entries;
  if (depth >= kMaxDepth) return entries;

  for (const auto& [key, node] : table) {
    const int line = line_of(key.source());
    entries.push_back({.key = std::string(key.str()),
                       .line = line > 0 ? line : line_of(node.source()),
                       .value = convert(node, depth + 1)});
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const TomlEntry& a, const TomlEntry& b) { return a.line < b.line; });
  return entries;
}

TomlArray convert_array(const toml::array& array, int depth) {
  TomlArray values;
  if (depth >= kMaxDepth) return values;

  values.reserve(array.size());
  for (const toml::node& node : array) values.push_back(convert(node, depth + 1));
  return values;
}

TomlValue convert(const toml::node& node, int depth) {
  if (const auto* value = node.as_boolean()) return {value->get()};
  if (const auto* value = node.as_integer()) return {value->get()};
  if (const auto* value = node.as_floating_point()) return {value->get()};
  if (const auto* value = node.as_string()) return {value->get()};
  if (const auto* value = node.as_array()) return {convert_array(*value, depth)};
  if (const auto* value = node.as_table()) return {convert_table(*value, depth)};

  std::ostringstream text;
  if (const auto* value = node.as_date()) text << value->get();
  if (const auto* value = node.as_time()) text << value->get();
  if (const auto* value = node.as_date_time()) text << value->get();
  return {TomlMoment{text.str()}};
}

// toml++ frees tables by recursion, and a dotted key makes a table for every dot.
std::expected<void, TomlMistake> check_dots(std::string_view text) {
  int line = 1;
  int dots = 0;
  for (const char c : text) {
    if (c == '\n') {
      ++line;
      dots = 0;
    } else if (c == '.' && ++dots > kMaxDotsInLine) {
      return std::unexpected(TomlMistake{
          line, fmt::format("more than {} dots in one line; write it in several", kMaxDotsInLine)});
    }
  }
  return {};
}

}  // namespace

std::expected<TomlTable, TomlMistake> parse_toml(std::string_view text) {
  if (auto checked = check_dots(text); !checked) return std::unexpected(std::move(checked).error());

  const toml::parse_result result = toml::parse(text);
  if (!result) {
    const toml::parse_error& error = result.error();
    return std::unexpected(
        TomlMistake{line_of(error.source()), fmt::format("not TOML: {}", std::string(error.description()))});
  }
  return convert_table(result.table(), 0);
}

std::string printable(std::string_view text) {
  const bool cut = text.size() > kMaxShown;
  std::string shown(text.substr(0, kMaxShown));
  for (char& c : shown)
    if (c < 0x20 || c > 0x7e) c = '?';
  return cut ? shown + "..." : shown;
}

std::string TomlValue::text() const {
  struct Show {
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(std::int64_t value) const { return fmt::to_string(value); }
    std::string operator()(double value) const { return fmt::to_string(value); }
    std::string operator()(const std::string& value) const { return '"' + printable(value) + '"'; }
    std::string operator()(const TomlMoment& value) const { return value.text; }
    std::string operator()(const TomlArray&) const { return "[...]"; }
    std::string operator()(const TomlTable&) const { return "{...}"; }
  };
  return std::visit(Show{}, value);
}

}  // namespace rheo
