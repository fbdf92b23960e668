// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "daemon/base/utf8.h"

namespace rheo::ctl {
namespace {

/// Of UTF-8 text: the columns it takes, each code point taken for one.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string time_text(std::uint64_t ns) {
  const auto seconds = static_cast<std::time_t>(ns / 1'000'000'000);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char text[40];
  const std::size_t size = std::strftime(text, sizeof text, "%F %T", &local);
  return {text, size};
}

std::string cell_text(const Cell& cell) {
  switch (cell.kind) {
    case CellKind::number:
      return std::to_string(cell.number);
    case CellKind::bytes:
      return bytes_text(cell.number);
    case CellKind::time:
      return time_text(cell.number);
    case CellKind::text:
      break;
  }
  return cell.text.empty() ? "-" : without_controls(cell.text);
}

bool to_the_right(const Cell& cell) { return cell.kind == CellKind::number || cell.kind == CellKind::bytes; }

std::string padded(const std::string& text, std::size_t width, bool right) {
  const std::string space(width - std::min(width, width_of(text)), ' ');
  return right ? space + text : text + space;
}

}  // namespace

Cell text_cell(std::string_view text) { return {.kind = CellKind::text, .text = std::string(text)}; }
Cell state_cell(std::string_view text, bool alarm) {
  return {.kind = CellKind::text, .text = std::string(text), .number = 0, .alarm = alarm};
}
Cell number_cell(std::uint64_t number) { return {.kind = CellKind::number, .text = {}, .number = number}; }
Cell bytes_cell(std::uint64_t bytes) { return {.kind = CellKind::bytes, .text = {}, .number = bytes}; }
Cell time_cell(std::uint64_t ns) { return {.kind = CellKind::time, .text = {}, .number = ns}; }

std::string print_table(const Table& table, const TableStyle& style) {
  std::vector<std::size_t> widths;
  std::vector<bool> right;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    std::size_t width = style.legend ? width_of(table.columns[i].title) : 0;
    for (const auto& row : table.rows) width = std::max(width, width_of(cell_text(row[i])));
    widths.push_back(width);
    right.push_back(!table.rows.empty() && to_the_right(table.rows[0][i]));
  }
  std::string printed;
  const auto print_line = [&](const auto& text_of, const auto& attributes_of) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i)
      line += (i == 0 ? "" : "  ") + attributes_of(i, padded(text_of(i), widths[i], right[i]));
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  };
  const auto plain = [](std::size_t /*column*/, const std::string& text) { return text; };
  if (style.legend) {
    const std::string titles = print_line([&](std::size_t i) { return table.columns[i].title; }, plain);
    printed += style.attributes ? "\x1b[1m" + titles + "\x1b[0m\n" : titles + "\n";
  }
  for (const auto& row : table.rows)
    printed += print_line([&](std::size_t i) { return cell_text(row[i]); },
                          [&](std::size_t i, const std::string& text) {
                            return style.attributes && row[i].alarm ? "\x1b[31m" + text + "\x1b[0m" : text;
                          }) +
               "\n";
  return printed;
}

std::string print_properties(const Table& table) {
  std::size_t width = 0;
  for (const Column& column : table.columns) width = std::max(width, width_of(column.title));
  std::string printed;
  for (std::size_t i = 0; i < table.columns.size(); ++i)
    printed += padded(table.columns[i].title, width, true) + ": " + cell_text(table.rows.at(0).at(i)) + "\n";
  return printed;
}

std::string print_json_object(const Table& table, std::size_t row) {
  std::string printed = "{";
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const Cell& cell = table.rows.at(row).at(i);
    printed += (i == 0 ? "" : ",") + json_text(table.columns[i].key) + ":";
    printed += cell.kind == CellKind::text ? json_text(cell.text) : std::to_string(cell.number);
  }
  return printed + "}";
}

std::string print_json(const Table& table) {
  std::string printed = "[";
  for (std::size_t row = 0; row < table.rows.size(); ++row)
    printed += (row == 0 ? "\n" : ",\n") + print_json_object(table, row);
  return printed + (table.rows.empty() ? "]\n" : "\n]\n");
}

std::string json_text(std::string_view text) {
  std::string printed = "\"";
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"' || c == '\\') {
      printed += '\\';
      printed += c;
    } else if (is_control(text, at)) {
      // Of a C1 control the second byte is the code point.
      if (static_cast<unsigned char>(c) == 0xc2) ++at;
      printed += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(text[at])));
    } else {
      printed += c;
    }
  }
  return printed + "\"";
}

std::string cut_text(std::string_view text, std::size_t columns) {
  std::size_t end = 0;
  const auto is_inside = [&] { return (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U; };
  for (std::size_t taken = 0; end < text.size() && (taken < columns || is_inside()); ++end) {
    if (!is_inside()) ++taken;
  }
  return std::string(text.substr(0, end));
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1'000) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < std::size(kUnits); ++unit) value /= 1'000;
  return value < 9.95 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                      : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

}  // namespace rheo::ctl
