// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/link_follower.h"

#include <fmt/ranges.h>
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

/// As published: of which namespace it is.
Link in_namespace(Link link, std::uint8_t number, const std::string& name) {
  link.netns = number;
  link.netns_name = name;
  return link;
}

/// The same to the kernel, whatever the name.
bool same_place(const LinkTarget& a, const LinkTarget& b) {
  return a.layer == b.layer && a.ingress == b.ingress && a.egress == b.egress;
}

}  // namespace

LinkFollower::LinkFollower(InterfaceChooser chooser, LinkWatcher watcher, Snapshot<LinkTable>& links)
    : chooser_(std::move(chooser)), links_(links) {
  spaces_.emplace(std::uint8_t{0}, Space{.name = "", .watcher = std::move(watcher)});
}

Result<std::unique_ptr<LinkFollower>> LinkFollower::open(const InterfacesConfig& config,
                                                         Snapshot<LinkTable>& links) {
  auto chooser = InterfaceChooser::make(config);
  if (!chooser) return forward(std::move(chooser));
  auto watcher = LinkWatcher::open();
  if (!watcher) return forward(std::move(watcher));
  std::unique_ptr<LinkFollower> follower(new LinkFollower(*std::move(chooser), *std::move(watcher), links));
  if (auto opened = follower->open_epoll(); !opened) return forward(std::move(opened), "watch links");
  if (auto followed = follower->netns_.follow(config.netns); !followed) return forward(std::move(followed));
  follower->choose();
  follower->publish();
  return follower;
}

Status LinkFollower::open_epoll() {
  timer_ = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!timer_ || !epoll_) return errno_error("epoll");
  if (auto waiting = wait_for(timer_.get()); !waiting) return waiting;
  return wait_for(spaces_.at(0).watcher.fd());
}

Status LinkFollower::wait_for(int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return errno_error("epoll");
  return Done{};
}

Status LinkFollower::start(Datapath& datapath) {
  datapath_ = &datapath;
  look_at_namespaces();
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
  if (datapath_ != nullptr) look_at_namespaces();
  read_changes();
  const bool more = datapath_ != nullptr && act(monotonic_ns() + kWorkNs);
  if (!more) report_changes();
  arm(more);
}

void LinkFollower::follow(InterfaceChooser chooser, const std::vector<std::string>& netns) {
  chooser_ = std::move(chooser);
  if (auto followed = netns_.follow(netns); !followed) log::warning("{}", followed.error().what);
  choose();
  work();
}

void LinkFollower::read_changes() {
  bool changed = false;
  bool failing = false;
  for (auto& [number, space] : spaces_) {
    const auto read = read_changes_of(number, space);
    changed = changed || read.value_or(false);
    failing = failing || !read;
    if (!read && !std::exchange(watch_failing_, true))
      log::write(log::Priority::error, log::kInterfacesUnseen,
                 read.error().what + "; changes of interfaces are not seen, trying again",
                 {log::errno_field(read.error())});
  }
  if (!failing && std::exchange(watch_failing_, false))
    log::write(log::Priority::notice, log::kInterfacesSeen, "changes of interfaces are seen again");
  if (!changed) return;
  choose();
  publish();
}

/// True: something has.
Result<bool> LinkFollower::read_changes_of(std::uint8_t number, Space& space) {
  const LinkTable before = space.watcher.links();
  const auto changes = space.watcher.read();
  if (!changes) return std::unexpected(changes.error());
  if (!changes->any) return false;
  if (changes->resynced)
    for (auto& [id, attached] : attached_)
      if (id.netns == number) attached.sure = false;
  for (const std::uint32_t ifindex : changes->gone) forget({.netns = number, .ifindex = ifindex});
  remember_gone(number, space, before, space.watcher.links());
  return true;
}

void LinkFollower::forget(LinkId id) {
  refused_.erase(id);
  const auto found = attached_.find(id);
  if (found == attached_.end()) return;
  if (datapath_ != nullptr) datapath_->forget(id);
  ++counters_.detached;
  no_longer_.push_back(found->second.target.name);
  attached_.erase(found);
}

LinkTable LinkFollower::current() const {
  LinkTable table;
  for (const auto& [number, space] : spaces_) {
    for (const auto& [ifindex, link] : space.watcher.links())
      table.emplace(link_number({.netns = number, .ifindex = ifindex}),
                    in_namespace(link, number, space.name));
  }
  return table;
}

void LinkFollower::remember_gone(std::uint8_t number, const Space& space, const LinkTable& before,
                                 const LinkTable& now) {
  const std::uint64_t now_ns = monotonic_ns();
  for (const auto& [ifindex, link] : before) {
    if (!now.contains(ifindex))
      gone_[link_number({.netns = number, .ifindex = ifindex})] = {in_namespace(link, number, space.name),
                                                                   now_ns};
  }
}

