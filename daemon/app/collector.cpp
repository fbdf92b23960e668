// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/collector.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "daemon/base/assert.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"

namespace rheo {
namespace {

// A change of the wall clock's offset beyond this is a step (or a suspend), not a slew.
constexpr std::int64_t kClockStepNs = 100'000'000;

// Each may look at the whole table, while no packet is fetched.
constexpr std::size_t kMostRequests = 8;

timespec to_timespec(Duration duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  return {static_cast<time_t>(seconds.count()), static_cast<long>((duration - seconds).count())};
}

Status add_to_epoll(int epoll, int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) return errno_error("epoll_ctl");
  return Done{};
}

void read_counter(int fd) {
  std::uint64_t count = 0;
  static_cast<void>(!::read(fd, &count, sizeof count));  // nothing to read is fine
}

}  // namespace

Collector::Collector(Datapath& datapath, FlowTable& table, const Snapshot<Listeners>& listeners,
                     CollectorOptions options)
    : datapath_(datapath),
      table_(table),
      listeners_(listeners),
      options_(options),
      merge_([this](std::span<const Row> rows) { table_.merge(rows, datapath_); }) {}

Collector::~Collector() {
  if (thread_.joinable()) stop(monotonic_ns());
}

void Collector::take_leftovers() {
  table_.set_listeners(listeners_.get());
  follow_clock();
  datapath_.consume_evicted(merge_);
  datapath_.drain(merge_);
}

Status Collector::start() {
  timer_ = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  wake_ = UniqueFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!timer_ || !wake_ || !epoll_) return errno_error("collector");

  if (Status set = set_timer(); !set) return forward(std::move(set), "collector");
  for (const auto& [fd, events] : {std::pair<int, std::uint32_t>{timer_.get(), EPOLLIN},
                                   {wake_.get(), EPOLLIN},
                                   {datapath_.evicted_fd(), EPOLLIN | EPOLLET}}) {
    if (auto added = add_to_epoll(epoll_.get(), fd, events); !added)
      return forward(std::move(added), "collector");
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  return Done{};
}

Status Collector::set_timer() {
  const timespec interval = to_timespec(options_.drain_interval);
  const itimerspec times{.it_interval = interval, .it_value = interval};
  if (::timerfd_settime(timer_.get(), 0, &times, nullptr) != 0) return errno_error("set the timer");
  return Done{};
}

CollectorEnd Collector::stop(std::uint64_t deadline_ns, FlowsAtEnd flows) {
  if (!thread_.joinable()) return {.drained = drain_all(), .closed = false};
  flows_at_end_ = flows;
  stop_deadline_ns_ = deadline_ns;
  thread_.request_stop();
  const std::uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
  thread_.join();
  return end_;
}

void Collector::run(const std::stop_token& stop) {
  publish();
  while (!stop.stop_requested()) {
    epoll_event events[3];
    const int count = ::epoll_wait(epoll_.get(), events, 3, -1);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == timer_.get()) {
        read_counter(timer_.get());
        drain();
      } else if (events[i].data.fd == datapath_.evicted_fd()) {
        datapath_.consume_evicted(merge_);
      } else if (events[i].data.fd == wake_.get()) {
        read_counter(wake_.get());
        take_rules();
        serve();
      }
    }
  }
  const bool drained = drain_all();
  end_ = {.drained = drained, .closed = flows_at_end_ == FlowsAtEnd::close && close_flows()};
  publish();
}

void Collector::drain() {
  const std::uint64_t begin_ns = monotonic_ns();
  follow_clock();
  table_.set_listeners(listeners_.get());
  table_.begin_drain();
  if (swap()) {
    // In the order in which a flow's rows were made: evicted from the old generation, still in it, evicted
    // since.
    datapath_.consume_evicted(merge_, begin_ns);
    datapath_.drain(merge_);
    datapath_.consume_evicted(merge_);
    table_.expire(begin_ns);
    table_.end_drain(begin_ns);
  } else {
    datapath_.consume_evicted(merge_);  // no flow is idle for want of a drain
  }

  ++counters_.drains;
  counters_.drain_ns_last = monotonic_ns() - begin_ns;
  counters_.drain_ns_longest = std::max(counters_.drain_ns_longest, counters_.drain_ns_last);
  publish();
}

