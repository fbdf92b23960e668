// SPDX-License-Identifier: Apache-2.0
// OwnerDirectory: what is known of the owners of sockets, by their numbers. Reads what the kernel side noted,
// and the rest once for each owner. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "daemon/enrich/user_names.h"
#include "daemon/model/counters.h"
#include "daemon/model/owner.h"

namespace rheo {

class OwnerDirectory final : public Owners {
 public:
  /// Keeps at most `most` owners, those asked for last.
  explicit OwnerDirectory(std::shared_ptr<const OwnerNotes> notes, std::size_t most = 65'536)
      : notes_(std::move(notes)), most_(most) {}

  std::shared_ptr<const Owner> find(std::uint32_t number) override;
  OwnerCounters counters() const;

 private:
  struct Known {
    std::shared_ptr<const Owner> owner;
    std::uint64_t asked = 0;
  };

  std::shared_ptr<const Owner> resolve(const SocketOwner& noted);
  void make_room();

  const std::shared_ptr<const OwnerNotes> notes_;
  const std::size_t most_;
  mutable std::mutex mutex_;
  UserNames users_;
  std::unordered_map<std::uint32_t, Known> known_;
  std::uint64_t asked_ = 0;
  OwnerCounters counters_;
};

}  // namespace rheo
