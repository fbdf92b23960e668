// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/owner_directory.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/enrich/cgroup_path.h"
#include "daemon/enrich/command_line.h"

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
  if (known_.size() >= options_.most) make_room();
  auto owner = resolve(*noted);
  known_[number] = {.owner = owner, .asked = ++asked_};
  return owner;
}

std::shared_ptr<const Owner> OwnerDirectory::resolve(const SocketOwner& noted) {
  CgroupMeaning meaning = read_cgroup_path(noted.cgroup);
  ContainerLabel label;
  if (options_.container_names && !meaning.container_id.empty())
    label = containers_.find(meaning.container_id, meaning.container_runtime, monotonic_ns());
  return std::make_shared<const Owner>(
      Owner{.pid = noted.pid,
            .uid = noted.uid,
            .name = noted.comm,
            .executable = noted.executable,
            .command_line = options_.command_lines ? read_command_line(options_.root + "/proc", noted) : "",
            .user = users_.find(noted.uid),
            .unit = std::move(meaning.unit),
            .user_unit = std::move(meaning.user_unit),
            .slice = std::move(meaning.slice),
            .session = std::move(meaning.session),
            .container_id = std::move(meaning.container_id),
            .container_name = std::move(label.name),
            .container_image = std::move(label.image),
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
  counters.containers_named = containers_.named();
  counters.containers_unnamed = containers_.unnamed();
  return counters;
}

}  // namespace rheo
