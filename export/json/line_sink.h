// SPDX-License-Identifier: Apache-2.0
// LineSink: where JSON lines go. One owner, its lane's thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "daemon/base/result.h"
#include "daemon/model/flow_batch.h"

namespace rheo {

/// A batch as text: line i is the record at first_position + i and ends before ends[i], newline included.
struct Lines {
  std::string_view text;
  std::span<const std::size_t> ends;
  std::uint64_t first_position = 0;

  std::size_t begin(std::size_t line) const { return line == 0 ? 0 : ends[line - 1]; }

  /// The first line at `position` or later.
  std::size_t line_from(std::uint64_t position) const {
    return position <= first_position ? 0 : std::min<std::size_t>(position - first_position, ends.size());
  }
};

class LineSink {
 public:
  virtual ~LineSink() = default;
  virtual Status resume(const FileMark& mark) {
    static_cast<void>(mark);
    return Done{};
  }
  /// Opens what is closed; with `again` also what is open, since its name may mean another file now.
  virtual Status open(bool again) = 0;
  virtual Status write(const Lines& lines) = 0;
  virtual FileMark mark() const { return {}; }
};

/// A regular file: a batch is in it whole or not at all, and it can be cut back.
std::unique_ptr<LineSink> make_file_sink(std::string path);

/// A pipe, FIFO, socket, terminal or device; "-" is standard output, of whatever kind that is. A write ends
/// after `timeout`, with an error where the reader has not taken everything.
std::unique_ptr<LineSink> make_stream_sink(std::string path, std::chrono::milliseconds timeout);

/// The journal, at its native socket: one entry a line, SYSLOG_IDENTIFIER=rheo-flow.
std::unique_ptr<LineSink> make_journal_sink(std::string socket_path, std::chrono::milliseconds timeout);

}  // namespace rheo
