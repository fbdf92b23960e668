// SPDX-License-Identifier: Apache-2.0
// LinkFollower: keeps what is metered equal to what the settings want, as links come, change and go. Main
// thread; its loop calls work() whenever fd() is readable.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

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
  /// at most five minutes, since their flows are still being reported. Attaches nothing yet.
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
  void follow(InterfaceChooser chooser);

  /// Attaches nothing any more.
  void stop() { datapath_ = nullptr; }

  /// What the settings say of links of this name does not count until the next start: they are metered, or
  /// not. no_such_file_or_directory: there is none; already_connected, not_connected: it is so already;
  /// io_error: the kernel refuses. With an error nothing changes.
  Status attach_by_name(const std::string& name);
  Status detach_by_name(const std::string& name);

  /// A link that is wanted.
  struct Followed {
    std::uint32_t ifindex = 0;
    std::string failure;                // why it is not metered; "": it is
    std::uint64_t next_attempt_ns = 0;  // CLOCK_MONOTONIC, of one that is not
  };
  std::vector<Followed> followed() const;  // in the order of their indexes

  std::vector<std::string> metered() const;  // names, in the order of their indexes
  LinkCounters counters() const;

 private:
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
  void read_changes();
  void forget(std::uint32_t ifindex);
  void choose();
  void choose_by_name(const std::string& name, bool attach);
  Result<std::uint32_t> index_of(const std::string& name) const;
  LinkTarget target_of(const Link& link, InterfaceChooser::Wanted directions) const;
  void remember_gone(const LinkTable& before);
  void publish();
  bool act(std::uint64_t until_ns);
  void detach_others(std::uint64_t until_ns);
  void attach(const LinkTarget& target);
  void attached(const LinkTarget& target);
  void refused(const LinkTarget& target, const Error& error);
  void report_changes();
  void arm(bool more);

  InterfaceChooser chooser_;
  LinkWatcher watcher_;
  Snapshot<LinkTable>& links_;
  Datapath* datapath_ = nullptr;
  UniqueFd timer_;
  UniqueFd epoll_;

  std::map<std::string, bool> by_name_;  // true: metered, whatever the settings say; false: not
  std::map<std::uint32_t, LinkTarget> wanted_;
  std::map<std::uint32_t, Attached> attached_;
  std::map<std::uint32_t, Refused> refused_;
  std::map<std::uint32_t, Gone> gone_;
  std::set<std::string> complaints_;      // that were logged
  std::vector<std::string> now_metered_;  // since the last line in the log
  std::vector<std::string> no_longer_;
  bool watch_failing_ = false;
  bool forbidden_ = false;
  LinkCounters counters_;
};

}  // namespace rheo