bool Collector::swap() {
  const Status swapped = datapath_.swap();
  if (!swapped) {
    ++counters_.drains_failed;
    if (!swap_failing_)
      log::write(log::Priority::error, log::kDrainFailed,
                 swapped.error().what + "; the flow cache fills up, trying again at every drain");
  } else if (swap_failing_) {
    log::write(log::Priority::notice, log::kDrainWorks,
               fmt::format("draining works again after {} failures", counters_.drains_failed));
  }
  swap_failing_ = !swapped;
  return swapped.has_value();
}

/// Nothing counts any more. One swap makes the active generation quiet; both are drained.
bool Collector::drain_all() {
  bool drained = true;
  follow_clock();
  for (int generation = 0; generation < 2; ++generation) {
    drained = swap() && drained;
    datapath_.consume_evicted(merge_);
    datapath_.drain(merge_);
  }
  datapath_.consume_evicted(merge_);
  return drained;
}

bool Collector::close_flows() {
  constexpr std::uint64_t kAtOnce = 8'192;
  for (;;) {
    const std::uint64_t pending = table_.outbox().slowest_pending();
    const std::uint64_t room = table_.outbox().share() - std::min(table_.outbox().share(), pending);
    if (table_.close_some(std::min(room, kAtOnce)) == 0) return true;
    if (monotonic_ns() >= stop_deadline_ns_) return false;
    if (room < kAtOnce) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // for the lanes
  }
}

Status Collector::ask(CollectorRequest request) {
  {
    const std::scoped_lock lock(requests_mutex_);
    if (requests_.size() >= kMostRequests)
      return failure("the collector has too many questions to answer, try again later",
                     std::errc::device_or_resource_busy);
    requests_.push_back(std::move(request));
  }
  const std::uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
  return Done{};
}

void Collector::change(const CollectorRules& rules) {
  {
    const std::scoped_lock lock(requests_mutex_);
    new_rules_ = rules;
  }
  const std::uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
}

void Collector::take_rules() {
  std::optional<CollectorRules> rules;
  {
    const std::scoped_lock lock(requests_mutex_);
    rules.swap(new_rules_);
  }
  if (!rules) return;
  const bool other_pace = rules->options.drain_interval != options_.drain_interval;
  options_ = rules->options;
  if (other_pace) {
    const Status set = set_timer();
    RHEO_ASSERT(set);  // the timer is one, and the interval in range
  }
  table_.set_timeouts(rules->timeouts, monotonic_ns());
}

/// One drain serves all who asked for one.
void Collector::serve() {
  std::vector<CollectorRequest> requests;
  {
    const std::scoped_lock lock(requests_mutex_);
    requests.swap(requests_);
  }
  if (std::ranges::any_of(requests, [](const CollectorRequest& request) { return !request.flows; })) drain();
  const Status drained =
      swap_failing_
          ? Status(failure("the kernel's counts cannot be fetched, see the log", std::errc::io_error))
          : Status(Done{});
  for (const CollectorRequest& request : requests) {
    if (request.flows)
      request.done(Done{}, table_.find(*request.flows));
    else
      request.done(drained, {});
  }
}

void Collector::follow_clock() {
  const auto offset = static_cast<std::int64_t>(realtime_ns() - monotonic_ns());
  if (clock_offset_ns_ != 0 && std::llabs(offset - clock_offset_ns_) > kClockStepNs) {
    ++counters_.clock_steps;
    log::write(log::Priority::notice, log::kClockStepped,
               fmt::format("the wall clock moved by {:.3f} s against the monotonic one; records from now on "
                           "have the new time",
                           static_cast<double>(offset - clock_offset_ns_) / 1e9));
  }
  clock_offset_ns_ = offset;
  table_.set_clock_offset(offset);
}

void Collector::publish() {
  report_.publish({.collector = counters_,
                   .table = table_.counters(),
                   .busiest = table_.busiest(options_.live_flows),
                   .drained_at_ns = monotonic_ns()});
}

}  // namespace rheo
