// SPDX-License-Identifier: Apache-2.0
// NetnsFollower: which network namespaces are to be metered beside our own, as their names come and go in
// /run/netns. Main thread. What is metered there is LinkFollower's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/base/netns.h"
#include "daemon/base/result.h"
#include "netlink/netns_names.h"

namespace rheo {

class NetnsFollower {
 public:
  struct Come {
    std::string name;
    std::shared_ptr<const Netns> netns;
  };
  struct Changes {
    std::vector<std::string> gone;  // a name that stands for another namespace now is in both
    std::vector<Come> come;
  };

  /// These names are wanted from now on, "auto" means all; what changes by it the next look() says.
  Status follow(std::vector<std::string> wanted);

  int fd() const { return names_ ? names_->fd() : -1; }  // readable when look() has something to do

  /// What has changed since the last look. Logs each name that cannot be had, once.
  Changes look();

  /// What look() said had come cannot be metered: it is said again in a while.
  void try_again(const std::string& name, const std::string& reason);

  /// We may enter none: as long as other names are not asked for, nothing is wanted.
  void forbid();

  std::uint64_t next_look_ns() const { return next_ns_; }  // CLOCK_MONOTONIC; 0: when fd() says so

 private:
  bool is_due();
  NetnsNames::Names wanted_now();
  void note_missing(const NetnsNames::Names& now);
  void complain();

  std::vector<std::string> wanted_;
  std::optional<NetnsNames> names_;
  std::map<std::string, std::shared_ptr<const Netns>> known_;  // that have come; keeps their inodes theirs
  std::map<std::string, std::string> missing_;                 // wanted, and not there: the name and why
  std::map<std::string, std::string> refused_;  // of those that came to be tried again, as last logged
  std::set<std::string> complaints_;            // that were logged
  std::uint64_t own_inode_ = 0;
  bool look_anyway_ = false;
  bool forbidden_ = false;
  std::uint64_t delay_ns_ = 0;
  std::uint64_t next_ns_ = 0;
};

}  // namespace rheo
