// SPDX-License-Identifier: Apache-2.0
// NetnsNames: which network namespaces have a name (ip-netns(8)), as names come and go. One thread's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "daemon/base/netns.h"
#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"

namespace rheo {

class NetnsNames {
 public:
  static Result<NetnsNames> watch(std::string directory = kNetnsDirectory);

  int fd() const { return events_.get(); }  // readable when the directory, or its absence, may have changed

  /// Takes in what has changed; true: something may have.
  bool read();

  /// What a name stands for. Null where its file is no namespace, or not yet: the file is made first, and the
  /// namespace is mounted on it without an event, so look again a little later.
  using Names = std::map<std::string, std::shared_ptr<const Netns>>;
  Names look() const;

 private:
  NetnsNames(UniqueFd events, std::string directory)
      : events_(std::move(events)), directory_(std::move(directory)) {}
  void follow();

  UniqueFd events_;
  std::string directory_;
  int watch_ = -1;   // of the directory
  int parent_ = -1;  // of the folder that it is to be made in, while there is none
};

}  // namespace rheo
