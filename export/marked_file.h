// SPDX-License-Identifier: Apache-2.0
// MarkedFile: a regular file that is only appended to, and cut back to where what it holds is known to be
// whole. One owner, its lane's thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/model/flow_batch.h"

namespace rheo {

class MarkedFile {
 public:
  explicit MarkedFile(std::string path);

  /// Cuts off what is behind the mark, if the path still means the marked file.
  Status resume(const FileMark& mark);

  /// Before each batch. Opens what is closed; with `again` also what is open, since the path may mean another
  /// file now. A batch begins where this finds the end.
  Status open(bool again);

  bool is_open() const { return static_cast<bool>(file_); }

  /// All bytes, or none of the batch: after a failure the file ends where the batch began.
  Status append(std::span<const std::byte> bytes);

  /// Takes back what was appended since open(); where that fails now, the next open() tries again.
  void take_back();

  /// The end of what was appended.
  FileMark mark() const { return mark_; }

  const std::string& path() const { return path_; }

 private:
  Status look_at_end();

  std::string path_;
  UniqueFd file_;
  FileMark mark_;
  std::uint64_t batch_offset_ = 0;  // where the batch began
  bool torn_ = false;               // a part of a batch could not be cut off
};

}  // namespace rheo
