// SPDX-License-Identifier: Apache-2.0
// OwnerPrograms: the programs that note whose a socket is (bpf/owner.bpf.c), attached to the root of the
// cgroup tree, and what they noted. Each program is one that a kernel may not have: the others work without
// it. The main thread's, but for read().
//
// What outlives the process, beside the datapath's pins: the maps owners, owner_numbers, owner_sequence,
// socket_owners and recent_owners, and the links owner_link_<program>, so that sockets made while no rheod
// runs have an owner.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/datapath/mapping.h"
#include "daemon/datapath/options.h"
#include "daemon/datapath/pin_directory.h"
#include "daemon/model/owner.h"

namespace rheo {

class OwnerPrograms final : public OwnerNotes {
 public:
  /// Loads and attaches what the kernel has, taking over what an earlier rheod left, and notes the owners of
  /// the sockets that there are. Notes say what is missing and what is lost by it. Null where nothing works.
  static std::shared_ptr<OwnerPrograms> start(const PinDirectory& pins, DatapathNotes& notes);

  std::optional<SocketOwner> read(std::uint32_t number) const override;

  int socket_owners_fd() const { return socket_owners_.get(); }
  int recent_owners_fd() const { return recent_owners_.get(); }

  /// Unpins maps and links.
  static void remove_pins(const PinDirectory& pins);

 private:
  class Loader;

  UniqueFd socket_owners_;
  UniqueFd recent_owners_;
  Mapping slots_;
  std::vector<UniqueFd> links_;
};

}  // namespace rheo
