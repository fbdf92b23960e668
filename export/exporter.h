// SPDX-License-Identifier: Apache-2.0
// Exporter: turns flow records into one wire format and sends them.
//
// An exporter runs on its lane's thread only, so it may block and needs no locks; every blocking call
// of it has a deadline. It owns its connection or file: a lost one is reopened on the next write.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/model/flow_batch.h"

namespace rheo {

class Exporter {
 public:
  virtual ~Exporter() = default;

  /// Once, before the first write: where the acknowledged bytes of an earlier process end
  /// (a file exporter cuts its file back to there). Not called for an exporter without a file.
  virtual Status resume(const FileMark& mark) {
    static_cast<void>(mark);
    return Done{};
  }

  /// Before every write: opens what is closed, and changes nothing else. A mark() that differs afterwards is
  /// stored by the lane before it writes, so that also the first batch in a new file can be cut back.
  virtual Status open() { return Done{}; }

  /// Before open(), write() and idle(): what this lane has lost so far, for formats that tell of it.
  virtual void note_losses(const RecordLosses& lost) { static_cast<void>(lost); }

  /// Sends the batch. On failure nothing of it counts as sent: the lane offers it again later, or, when the
  /// error is std::errc::bad_message (the far side will never take it), gives it up and counts it as lost.
  virtual Status write(const FlowBatch& batch) = 0;

  /// After write() of an exporter that sends a batch in parts: those that need not be offered again, in
  /// order, whatever write() returned. Of any other, by what it returned, all of the batch or nothing of it.
  virtual std::optional<std::vector<SettledPart>> take_settled() { return std::nullopt; }

  /// About once a second while no record comes: whatever is due by time. After a failure it is called again
  /// when the lane has waited.
  virtual Status idle() { return Done{}; }

  /// When all is to end (CLOCK_MONOTONIC). A write under way then may take one more of its deadlines, so that
  /// it need not be repeated where the far side is only busy. Any thread.
  virtual void end_by(std::uint64_t deadline_ns) { static_cast<void>(deadline_ns); }

  /// After a failed write: how long the far side wants to be left alone; 0: it did not say.
  virtual std::chrono::nanoseconds retry_after() const { return std::chrono::nanoseconds(0); }

  /// After write() and idle(): what the far side said that somebody should read, once for each cause; "" for
  /// nothing.
  virtual std::string take_notice() { return {}; }

  /// Before all else: where to count records that write() took, kept for later, and then lost.
  using LossCounter = std::function<void(const RecordLosses& lost)>;
  virtual void count_late_losses(const LossCounter& counter) { static_cast<void>(counter); }

  /// Records that write() took and kept for later. Any thread.
  virtual std::uint64_t records_spooled() const { return 0; }

  /// Records of successful writes that the far side said it did not keep. Any thread.
  virtual std::uint64_t records_rejected() const { return 0; }

  /// Where what was written ends; stored with the lane's acknowledgement.
  virtual FileMark mark() const { return {}; }

  /// Somebody rotated the log: close and open again before the next write. Any thread.
  virtual void request_reopen() {}
};

}  // namespace rheo
