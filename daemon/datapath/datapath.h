// SPDX-License-Identifier: Apache-2.0
// Datapath: the BPF programs, their maps and where they are attached. With daemon/datapath's other files the
// only user of libbpf. Loading, attaching and detaching belong to the main thread; swapping, draining and
// release() to the collector's; the two touch different members, so they may overlap.
//
// What outlives the process, under <pin_directory>/v<schema>/: the maps flow_cache, generation0, generation1,
// evicted, counters, fragments; TCX links link_<ifindex>_<ingress|egress>, and an empty folder tcx_order_last
// if they were made behind other programs; empty folders qdisc_<ifindex>, each saying that we made that
// interface's clsact qdisc. In the network namespace of number N the last two end in _netns<N>, and an empty
// folder netns_<N>_<inode>_<hash of its name> says which that is. clsact filters outlive it by themselves.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/netns.h"
#include "daemon/base/result.h"
#include "daemon/datapath/options.h"
#include "daemon/model/counters.h"
#include "daemon/model/orphan.h"
#include "daemon/model/owner.h"
#include "daemon/model/row.h"

namespace rheo {

/// Gets up to 64 rows; releases each (Datapath::release) once it is merged, in the order given.
using MergeRows = std::function<void(std::span<const Row>)>;

class Datapath final : public RowOwner {
 public:
  /// The maps that an earlier rheod left pinned, if their geometry (rows, CPUs, ring size) is not what
  /// `options` ask for; else null. It has no programs: attach() fails. Drain it before load(), so that
  /// nothing is lost: detach_all(); twice {swap(); drain()}; consume_evicted(); remove_pins(). The last keeps
  /// the pinned counters, which load() goes on with.
  static Result<std::unique_ptr<Datapath>> open_outdated(const DatapathOptions& options);

  /// The pinned maps whatever their geometry, as open_outdated() has them; null where there are none.
  static Result<std::unique_ptr<Datapath>> open_pinned(const std::string& pin_directory);

  /// Creates the maps, or takes over pinned ones of the same geometry, and loads the programs for Ethernet.
  /// Attaches nothing. Programs that a killed rheod left attached keep counting into the same maps. With maps
  /// taken over, the idle generation is quiet on return and may hold rows: drain() it before the first
  /// swap(). Fails on outdated pins.
  static Result<std::unique_ptr<Datapath>> load(const DatapathOptions& options);

  /// Closes everything. Pinned maps and links, and clsact filters with pinned maps, stay and keep counting;
  /// what is not pinned is detached.
  ~Datapath() override;
  Datapath(const Datapath&) = delete;
  Datapath& operator=(const Datapath&) = delete;

  /// Meters the interface, by taking over what a killed rheod left attached there (atomically: no packet is
  /// missed or counted twice), or anew. The first link without a link layer has its programs loaded here, and
  /// so has the first of each link layer in a namespace, which takes as long as load(). On failure nothing of
  /// ours is attached to it.
  Status attach(const LinkTarget& target);

  /// The number of the namespace for LinkTarget and LinkId, and in its rows, until close_namespace(); where
  /// an earlier process has left something in it, the number that it had then.
  Result<std::uint8_t> open_namespace(const std::string& name, std::shared_ptr<const Netns> netns);

  /// Detaches from everything there and lets go of it.
  void close_namespace(std::uint8_t number);

  /// After the attach() of every interface that is wanted at start: detaches what a killed rheod left on
  /// others.
  void detach_unwanted();

  /// What rheo left in the kernel and this process does not use. Asks the kernel twice for each interface.
  std::vector<Orphan> orphans() const;

  /// detach_unwanted(), and everything else of orphans() that is certainly rheo's, also of other schemas.
  DatapathNotes remove_orphans();

  /// Detaches from one interface; one that is gone is fine.
  void detach(LinkId link);

  /// The interface of this number was deleted, or moved to another namespace: lets go of it there. Another
  /// may have its number now: of that nothing is touched but what is ours.
  void forget(LinkId link);

  /// Detaches from all interfaces, those of a killed rheod included. After one swap() more the maps are
  /// quiet.
  void detach_all();

  /// After detach_all() and the last drain: removes the pinned maps and the folders we made.
  void remove_pins();

  /// Makes the idle generation the active one; on return no program uses the other any more.
  /// Takes a grace period of RCU (some milliseconds).
  Status swap();

  /// Hands out every row of the idle generation that is not released yet.
  void drain(const MergeRows& merge);

  /// Hands out the rows evicted before the call in the order of their eviction, up to the first whose
  /// first_ns >= until_first_ns, or that is still being written, or that merge did not release.
  void consume_evicted(const MergeRows& merge, std::uint64_t until_first_ns = UINT64_MAX);

  void release(const RowPlace& place) override;
  /// Of the maps, pinned ones included; no other maps have it before the next boot.
  std::uint64_t identity() const override;

  /// Sums over the CPUs. Since the maps were made: pinned counters go on across restarts.
  DatapathCounters counters() const;

  /// For epoll: readable when the programs woke us because `evicted` is a quarter full. Use EPOLLET: with
  /// level triggering it is ready whenever the ring holds a row at all.
  int evicted_fd() const;

  /// Whose the sockets are that the rows name; null where nobody notes it.
  std::shared_ptr<const OwnerNotes> owners() const;

  bool pinned() const;
  Hook hook() const;  // never `automatic`
  const DatapathNotes& notes() const;

  struct State;  // in datapath.cpp
  explicit Datapath(std::unique_ptr<State> state);

 private:
  std::unique_ptr<State> state_;
};

}  // namespace rheo
