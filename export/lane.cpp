// SPDX-License-Identifier: Apache-2.0
#include "export/lane.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/base/fault_point.h"
#include "daemon/base/log.h"

namespace rheo {
namespace {

// How long the thread waits for a record before it looks whether a spell of losses is over.
constexpr std::uint64_t kIdleWaitNs = kNanosecondsPerSecond;
// How often a batch that waits for company looks whether it is full.
constexpr std::uint64_t kFillStepNs = kNanosecondsPerSecond / 20;

std::uint64_t after_now(std::chrono::nanoseconds wait) {
  return monotonic_ns() + static_cast<std::uint64_t>(wait.count());
}

/// "250 ms", "1 s", "1.5 s"
std::string duration_text(std::chrono::nanoseconds duration) {
  const auto ms = std::chrono::round<std::chrono::milliseconds>(duration).count();
  if (ms < 1'000) return fmt::format("{} ms", ms);
  return ms % 1'000 == 0 ? fmt::format("{} s", ms / 1'000)
                         : fmt::format("{:.1f} s", static_cast<double>(ms) / 1e3);
}

}  // namespace

Lane::Lane(std::unique_ptr<RecordCursor> cursor, std::unique_ptr<Exporter> exporter, LaneOptions options)
    : options_(std::move(options)),
      cursor_(std::move(cursor)),
      exporter_(std::move(exporter)),
      mark_(cursor_->file_mark()),
      retry_(options_.first_retry),
      losses_noticed_(cursor_->losses()),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

Lane::~Lane() {
  if (!thread_.get_stop_source().stop_requested()) request_stop(monotonic_ns());
}

void Lane::request_stop(std::uint64_t deadline_ns) {
  {
    const std::scoped_lock lock(mutex_);
    stop_deadline_ns_ = deadline_ns;
  }
  exporter_->end_by(deadline_ns);
  thread_.request_stop();
  wake_.notify_all();
}

LaneCounters Lane::counters() const {
  const RecordLosses losses = cursor_->losses();
  return {.name = options_.name,
          .records_sent = records_sent_,
          .writes_failed = writes_failed_,
          .records_pending = cursor_->pending(),
          .records_lost = losses.records,
          .records_rejected = exporter_->records_rejected(),
          .records_spooled = exporter_->records_spooled(),
          .lost = losses.counts};
}

void Lane::flush() {
  {
    const std::scoped_lock lock(mutex_);
    flush_ = true;
  }
  wake_.notify_all();
}

void Lane::reopen() { exporter_->request_reopen(); }

void Lane::run(const std::stop_token& stop) {
  exporter_->count_late_losses([this](const RecordLosses& lost) { cursor_->count_lost(lost); });
  FlowBatch batch;
  while (!stop.stop_requested() || !past_stop_deadline()) {
    // One record first, only to see that there is something to do: the exporter is opened, and its mark
    // stored, while nothing is handed out.
    if (cursor_->next(batch, 1, monotonic_ns() + kIdleWaitNs, stop)) {
      const std::uint64_t position = batch.first_position;
      cursor_->rewind();
      wait_for_full_batch(stop);  // before the exporter is opened: a rotation meanwhile is not missed
      if (const Status ready = prepare(position); !ready)
        failed(ready.error(), stop);
      else
        deliver(batch, stop);
    } else if (stop.stop_requested()) {
      break;
    } else {
      idle(stop);
    }
    watch_losses();
  }
  if (last_loss_ns_ != 0) end_losses();
  finished_ = true;
}

void Lane::deliver(FlowBatch& batch, const std::stop_token& stop) {
  if (!cursor_->next(batch, options_.max_batch_size * options_.batches_at_once, monotonic_ns(), stop)) return;
  RHEO_FAULT_POINT("lane-taken");
  const Status written = exporter_->write(batch);
  RHEO_FAULT_POINT("lane-written");
  log_notice();
  const std::uint64_t lost = settle(batch, written);
  if (written) return works_again();
  if (written.error().code == std::errc::bad_message) return given_up(lost, written.error());
  failed(written.error(), stop);
}

/// What is done with is acknowledged, the rest offered again. Returns how many records were given up.
std::uint64_t Lane::settle(const FlowBatch& batch, const Status& written) {
  const bool for_good = !written && written.error().code == std::errc::bad_message;
  std::vector<SettledPart> all;
  if (written || for_good) all.push_back({.begin = 0, .end = batch.size(), .given_up = for_good});
  const std::vector<SettledPart> parts = exporter_->take_settled().value_or(std::move(all));
  if (parts.empty()) {
    cursor_->rewind();
    return 0;
  }
  mark_ = exporter_->mark();
  cursor_->settle(batch, parts, mark_);
  RHEO_FAULT_POINT("lane-acknowledged");
  std::uint64_t lost = 0;
  for (const SettledPart& part : parts) {
    const std::size_t records = part.end - part.begin;
    if (part.given_up)
      lost += records;
    else
      records_sent_ += records;
  }
  retry_ = options_.first_retry;  // the far side gets on with it
  return lost;
}

void Lane::idle(const std::stop_token& stop) {
  flush_ = false;  // nothing waits
  exporter_->note_losses(cursor_->losses());
  const Status done = exporter_->idle();
  log_notice();
  if (!done)
    failed(done.error(), stop);
  else
    works_again();
}

void Lane::log_notice() {
  if (const std::string notice = exporter_->take_notice(); !notice.empty())
    log::write(log::Priority::warning, log::kExporterNotice, fmt::format("{}: {}", options_.name, notice),
               {{"RHEO_EXPORTER", options_.name}});
}

/// A mark that is new, because the exporter opened another file, is stored before anything is written there.
Status Lane::prepare(std::uint64_t position) {
  if (!resumed_) {
    if (mark_.inode != 0) {
      if (Status resumed = exporter_->resume(mark_); !resumed) return resumed;
    }
    resumed_ = true;
  }
  exporter_->note_losses(cursor_->losses());
  if (Status opened = exporter_->open(); !opened) return opened;
  if (const FileMark mark = exporter_->mark(); mark != mark_) {
    cursor_->acknowledge(position, mark);
    mark_ = mark;
  }
  return Done{};
}

void Lane::wait_for_full_batch(const std::stop_token& stop) {
  if (failing_) return;  // these records have waited long enough
  const std::uint64_t deadline = after_now(options_.max_batch_interval);
  while (!stop.stop_requested() && cursor_->pending() < options_.max_batch_size) {
    const std::uint64_t now = monotonic_ns();
    if (now >= deadline || flush_.exchange(false)) return;
    wait_until(std::min(deadline, now + kFillStepNs), stop);
  }
}

void Lane::works_again() {
  retry_ = options_.first_retry;
  if (!failing_.exchange(false)) return;
  log::write(log::Priority::notice, log::kExporterWorks,
             fmt::format("{}: writing again; {} records are waiting", options_.name, cursor_->pending()),
             {{"RHEO_EXPORTER", options_.name}});
}

void Lane::given_up(std::uint64_t records, const Error& error) {
  ++writes_failed_;
  if (last_loss_ns_ != 0) return;  // told already that records are being lost
  losses_before_ = losses_noticed_;
  last_loss_ns_ = monotonic_ns();
  log::write(
      log::Priority::error, log::kRecordsRefused,
      fmt::format("{}: {}: {} records are refused for good and counted as lost, going on with the next",
                  options_.name, error.what, records),
      {{"RHEO_EXPORTER", options_.name}});
}

void Lane::failed(const Error& error, const std::stop_token& stop) {
  ++writes_failed_;
  const auto asked = exporter_->retry_after();  // the far side knows better than our doubling
  const auto wait = asked.count() > 0 ? asked : retry_;
  if (asked.count() == 0) retry_ = std::min(retry_ * 2, options_.longest_retry);
  if (!failing_.exchange(true)) {
    log::write(log::Priority::error, log::kExporterFailed,
               fmt::format("{}: {}, trying again in {}; records wait in the outbox", options_.name,
                           error.what, duration_text(wait)),
               {{"RHEO_EXPORTER", options_.name}, log::errno_field(error)});
  }
  // A stop ends the wait, so that there is one more attempt; then at the first pace until its deadline.
  if (stop.stop_requested()) return wait_until(after_now(options_.first_retry), stop);
  // Somebody's wish is lengthened, our own pace is shortened.
  const auto [least, most] = asked.count() > 0 ? std::pair(wait.count(), wait.count() * 5 / 4)
                                               : std::pair(wait.count() * 3 / 4, wait.count());
  std::uniform_int_distribution<std::int64_t> jittered(least, most);
  wait_until(after_now(std::chrono::nanoseconds(jittered(random_))), stop);
  flush_ = false;
}

/// Returns at the time, when a stop or a flush is requested, or, in a stop, at its deadline.
void Lane::wait_until(std::uint64_t time_ns, const std::stop_token& stop) {
  // std::chrono::steady_clock is CLOCK_MONOTONIC in libstdc++.
  const auto at = [](std::uint64_t ns) {
    return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(static_cast<std::int64_t>(ns)));
  };
  std::unique_lock lock(mutex_);
  if (!stop.stop_requested()) {
    wake_.wait_until(lock, stop, at(time_ns), [this] { return flush_.load(); });
    return;
  }
  while (monotonic_ns() < time_ns && !past_stop_deadline())
    wake_.wait_until(lock, at(std::min(time_ns, stop_deadline_ns_.load())));
}

