// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/link_follower.h"

#include <fmt/ranges.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

namespace rheo {
namespace {

constexpr std::uint64_t kWorkNs = kNanosecondsPerSecond / 5;
constexpr std::uint64_t kFirstDelayNs = kNanosecondsPerSecond;
constexpr std::uint64_t kLongestDelayNs = 60 * kNanosecondsPerSecond;
constexpr std::uint64_t kKeepGoneNs = 300 * kNanosecondsPerSecond;
constexpr std::size_t kMostGone = 4'096;
constexpr std::size_t kMostNames = 16;  // in one line of the log

std::string some_of(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kMostNames);
  std::string text = fmt::format("{}", fmt::join(std::span(names).first(shown), ", "));
  if (shown < names.size()) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

/// The same to the kernel, whatever the name.
bool same_place(const LinkTarget& a, const LinkTarget& b) {
  return a.layer == b.layer && a.ingress == b.ingress && a.egress == b.egress;
}

}  // namespace

LinkFollower::LinkFollower(InterfaceChooser chooser, LinkWatcher watcher, Snapshot<LinkTable>& links)
    : chooser_(std::move(chooser)), watcher_(std::move(watcher)), links_(links) {}

Result<std::unique_ptr<LinkFollower>> LinkFollower::open(const InterfacesConfig& config,
                                                         Snapshot<LinkTable>& links) {
  auto chooser = InterfaceChooser::make(config);
  if (!chooser) return forward(std::move(chooser));
  auto watcher = LinkWatcher::open();
  if (!watcher) return forward(std::move(watcher));
  std::unique_ptr<LinkFollower> follower(new LinkFollower(*std::move(chooser), *std::move(watcher), links));
  if (auto opened = follower->open_epoll(); !opened) return forward(std::move(opened), "watch links");
  follower->choose();
  follower->publish();
  return follower;
}

Status LinkFollower::open_epoll() {
  timer_ = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!timer_ || !epoll_) return errno_error("epoll");
  for (const int fd : {timer_.get(), watcher_.fd()}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return errno_error("epoll");
  }
  return Done{};
}

Status LinkFollower::start(Datapath& datapath) {
  datapath_ = &datapath;
  act(UINT64_MAX);
  now_metered_.clear();  // the daemon says so itself
  if (forbidden_) return failure(refused_.begin()->second.reason, std::errc::operation_not_permitted);
  arm(false);
  return Done{};
}

void LinkFollower::work() {
  std::uint64_t expirations = 0;
  while (::read(timer_.get(), &expirations, sizeof expirations) > 0) {
  }
  read_changes();
  const bool more = datapath_ != nullptr && act(monotonic_ns() + kWorkNs);
  if (!more) report_changes();
  arm(more);
}

void LinkFollower::follow(InterfaceChooser chooser) {
  chooser_ = std::move(chooser);
  choose();
  work();
}

void LinkFollower::read_changes() {
  const LinkTable before = watcher_.links();
  const auto changes = watcher_.read();
  if (!changes) {
    if (!std::exchange(watch_failing_, true))
      log::write(log::Priority::error, log::kInterfacesUnseen,
                 changes.error().what + "; changes of interfaces are not seen, trying again",
                 {log::errno_field(changes.error())});
    return;
  }
  if (std::exchange(watch_failing_, false))
    log::write(log::Priority::notice, log::kInterfacesSeen, "changes of interfaces are seen again");
  if (!changes->any) return;
  if (changes->resynced)
    for (auto& [index, attached] : attached_) attached.sure = false;
  for (const std::uint32_t index : changes->gone) forget(index);
  remember_gone(before);
  choose();
  publish();
}

void LinkFollower::forget(std::uint32_t ifindex) {
  refused_.erase(ifindex);
  const auto found = attached_.find(ifindex);
  if (found == attached_.end()) return;
  if (datapath_ != nullptr) datapath_->forget(ifindex);
  ++counters_.detached;
  no_longer_.push_back(found->second.target.name);
  attached_.erase(found);
}

void LinkFollower::remember_gone(const LinkTable& before) {
  const std::uint64_t now_ns = monotonic_ns();
  for (const auto& [index, link] : before)
    if (!watcher_.links().contains(index)) gone_[index] = {link, now_ns};
  std::erase_if(gone_, [&](const auto& entry) {
    return watcher_.links().contains(entry.first) || now_ns - entry.second.at_ns > kKeepGoneNs;
  });
  while (gone_.size() > kMostGone) gone_.erase(gone_.begin());
}

