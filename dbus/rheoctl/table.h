// SPDX-License-Identifier: Apache-2.0
// Table: what rheoctl prints, for people or as JSON. Pure, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rheo::ctl {

enum class CellKind : std::uint8_t { text, number, bytes, time };

/// A value; numbers, octets and times (nanoseconds since 1970) are in `number`.
struct Cell {
  CellKind kind = CellKind::text;
  std::string text;
  std::uint64_t number = 0;
  bool alarm = false;  // somebody should look at it
};

Cell text_cell(std::string_view text);
Cell state_cell(std::string_view text, bool alarm);
Cell number_cell(std::uint64_t number);
Cell bytes_cell(std::uint64_t bytes);
Cell time_cell(std::uint64_t ns);

struct Column {
  std::string title;  // "RECORDS SENT"
  std::string key;    // "records_sent", of the JSON object
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
};

struct TableStyle {
  bool legend = true;       // the line of titles
  bool attributes = false;  // titles bold, what alarms red
};

/// Lines with a line feed each; numbers to the right, octets with units, times in local time.
std::string print_table(const Table& table, const TableStyle& style);

/// The first row as lines "Title: value".
std::string print_properties(const Table& table);

/// An array of one object for each row, or just the object.
std::string print_json(const Table& table);
std::string print_json_object(const Table& table, std::size_t row);

/// In quotes. Control characters are escaped, also those that JSON would allow but a terminal would obey.
std::string json_text(std::string_view text);

/// As much of the text as takes up to that many columns, each code point taken for one.
std::string cut_text(std::string_view text, std::size_t columns);

/// "999 B", "1.2 kB", "34 GB"
std::string bytes_text(std::uint64_t bytes);

}  // namespace rheo::ctl
