// SPDX-License-Identifier: Apache-2.0
// OwnerDirectory: what is known of the owners of sockets, by their numbers. Reads what the kernel side noted,
// and the rest once for each owner. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "daemon/enrich/container_names.h"
#include "daemon/enrich/user_names.h"
#include "daemon/model/counters.h"
#include "daemon/model/owner.h"

namespace rheo {

struct OwnerOptions {
  std::size_t most = 65'536;  // owners that are kept, those asked for last
  bool container_names = false;
  bool command_lines = false;
  std::string root = "";  // before the paths of container runtimes' files, and /proc
};

class OwnerDirectory final : public Owners {
 public:
  explicit OwnerDirectory(std::shared_ptr<const OwnerNotes> notes, OwnerOptions options = {})
      : notes_(std::move(notes)), options_(std::move(options)), containers_(options_.root) {}

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
  const OwnerOptions options_;
  mutable std::mutex mutex_;
  UserNames users_;
  ContainerNames containers_;
  std::unordered_map<std::uint32_t, Known> known_;
  std::uint64_t asked_ = 0;
  OwnerCounters counters_;
};

}  // namespace rheo
