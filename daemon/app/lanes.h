// SPDX-License-Identifier: Apache-2.0
// Lanes: every configured exporter with its lane, as they come, change, are disabled and go. Main thread;
// never waits on the network, but in stop().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/app/exporter_spec.h"
#include "daemon/base/result.h"
#include "daemon/flow/outbox.h"
#include "daemon/model/counters.h"
#include "daemon/model/daemon_status.h"
#include "export/lane.h"

namespace rheo {

class Lanes {
 public:
  /// Opens a cursor and starts a lane for each exporter that is enabled; forgets the lanes of others, with a
  /// line in the log where they had records left. Both references outlive the lanes.
  static Result<std::unique_ptr<Lanes>> start(const std::vector<ExporterSpec>& specs, Outbox& outbox,
                                              const ExporterSources& sources);

  Lanes(Outbox& outbox, const ExporterSources& sources) : outbox_(outbox), sources_(sources) {}

  /// These are wanted from now on. Lanes of specs that are the same are not touched. One that changed ends
  /// after the write under way, and another goes on at its place in the outbox. One that is not wanted, or
  /// disabled, has until the deadline (CLOCK_MONOTONIC) to empty what is left; the rest is lost, counted.
  /// Does not wait: what is left to do is done by work().
  void follow(const std::vector<ExporterSpec>& specs, std::uint64_t deadline_ns);

  /// Goes on with what follow() began; true while there is something left to wait for.
  bool work();

  std::vector<LaneCounters> counters() const;  // also of exporters that are gone
  void reopen();

  /// Each exporter with its counters.
  std::vector<ExporterStatus> status() const;

  /// Lane::flush of the exporter of that name; std::errc::no_such_file_or_directory where there is none.
  Status flush(const std::string& name);

  /// Every lane empties what is left, until the deadline (CLOCK_MONOTONIC) at the latest; waits for them.
  /// Returns their last counters.
  std::vector<LaneCounters> stop(std::uint64_t deadline_ns);

 private:
  struct Seat {
    ExporterSpec spec;
    bool wanted = true;             // false: not configured any more
    bool ending = false;            // the lane was asked to end
    std::uint64_t flush_by_ns = 0;  // CLOCK_MONOTONIC, of one that is not active
    std::string output;             // of the lane
    std::string complaint;          // why there is no lane, as logged
    LaneCounters past;              // of this name's lanes before
    std::unique_ptr<Lane> lane;     // none: disabled, gone, or not yet
    bool active() const { return wanted && spec.enabled(); }
  };

  void want(const ExporterSpec& spec, std::uint64_t deadline_ns);
  void leave(Seat& seat, std::uint64_t deadline_ns);
  void finish(Seat& seat);
  void empty(Seat& seat, std::uint64_t deadline_ns);
  void retire_others();
  bool is_taken(const std::string& output) const;
  Status start_lane(Seat& seat);
  void start_or_complain(Seat& seat);
  LaneCounters counters_of(const Seat& seat) const;

  Outbox& outbox_;
  const ExporterSources sources_;
  std::map<std::string, Seat> seats_;  // by the exporter's name; those that are gone keep their counters
};

}  // namespace rheo
