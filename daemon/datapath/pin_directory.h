// SPDX-License-Identifier: Apache-2.0
// PinDirectory: the folder v<schema> of a bpffs where maps and links outlive the process. The file system
// itself is mounted by others. The main thread's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/datapath/options.h"

namespace rheo {

class PinDirectory {
 public:
  /// Looks at `path`, creates nothing. Where nothing can be pinned, usable() is false and a note says why and
  /// what is lost by it.
  static PinDirectory open(const std::string& path, DatapathNotes& notes);

  bool usable() const { return usable_; }
  const std::string& path() const { return versioned_; }  // for messages

  /// Makes the folders that are missing, for us alone. On failure it is not usable any more, with a note.
  void create(DatapathNotes& notes);

  bool has(const std::string& name) const;
  Result<UniqueFd> get(const std::string& name) const;

  /// Replaces a pin of that name.
  Status pin(const std::string& name, int fd) const;

  /// Does nothing when there is none. True: it is gone.
  bool unpin(const std::string& name) const;

  /// An empty folder is a mark that survives the process. True: it is new.
  bool mark(const std::string& name) const;
  void unmark(const std::string& name) const;

  std::vector<std::string> names_beginning_with(std::string_view prefix) const;

  /// Folders of other schemas, each as if it were ours.
  std::vector<PinDirectory> other_schemas() const;

  /// Removes the versioned folder if it is empty. True: it is gone.
  bool remove_folder() const;

  /// remove_folder(), and the pin directory if we made it and it is empty.
  void remove();

 private:
  void give_up(std::string_view why, DatapathNotes& notes);
  std::string path_of(const std::string& name) const { return versioned_ + "/" + name; }

  std::string base_;
  std::string versioned_;
  bool usable_ = false;
  bool made_base_ = false;
};

}  // namespace rheo
