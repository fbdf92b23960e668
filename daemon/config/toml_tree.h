// SPDX-License-Identifier: Apache-2.0
// TOML text as a tree of plain values that know their lines: what the rest of daemon/config sees of TOML.
// Pure, any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rheo {

struct TomlEntry;
struct TomlValue;
using TomlTable = std::vector<TomlEntry>;
using TomlArray = std::vector<TomlValue>;

/// A date or time: TOML has them, no setting of ours does.
struct TomlMoment {
  std::string text;
};

struct TomlValue {
  std::variant<bool, std::int64_t, double, std::string, TomlMoment, TomlArray, TomlTable> value;

  /// As a complaint shows it: short and printable whatever the file contains.
  std::string text() const;
};

struct TomlEntry {
  std::string key;
  int line = 0;  // of the key, from 1
  TomlValue value;
};

struct TomlMistake {
  int line = 0;  // 0: unknown
  std::string text;
};

/// Reads TOML 1.0. Refuses text that no settings need and that could exhaust the stack: values nested more
/// than 8 deep, lines with more than 128 dots.
std::expected<TomlTable, TomlMistake> parse_toml(std::string_view text);

/// The text with what is not printable ASCII shown as '?', at most 64 characters of it.
std::string printable(std::string_view text);

}  // namespace rheo
