// SPDX-License-Identifier: Apache-2.0
// Attachments: which interfaces are metered, by which kind of hook, and what an earlier rheod left attached.
// The main thread's.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/base/unique_fd.h"
#include "daemon/datapath/namespaces.h"
#include "daemon/datapath/options.h"
#include "daemon/datapath/pin_directory.h"
#include "daemon/datapath/pin_names.h"
#include "daemon/datapath/programs.h"
#include "daemon/model/orphan.h"

namespace rheo {

/// Where programs go; the hook is never `automatic`.
struct AttachOptions {
  Hook hook = Hook::tcx;
  TcxOrder tcx_order = TcxOrder::first;
  std::uint16_t tc_priority = 50;
};

class Attachments {
 public:
  /// Finds the pinned links; those whose interface is gone are removed. `pins` and `spaces` must outlive
  /// this.
  Attachments(const AttachOptions& options, const PinDirectory& pins, Namespaces& spaces);
  /// Detaches everything unless it is pinned.
  ~Attachments();
  Attachments(const Attachments&) = delete;
  Attachments& operator=(const Attachments&) = delete;

  /// The promises of Datapath.
  Status attach(const LinkTarget& target, const ProgramFds& programs);
  void detach_unwanted();
  void detach(LinkId link);
  void forget(LinkId link);
  void detach_all();

  /// Detaches from everything in the namespace.
  void detach_namespace(std::uint8_t number);

  /// That interface's clsact qdisc was made by a rheod of another schema.
  void adopt_qdisc(LinkId link) { qdiscs_.insert(link); }

  /// Links, filters and marks in the kernel that are not held here.
  std::vector<Orphan> orphans() const;

  /// Detaches and unpins links that are not held here, nor inherited.
  void drop_stale_links();

 private:
  using Links = std::map<Place, UniqueFd>;

  std::vector<Place> stale_links() const;
  std::vector<Orphan> orphaned_filters() const;
  bool holds_filters(LinkId link) const;
  std::string interface_of(const Place& place) const;
  void inherit_links();
  void inherit_qdiscs();

  // These are called in the namespace of the place or link.
  Status attach_here(const LinkTarget& target, const ProgramFds& programs);
  void detach_here(LinkId link);
  void forget_here(LinkId link);
  void drop_filters_not_ours_now(std::uint8_t netns);
  Status attach_link(const Place& place, int program_fd);
  Status attach_filter(const Place& place, int program_fd);
  Status need_qdisc(LinkId link);
  void detach_place(const Place& place);
  void drop_qdisc_if_unused(LinkId link);

  void drop(Links& links, const Place& place);
  void drop_without_entering(LinkId link);
  void note_order();

  const AttachOptions options_;
  const PinDirectory* pins_;
  Namespaces* spaces_;
  Links links_;
  Links inherited_;              // pinned by an earlier process, not yet taken over
  bool inherited_order_ = true;  // false: they are at the wrong end of the other programs
  std::set<Place> filters_;
  std::set<LinkId> qdiscs_;  // made by us, or by an earlier process of ours
};

}  // namespace rheo
