// SPDX-License-Identifier: Apache-2.0
// LinkFollower: keeps what is metered equal to what the settings want, as network namespaces and the links in
// them come, change and go. Main thread; its loop calls work() whenever fd() is readable.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "daemon/app/netns_follower.h"
#include "daemon/base/result.h"
#include "daemon/base/snapshot.h"
#include "daemon/base/unique_fd.h"
#include "daemon/config/interfaces.h"
#include "daemon/datapath/datapath.h"
#include "daemon/model/counters.h"
#include "daemon/model/link.h"
#include "netlink/link_watcher.h"

namespace rheo {

class LinkFollower {
 public:
  /// Finds the links and publishes them in `links`, which outlives this; with them those that are gone since
  /// at most five minutes, since their flows are still being reported. Attaches nothing yet, and looks into
  /// no namespace but our own.
  static Result<std::unique_ptr<LinkFollower>> open(const InterfacesConfig& config,
                                                    Snapshot<LinkTable>& links);

  /// Attaches what is wanted now. One that the kernel refuses is tried again later, with a line in the log.
  /// Fails only where we lack a right, which no later attempt mends. `datapath` outlives this, or stop().
  Status start(Datapath& datapath);

  /// An epoll descriptor: readable when links have changed or an attempt is due.
  int fd() const { return epoll_.get(); }

  /// Takes in changes, attaches and detaches for at most some 200 ms; what is left makes fd() readable again.
  void work();

  /// Other interfaces are wanted from now on: attaches and detaches the difference, as work() does.
  void follow(InterfaceChooser chooser, const std::vector<std::string>& netns);

  /// Attaches nothing any more.
  void stop() { datapath_ = nullptr; }

  /// What the settings say of links of this name ("eth0", "blue/eth0") does not count until the next start:
  /// they are metered, or not. no_such_file_or_directory: there is none; already_connected, not_connected: it
  /// is so already; io_error: the kernel refuses. With an error nothing changes.
  Status attach_by_name(const std::string& name);
  Status detach_by_name(const std::string& name);

  /// A link that is wanted.
  struct Followed {
    std::uint32_t link = 0;             // its number in the published table
    std::string failure = {};           // why it is not metered; "": it is
    std::uint64_t next_attempt_ns = 0;  // CLOCK_MONOTONIC, of one that is not
  };
  std::vector<Followed> followed() const;  // in the order of their numbers

  std::vector<std::string> metered() const;  // names, in the order of their numbers
  LinkCounters counters() const;

 private:
  /// A network namespace whose links are watched.
  struct Space {
    std::string name;  // "" for our own
    LinkWatcher watcher;
  };
  struct Attached {
    LinkTarget target;
    bool sure = true;  // false: the index may stand for another link
  };
  struct Refused {
    std::string reason;
    std::uint64_t delay_ns = 0;
    std::uint64_t next_ns = 0;  // CLOCK_MONOTONIC
  };
  struct Gone {
    Link link;
    std::uint64_t at_ns = 0;
  };

  LinkFollower(InterfaceChooser chooser, LinkWatcher watcher, Snapshot<LinkTable>& links);
  Status open_epoll();
  Status wait_for(int fd);
  void look_at_namespaces();
  Status enter(const NetnsFollower::Come& come);
  void leave(const std::string& name);
  void read_changes();
  Result<bool> read_changes_of(std::uint8_t number, Space& space);
  void forget(LinkId id);
  void choose();
  void choose_by_name(const std::string& name, bool attach);
  Result<LinkId> find(const std::string& name) const;
  LinkTable current() const;
  LinkTarget target_of(LinkId id, InterfaceChooser::Wanted directions) const;
  const Link& link_of(LinkId id) const { return spaces_.at(id.netns).watcher.links().at(id.ifindex); }
  void remember_gone(std::uint8_t number, const Space& space, const LinkTable& before, const LinkTable& now);
  void publish();
  bool act(std::uint64_t until_ns);
  void detach_others(std::uint64_t until_ns);
  void attach(const LinkTarget& target);
  void attached(const LinkTarget& target);
  void refused(const LinkTarget& target, const Error& error);
  void report_changes();
  void arm(bool more);

  InterfaceChooser chooser_;
  NetnsFollower netns_;
  std::map<std::uint8_t, Space> spaces_;  // by number
  Snapshot<LinkTable>& links_;
  Datapath* datapath_ = nullptr;
  UniqueFd timer_;
  UniqueFd epoll_;

  std::map<std::string, bool> by_name_;  // true: metered, whatever the settings say; false: not
  std::map<LinkId, LinkTarget> wanted_;
  std::map<LinkId, Attached> attached_;
  std::map<LinkId, Refused> refused_;
  std::map<std::uint32_t, Gone> gone_;    // by number in the published table
  std::set<std::string> complaints_;      // that were logged
  std::vector<std::string> now_metered_;  // since the last line in the log
  std::vector<std::string> no_longer_;
  std::uint64_t overruns_before_ = 0;  // of watchers that are closed
  bool watch_failing_ = false;
  bool waits_for_names_ = false;
  bool forbidden_ = false;
  LinkCounters counters_;
};

}  // namespace rheo
