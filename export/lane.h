// SPDX-License-Identifier: Apache-2.0
// Lane: one exporter, its thread, and its place in the outbox. A slow or failing exporter costs only its
// own lane: the records wait in the outbox, and the oldest are lost, counted, when the ring overtakes them.
//
// Built and destroyed by the main thread; run() is the lane's own thread, the only one that touches the
// exporter. The lane decides what happens after a failure, therefore it logs.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <stop_token>
#include <string>
#include <thread>

#include "daemon/model/counters.h"
#include "daemon/model/flow_batch.h"
#include "export/exporter.h"

namespace rheo {

struct LaneOptions {
  std::string name;  // in the log and the counters: "json.default"
  std::size_t max_batch_size = 1'024;
  std::size_t batches_at_once = 1;  // handed to the exporter as one, where so many wait
  std::chrono::nanoseconds max_batch_interval = std::chrono::seconds(1);  // since the batch's first record
  // After a failed write: the first wait, doubled up to the longest, each shortened at random by up to a
  // quarter so that many hosts do not return to a collector at the same moment.
  std::chrono::nanoseconds first_retry = std::chrono::seconds(1);
  std::chrono::nanoseconds longest_retry = std::chrono::seconds(60);
  std::chrono::nanoseconds loss_quiet = std::chrono::seconds(10);  // without a new loss: losing has ended
};

class Lane {
 public:
  /// Starts the thread. Its first act with a record is to resume the exporter at the cursor's file mark.
  Lane(std::unique_ptr<RecordCursor> cursor, std::unique_ptr<Exporter> exporter, LaneOptions options);

  /// Without a request_stop before, what is left stays in the outbox. Joins: waits for a write under way.
  ~Lane();

  /// The lane empties what is left and ends, at the latest at `deadline_ns` (CLOCK_MONOTONIC) plus one
  /// write under way. Does not wait. Any thread; a later call moves the deadline.
  void request_stop(std::uint64_t deadline_ns);

  /// True when the thread has nothing more to do after a stop. Any thread.
  bool finished() const { return finished_; }

  LaneCounters counters() const;  // any thread
  void reopen();                  // any thread: Exporter::request_reopen

  /// What waits is written now: no wait for a full batch, none after a failure. Does not wait. Any thread.
  void flush();

  /// The last write failed and is tried again. Any thread.
  bool failing() const { return failing_; }

 private:
  void run(const std::stop_token& stop);
  void deliver(FlowBatch& batch, const std::stop_token& stop);
  void idle(const std::stop_token& stop);
  void log_notice();
  Status prepare(std::uint64_t position);
  void wait_for_full_batch(const std::stop_token& stop);
  std::uint64_t settle(const FlowBatch& batch, const Status& written);
  void works_again();
  void given_up(std::uint64_t records, const Error& error);
  void failed(const Error& error, const std::stop_token& stop);
  void wait_until(std::uint64_t time_ns, const std::stop_token& stop);
  bool past_stop_deadline() const;
  void watch_losses();
  void end_losses();

  const LaneOptions options_;
  const std::unique_ptr<RecordCursor> cursor_;
  const std::unique_ptr<Exporter> exporter_;

  // The lane's thread only.
  FileMark mark_;  // as stored in the outbox
  bool resumed_ = false;
  std::chrono::nanoseconds retry_;  // the next wait
  RecordLosses losses_noticed_;     // the cursor's, at the last look
  RecordLosses losses_before_;      // when the present spell of losses began
  std::uint64_t last_loss_ns_ = 0;  // 0: not losing
  std::minstd_rand random_{std::random_device{}()};

  std::atomic<std::uint64_t> records_sent_ = 0;
  std::atomic<std::uint64_t> writes_failed_ = 0;
  std::atomic<std::uint64_t> stop_deadline_ns_ = 0;  // counts once a stop is requested
  std::atomic<bool> finished_ = false;
  std::atomic<bool> failing_ = false;  // written by the lane's thread
  std::atomic<bool> flush_ = false;    // asked for, and not yet done
  std::mutex mutex_;                   // for the waits alone
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: stops and joins before anything it uses is gone
};

}  // namespace rheo