void LinkFollower::publish() {
  LinkTable table = watcher_.links();
  for (const auto& [index, gone] : gone_) table.emplace(index, gone.link).first->second.gone = true;
  links_.publish(std::move(table));
}

void LinkFollower::choose() {
  const LinkTable& links = watcher_.links();
  wanted_.clear();
  for (const auto& [index, wanted] : chooser_.choose(links))
    wanted_[index] = target_of(links.at(index), wanted);
  for (const auto& [name, attach] : by_name_) choose_by_name(name, attach);
  std::erase_if(refused_, [&](const auto& entry) { return !wanted_.contains(entry.first); });

  std::set<std::string> complaints;
  for (std::string& complaint : chooser_.complaints(links)) {
    if (!complaints_.contains(complaint)) log::warning("{}", complaint);
    complaints.insert(std::move(complaint));
  }
  complaints_ = std::move(complaints);
}

void LinkFollower::choose_by_name(const std::string& name, bool attach) {
  const auto index = index_of(name);
  if (!index) return;
  const Link& link = watcher_.links().at(*index);
  if (!attach)
    wanted_.erase(*index);
  else if (link.layer != LinkLayer::unsupported)
    wanted_[*index] = target_of(link, chooser_.directions_of(link));
}

LinkTarget LinkFollower::target_of(const Link& link, InterfaceChooser::Wanted directions) const {
  return {.ifindex = link.index,
          .name = link.name,
          .layer = link.layer,
          .ingress = directions.ingress,
          .egress = directions.egress};
}

Result<std::uint32_t> LinkFollower::index_of(const std::string& name) const {
  if (name.empty() || name.size() >= IF_NAMESIZE)
    return failure("interface: a name has 1 to 15 bytes", std::errc::no_such_file_or_directory);
  for (const auto& [index, link] : watcher_.links())
    if (link.name == name) return index;
  return failure("interface " + name + ": there is none of this name", std::errc::no_such_file_or_directory);
}

Status LinkFollower::attach_by_name(const std::string& name) {
  work();  // what the caller has just made may wait to be read
  const auto index = index_of(name);
  if (!index) return std::unexpected(index.error());
  if (attached_.contains(*index))
    return failure("interface " + name + ": it is metered already", std::errc::already_connected);
  const Link& link = watcher_.links().at(*index);
  const LinkTarget target = target_of(link, chooser_.directions_of(link));
  if (auto done = datapath_->attach(target); !done) return failure(done.error().what, std::errc::io_error);
  by_name_[name] = true;
  attached(target);
  choose();
  report_changes();
  arm(true);  // work() may have left something
  return Done{};
}

Status LinkFollower::detach_by_name(const std::string& name) {
  work();
  const auto index = index_of(name);
  if (!index) return std::unexpected(index.error());
  if (!attached_.contains(*index) && !wanted_.contains(*index))
    return failure("interface " + name + ": it is not metered", std::errc::not_connected);
  by_name_[name] = false;
  choose();
  detach_others(UINT64_MAX);
  report_changes();
  arm(true);  // work() may have left something
  return Done{};
}

/// True: some is left to do at once.
bool LinkFollower::act(std::uint64_t until_ns) {
  detach_others(until_ns);
  for (const auto& [index, target] : wanted_) {
    const std::uint64_t now_ns = monotonic_ns();
    if (now_ns > until_ns) return true;
    if (const auto found = attached_.find(index); found != attached_.end()) {
      found->second.target.name = target.name;
      if (found->second.sure && same_place(found->second.target, target)) continue;
    }
    if (const auto found = refused_.find(index); found != refused_.end() && found->second.next_ns > now_ns)
      continue;
    attach(target);
    if (forbidden_) return false;
  }
  return monotonic_ns() > until_ns;
}

void LinkFollower::detach_others(std::uint64_t until_ns) {
  for (auto entry = attached_.begin(); entry != attached_.end() && monotonic_ns() <= until_ns;) {
    if (wanted_.contains(entry->first)) {
      ++entry;
      continue;
    }
    // Not sure: it may be gone, and its number another's.
    if (entry->second.sure)
      datapath_->detach(entry->first);
    else
      datapath_->forget(entry->first);
    ++counters_.detached;
    no_longer_.push_back(entry->second.target.name);
    entry = attached_.erase(entry);
  }
}

