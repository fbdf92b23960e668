// SPDX-License-Identifier: Apache-2.0
// ContainerNames: names and images of containers by their ids, read once for a while. Its owner's locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

#include "daemon/enrich/container_files.h"

namespace rheo {

class ContainerNames {
 public:
  /// `root` as in read_container_label().
  explicit ContainerNames(std::string root = "") : root_(std::move(root)) {}

  /// Reads files where it has not done so for the last minute, or of a container that none knew for ten
  /// seconds.
  ContainerLabel find(const std::string& id, const std::string& runtime, std::uint64_t now_ns);

  /// Of the times that files were read.
  std::uint64_t named() const { return named_; }
  std::uint64_t unnamed() const { return unnamed_; }

 private:
  struct Known {
    ContainerLabel label;
    std::uint64_t until_ns = 0;
  };

  void make_room(std::uint64_t now_ns);

  const std::string root_;
  std::unordered_map<std::string, Known> known_;  // by runtime and id
  std::uint64_t named_ = 0;
  std::uint64_t unnamed_ = 0;
};

}  // namespace rheo
