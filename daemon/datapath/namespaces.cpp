// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/namespaces.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

namespace rheo {
namespace {

struct Named {
  std::string name;
  std::shared_ptr<const Netns> netns;
};

/// What the mark is of, if it still has the name.
std::optional<Named> find_marked(const NetnsMark& mark) {
  std::error_code error;
  std::filesystem::directory_iterator entry(kNetnsDirectory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (netns_name_hash(name) != mark.name_hash) continue;
    auto netns = Netns::open(entry->path());
    if (netns && netns->inode() == mark.inode)
      return Named{name, std::make_shared<const Netns>(*std::move(netns))};
  }
  return std::nullopt;
}

}  // namespace

std::vector<NetnsMark> Namespaces::marks() const {
  std::vector<NetnsMark> found;
  for (const std::string& name : pins_->names_beginning_with(kNetnsMarkPrefix))
    if (const auto mark = netns_of_mark(name)) found.push_back(*mark);
  return found;
}

/// 0: none is free.
std::uint8_t Namespaces::number_for(const NetnsMark& wanted) const {
  std::set<std::uint8_t> taken;
  for (const NetnsMark& mark : marks()) {
    if (mark.inode == wanted.inode && mark.name_hash == wanted.name_hash && !open_.contains(mark.number))
      return mark.number;
    taken.insert(mark.number);
  }
  std::uint8_t best = 0;
  for (unsigned i = 1; i < freed_.size(); ++i) {
    const auto number = static_cast<std::uint8_t>(i);
    if (open_.contains(number) || taken.contains(number)) continue;
    if (best == 0 || freed_[number] < freed_[best]) best = number;
  }
  return best;
}

Result<std::uint8_t> Namespaces::open(const std::string& name, std::shared_ptr<const Netns> netns) {
  NetnsMark mark{.inode = netns->inode(), .name_hash = netns_name_hash(name)};
  mark.number = number_for(mark);
  if (mark.number == 0)
    return failure("all 255 numbers of network namespaces are in use", std::errc::no_space_on_device);
  pins_->mark(netns_mark(mark));  // before anything of the number is attached or pinned
  open_[mark.number] = {.name = name, .netns = std::move(netns), .mark = mark};
  return mark.number;
}

void Namespaces::close(std::uint8_t number) {
  const auto found = open_.find(number);
  if (found == open_.end()) return;
  pins_->unmark(netns_mark(found->second.mark));
  freed_[number] = ++closings_;
  open_.erase(found);
}

Status Namespaces::run(std::uint8_t number, const std::function<void()>& work) const {
  if (number == 0) {
    work();
    return Done{};
  }
  const auto found = open_.find(number);
  if (found == open_.end()) return errno_error("enter the network namespace", ENODEV);
  return found->second.netns->run(work);
}

std::string Namespaces::name(std::uint8_t number) const {
  const auto found = open_.find(number);
  return found == open_.end() ? "" : found->second.name;
}

std::vector<std::uint8_t> Namespaces::numbers() const {
  std::vector<std::uint8_t> numbers = {0};
  for (const auto& [number, open] : open_) numbers.push_back(number);
  return numbers;
}

std::vector<std::uint8_t> Namespaces::open_marked() {
  std::vector<std::uint8_t> opened;
  for (const NetnsMark& mark : marks()) {
    const auto known = open_.find(mark.number);
    if (known != open_.end() && known->second.mark == mark) continue;
    auto named = known == open_.end() ? find_marked(mark) : std::nullopt;
    if (!named) {
      pins_->unmark(netns_mark(mark));
      continue;
    }
    open_[mark.number] = {.name = std::move(named->name), .netns = std::move(named->netns), .mark = mark};
    opened.push_back(mark.number);
  }
  return opened;
}

}  // namespace rheo
