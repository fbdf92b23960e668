// SPDX-License-Identifier: Apache-2.0
// ClassDirectory: keeps the published classes of addresses equal to the settings, the files that they name,
// and the host's own addresses and resolvers. Main thread; big files are read and sorted on a thread of their
// own, which ends by itself.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/snapshot.h"
#include "daemon/enrich/class_loader.h"
#include "daemon/enrich/host_classes.h"
#include "daemon/enrich/resolvers.h"
#include "daemon/model/address_classes.h"

namespace rheo {

class ClassDirectory {
 public:
  /// Reads what the settings name before it returns; look() publishes it. `published` outlives this.
  ClassDirectory(Snapshot<AddressClasses>& published, ClassSettings settings, ResolverFiles resolvers = {});

  /// These settings hold from now on, as soon as a look() finds them read.
  void follow(ClassSettings settings);

  /// Once a second: takes in what has changed. What was wrong with files, a sentence each.
  std::vector<std::string> look(const LinkTable& links, const AddressTable& addresses);

 private:
  void start_loading();
  bool take_loaded(std::vector<std::string>& complaints);
  bool look_at_host(const LinkTable& links, const AddressTable& addresses);
  bool files_changed() const;

  Snapshot<AddressClasses>& published_;
  ClassSettings settings_;
  Resolvers resolvers_;
  LoadedClasses loaded_;
  bool told_ = false;      // the complaints of `loaded_`, and the classes
  bool outdated_ = false;  // other settings than those of `loaded_` hold
  std::vector<PrefixTrie::Entry> host_;
  std::future<LoadedClasses> loading_;  // last: its end waits for the thread
};

}  // namespace rheo
