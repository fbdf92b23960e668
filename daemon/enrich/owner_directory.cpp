// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/owner_directory.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/enrich/cgroup_path.h"

namespace rheo {

std::shared_ptr<const Owner> OwnerDirectory::find(std::uint32_t number) {
  if (number < kFirstOwner) return nullptr;
  const std::scoped_lock lock(mutex_);
  const auto found = known_.find(number);
  if (found != known_.end()) {
    found->second.asked = ++asked_;
    return found->second.owner;
  }
  const auto noted = notes_->read(number);
  if (!noted) {
    ++counters_.forgotten;
    return nullptr;
  }
  ++counters_.resolved;
  if (known_.size() >= most_) make_room();
  auto owner = resolve(*noted);
  known_[number] = {.owner = owner, .asked = ++asked_};
  return owner;
}

std::shared_ptr<const Owner> OwnerDirectory::resolve(const SocketOwner& noted) {
  CgroupMeaning meaning = read_cgroup_path(noted.cgroup);
  return std::make_shared<const Owner>(Owner{.pid = noted.pid,
                                             .uid = noted.uid,
                                             .name = noted.comm,
                                             .executable = noted.executable,
                                             .user = users_.find(noted.uid),
                                             .unit = std::move(meaning.unit),
                                             .user_unit = std::move(meaning.user_unit),
                                             .slice = std::move(meaning.slice),
                                             .session = std::move(meaning.session),
                                             .container_id = std::move(meaning.container_id),
                                             .container_runtime = std::move(meaning.container_runtime)});
}

/// Forgets the half that was asked for longest ago.
void OwnerDirectory::make_room() {
  std::vector<std::uint64_t> asked;
  asked.reserve(known_.size());
  for (const auto& [number, known] : known_) asked.push_back(known.asked);
  const auto middle = asked.begin() + static_cast<std::ptrdiff_t>(asked.size() / 2);
  std::nth_element(asked.begin(), middle, asked.end());
  std::erase_if(known_, [oldest = *middle](const auto& entry) { return entry.second.asked < oldest; });
}

OwnerCounters OwnerDirectory::counters() const {
  const std::scoped_lock lock(mutex_);
  OwnerCounters counters = counters_;
  counters.known = known_.size();
  return counters;
}

}  // namespace rheo