void LinkFollower::attach(const LinkTarget& target) {
  const bool was_attached = attached_.contains(target.ifindex);
  const auto done = datapath_->attach(target);
  if (!done) {
    if (was_attached) {
      ++counters_.detached;
      no_longer_.push_back(target.name);
      attached_.erase(target.ifindex);
    }
    refused(target, done.error());
    return;
  }
  attached(target);
}

void LinkFollower::attached(const LinkTarget& target) {
  const bool was_attached = attached_.contains(target.ifindex);
  refused_.erase(target.ifindex);
  attached_[target.ifindex] = {.target = target, .sure = true};
  if (was_attached) return;
  ++counters_.attached;
  now_metered_.push_back(target.name);
}

void LinkFollower::refused(const LinkTarget& target, const Error& error) {
  ++counters_.attach_failures;
  Refused& entry = refused_[target.ifindex];
  const bool said = entry.reason == error.what;
  entry.reason = error.what;
  entry.delay_ns = entry.delay_ns == 0 ? kFirstDelayNs : std::min(2 * entry.delay_ns, kLongestDelayNs);
  entry.next_ns = monotonic_ns() + entry.delay_ns;
  forbidden_ = forbidden_ || (counters_.attached == 0 && error.code == std::errc::operation_not_permitted);
  // Of one that is gone already, the kernel's message is on its way.
  if (said || forbidden_ || error.code == std::errc::no_such_device) return;
  log::write(log::Priority::error, log::kInterfaceRefused,
             error.what + "; continuing without it, trying again",
             {{"RHEO_INTERFACE", target.name}, log::errno_field(error)});
}

/// One line for all that came and went together.
void LinkFollower::report_changes() {
  if (!now_metered_.empty())
    log::write(log::Priority::info, log::kInterfaceMetered, "now metered, too: " + some_of(now_metered_),
               log::repeated("RHEO_INTERFACE", now_metered_));
  if (!no_longer_.empty())
    log::write(log::Priority::info, log::kInterfaceLeft, "no longer metered: " + some_of(no_longer_),
               log::repeated("RHEO_INTERFACE", no_longer_));
  now_metered_.clear();
  no_longer_.clear();
}

/// The timer at the next attempt.
void LinkFollower::arm(bool more) {
  std::uint64_t delay_ns = more ? 1 : 0;
  const std::uint64_t now_ns = monotonic_ns();
  for (const auto& [index, entry] : refused_) {
    const std::uint64_t left_ns = entry.next_ns > now_ns ? entry.next_ns - now_ns : 1;
    delay_ns = delay_ns == 0 ? left_ns : std::min(delay_ns, left_ns);
  }
  if (watch_failing_ && delay_ns == 0) delay_ns = kFirstDelayNs;
  itimerspec time{};
  time.it_value.tv_sec = static_cast<time_t>(delay_ns / kNanosecondsPerSecond);
  time.it_value.tv_nsec = static_cast<long>(delay_ns % kNanosecondsPerSecond);
  ::timerfd_settime(timer_.get(), 0, &time, nullptr);
}

std::vector<LinkFollower::Followed> LinkFollower::followed() const {
  std::map<std::uint32_t, Followed> found;
  for (const auto& [index, entry] : refused_)
    found[index] = {.ifindex = index, .failure = entry.reason, .next_attempt_ns = entry.next_ns};
  for (const auto& [index, attached] : attached_) found[index] = {.ifindex = index};
  std::vector<Followed> followed;
  for (auto& [index, entry] : found) followed.push_back(std::move(entry));
  return followed;
}

std::vector<std::string> LinkFollower::metered() const {
  std::vector<std::string> names;
  for (const auto& [index, attached] : attached_) names.push_back(attached.target.name);
  return names;
}

LinkCounters LinkFollower::counters() const {
  LinkCounters counters = counters_;
  counters.metered = attached_.size();
  counters.failing = refused_.size();
  counters.watch_overruns = watcher_.overruns();
  return counters;
}

}  // namespace rheo
