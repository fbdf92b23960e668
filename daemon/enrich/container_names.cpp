// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/container_names.h"

#include <utility>

namespace rheo {
namespace {

constexpr std::size_t kMost = 4'096;
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kNamedFor = 60 * kSecond;  // it may be renamed
constexpr std::uint64_t kUnnamedFor = 10 * kSecond;

}  // namespace

ContainerLabel ContainerNames::find(const std::string& id, const std::string& runtime, std::uint64_t now_ns) {
  const std::string key = runtime + "/" + id;
  if (const auto found = known_.find(key); found != known_.end() && now_ns < found->second.until_ns)
    return found->second.label;
  if (known_.size() >= kMost) make_room(now_ns);
  ContainerLabel label = read_container_label(root_, id, runtime);
  const bool named = !label.name.empty();
  ++(named ? named_ : unnamed_);
  known_[key] = {.label = label, .until_ns = now_ns + (named ? kNamedFor : kUnnamedFor)};
  return label;
}

/// Those that would be read again go first; where none would, all: they are read once more.
void ContainerNames::make_room(std::uint64_t now_ns) {
  std::erase_if(known_, [now_ns](const auto& entry) { return entry.second.until_ns <= now_ns; });
  if (known_.size() >= kMost) known_.clear();
}

}  // namespace rheo
