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
  /// Finds the pinned links; those whose interface is gone are removed. `pins` must outlive this.
  Attachments(const AttachOptions& options, const PinDirectory& pins);
  /// Detaches everything unless it is pinned.
  ~Attachments();
  Attachments(const Attachments&) = delete;
  Attachments& operator=(const Attachments&) = delete;

  /// The promises of Datapath.
  Status attach(const LinkTarget& target, const ProgramFds& programs);
  void detach_unwanted();
  void detach(std::uint32_t ifindex);
  void forget(std::uint32_t ifindex);
  void detach_all();

  /// That interface's clsact qdisc was made by a rheod of another schema.
  void adopt_qdisc(std::uint32_t ifindex) { qdiscs_.insert(ifindex); }

  /// Links, filters and marks in the kernel that are not held here.
  std::vector<Orphan> orphans() const;

  /// Detaches and unpins links that are not held here, nor inherited.
  void drop_stale_links();

 private:
  using Links = std::map<Place, UniqueFd>;

  std::vector<Place> stale_links() const;
  std::vector<Orphan> orphaned_filters() const;
  bool holds_filters(std::uint32_t ifindex) const;
  void inherit_links();
  void inherit_qdiscs();
  Status attach_link(const Place& place, int program_fd);
  Status attach_filter(const Place& place, int program_fd);
  Status need_qdisc(std::uint32_t ifindex);
  void detach_place(const Place& place);
  void drop(Links& links, const Place& place);
  void note_order();
  void drop_filters_not_ours_now();
  void drop_qdisc_if_unused(std::uint32_t ifindex);

  const AttachOptions options_;
  const PinDirectory* pins_;
  Links links_;
  Links inherited_;              // pinned by an earlier process, not yet taken over
  bool inherited_order_ = true;  // false: they are at the wrong end of the other programs
  std::set<Place> filters_;
  std::set<std::uint32_t> qdiscs_;  // made by us, or by an earlier process of ours
};

}  // namespace rheo