bool Lane::past_stop_deadline() const { return monotonic_ns() >= stop_deadline_ns_; }

void Lane::watch_losses() {
  const RecordLosses losses = cursor_->losses();
  const std::uint64_t now = monotonic_ns();
  if (losses.records != losses_noticed_.records) {
    if (last_loss_ns_ == 0) {
      losses_before_ = losses_noticed_;
      log::write(log::Priority::warning, log::kRecordsLost,
                 fmt::format("{}: records are being lost, the oldest first; each is counted", options_.name),
                 {{"RHEO_EXPORTER", options_.name}});
    }
    losses_noticed_ = losses;
    last_loss_ns_ = now;
  } else if (last_loss_ns_ != 0 &&
             now - last_loss_ns_ >= static_cast<std::uint64_t>(options_.loss_quiet.count())) {
    end_losses();
  }
}

void Lane::end_losses() {
  const FlowCounts counts = losses_noticed_.counts - losses_before_.counts;
  log::write(log::Priority::warning, log::kRecordsKept,
             fmt::format("{}: no more records are being lost; lost were {} records of {} packets, {} octets",
                         options_.name, losses_noticed_.records - losses_before_.records, counts.packets,
                         counts.l2_bytes),
             {{"RHEO_EXPORTER", options_.name}});
  last_loss_ns_ = 0;
}

}  // namespace rheo