void LinkFollower::publish() {
  LinkTable table = current();
  const std::uint64_t now_ns = monotonic_ns();
  std::erase_if(gone_, [&](const auto& entry) {
    return table.contains(entry.first) || now_ns - entry.second.at_ns > kKeepGoneNs;
  });
  while (gone_.size() > kMostGone) gone_.erase(gone_.begin());
  for (const auto& [number, gone] : gone_) table.emplace(number, gone.link).first->second.gone = true;
  links_.publish(std::move(table));
}

void LinkFollower::choose() {
  wanted_.clear();
  for (const auto& [number, space] : spaces_) {
    for (const auto& [ifindex, wanted] : chooser_.choose(space.watcher.links())) {
      const LinkId id{.netns = number, .ifindex = ifindex};
      wanted_[id] = target_of(id, wanted);
    }
  }
  for (const auto& [name, attach] : by_name_) choose_by_name(name, attach);
  std::erase_if(refused_, [&](const auto& entry) { return !wanted_.contains(entry.first); });

  std::set<std::string> complaints;
  for (std::string& complaint : chooser_.complaints(current())) {
    if (!complaints_.contains(complaint)) log::warning("{}", complaint);
    complaints.insert(std::move(complaint));
  }
  complaints_ = std::move(complaints);
}

/// True: some is left to do at once.
bool LinkFollower::act(std::uint64_t until_ns) {
  detach_others(until_ns);
  for (const auto& [id, target] : wanted_) {
    const std::uint64_t now_ns = monotonic_ns();
    if (now_ns > until_ns) return true;
    if (const auto found = attached_.find(id); found != attached_.end()) {
      found->second.target.name = target.name;
      if (found->second.sure && same_place(found->second.target, target)) continue;
    }
    if (const auto found = refused_.find(id); found != refused_.end() && found->second.next_ns > now_ns)
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
  const bool was_attached = attached_.contains(target.id());
  const auto done = datapath_->attach(target);
  if (!done) {
    if (was_attached) {
      ++counters_.detached;
      no_longer_.push_back(target.name);
      attached_.erase(target.id());
    }
    refused(target, done.error());
    return;
  }
  attached(target);
}

void LinkFollower::attached(const LinkTarget& target) {
  const bool was_attached = attached_.contains(target.id());
  refused_.erase(target.id());
  attached_[target.id()] = {.target = target, .sure = true};
  if (was_attached) return;
  ++counters_.attached;
  now_metered_.push_back(target.name);
}

void LinkFollower::refused(const LinkTarget& target, const Error& error) {
  ++counters_.attach_failures;
  Refused& entry = refused_[target.id()];
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
  const auto not_after = [&](std::uint64_t at_ns) {
    const std::uint64_t left_ns = at_ns > now_ns ? at_ns - now_ns : 1;
    delay_ns = delay_ns == 0 ? left_ns : std::min(delay_ns, left_ns);
  };
  for (const auto& [id, entry] : refused_) not_after(entry.next_ns);
  if (watch_failing_ && delay_ns == 0) delay_ns = kFirstDelayNs;
  if (netns_.next_look_ns() != 0) not_after(netns_.next_look_ns());
  itimerspec time{};
  time.it_value.tv_sec = static_cast<time_t>(delay_ns / kNanosecondsPerSecond);
  time.it_value.tv_nsec = static_cast<long>(delay_ns % kNanosecondsPerSecond);
  ::timerfd_settime(timer_.get(), 0, &time, nullptr);
}

std::vector<LinkFollower::Followed> LinkFollower::followed() const {
  std::map<std::uint32_t, Followed> found;
  for (const auto& [id, entry] : refused_)
    found[link_number(id)] = {
        .link = link_number(id), .failure = entry.reason, .next_attempt_ns = entry.next_ns};
  for (const auto& [id, attached] : attached_) found[link_number(id)] = {.link = link_number(id)};
  std::vector<Followed> followed;
  for (auto& [number, entry] : found) followed.push_back(std::move(entry));
  return followed;
}

std::vector<std::string> LinkFollower::metered() const {
  std::vector<std::string> names;
  for (const auto& [id, attached] : attached_) names.push_back(attached.target.name);
  return names;
}

LinkCounters LinkFollower::counters() const {
  LinkCounters counters = counters_;
  counters.metered = attached_.size();
  counters.failing = refused_.size();
  counters.watch_overruns = overruns_before_;
  for (const auto& [number, space] : spaces_) counters.watch_overruns += space.watcher.overruns();
  return counters;
}

}  // namespace rheo
