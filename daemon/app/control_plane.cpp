// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/control_plane.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "daemon/app/counter_list.h"
#include "daemon/app/log_notes.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/base/utf8.h"
#include "daemon/model/byte_order.h"

namespace rheo {
namespace {

// In the order of log::Priority, from error (3) on.
constexpr std::string_view kLevels[] = {"error", "warning", "notice", "info", "debug"};
constexpr int kFirstLevel = static_cast<int>(log::Priority::error);

std::string level_name() { return std::string(kLevels[static_cast<int>(log::threshold()) - kFirstLevel]); }

std::vector<InterfaceStatus> interfaces(const LinkTable& links, const AddressTable& addresses,
                                        const std::vector<LinkFollower::Followed>& followed) {
  std::vector<InterfaceStatus> found;
  const std::uint64_t now_ns = monotonic_ns();
  for (const LinkFollower::Followed& entry : followed) {
    const auto link = links.find(entry.link);
    if (link == links.end() || link->second.gone) continue;
    InterfaceStatus status{.index = entry.link,
                           // The kernel's names are bytes, the bus takes UTF-8 only.
                           .name = valid_utf8(full_name(link->second)),
                           .netns = valid_utf8(link->second.netns_name),
                           .kind = link->second.kind,
                           .mac = link->second.mac,
                           .mtu = link->second.mtu,
                           .addresses = {},
                           .failure = valid_utf8(entry.failure)};
    if (const auto found_addresses = addresses.find(entry.link); found_addresses != addresses.end())
      status.addresses = found_addresses->second;
    if (!status.metered())
      status.next_attempt_at_ns = realtime_ns() + std::max(entry.next_attempt_ns, now_ns) - now_ns;
    found.push_back(std::move(status));
  }
  return found;
}

}  // namespace

Result<std::unique_ptr<ControlPlane>> ControlPlane::start(sd_event* loop, SteeredParts parts) {
  auto mailbox = Mailbox::open(loop);
  if (!mailbox) return forward(std::move(mailbox));
  return std::make_unique<ControlPlane>(loop, *std::move(mailbox), std::move(parts));
}

ControlPlane::ControlPlane(sd_event* loop, std::shared_ptr<Mailbox> mailbox, SteeredParts parts)
    : parts_(std::move(parts)), status_(parts_.fixed), mailbox_(std::move(mailbox)), bus_(*this, loop) {}

ControlPlane::~ControlPlane() { mailbox_->close(); }

void ControlPlane::tick(Look look) {
  status_.active_flows = look.counters.table.active_flows;
  // Once for all who ask until the next tick.
  status_.statistics.clear();
  for (const NamedCounter& counter : list_counters(look.counters))
    status_.statistics.emplace(counter.name, counter.value);
  status_.log_level = level_name();
  look_at_interfaces();
  status_.exporters = parts_.lanes.status();
  status_.losses = std::move(look.losses);
  tick_bus(look.events);
}

void ControlPlane::look_at_interfaces() {
  if (const Status read = parts_.addresses.read(); !read && !std::exchange(told_addresses_, true))
    log::error("{}; the interfaces' addresses on the bus may be old, asking again", read.error().what);
  status_.interfaces =
      interfaces(*parts_.links.get(), parts_.addresses.table(), parts_.interfaces.followed());
}

void ControlPlane::say_stopping() {
  status_.state = "stopping";
  tick_bus({});
}

void ControlPlane::tick_bus(const std::vector<LossEvent>& events) {
  if (const auto notice = bus_.tick(events))
    log::write(notice->works ? log::Priority::info : log::Priority::notice,
               notice->works ? log::kBusJoined : log::kBusLost, notice->text);
}

std::vector<ListeningPort> ControlPlane::listening_ports() const {
  std::vector<ListeningPort> ports;
  for (const SocketAddress& socket : parts_.listeners.get()->sockets)
    ports.push_back({.protocol = socket.protocol, .address = socket.address, .port_be = socket.port_be});
  std::ranges::sort(ports, {}, [](const ListeningPort& port) {
    return std::tuple(port.protocol, host_order(port.port_be), port.address);
  });
  return ports;
}

Result<UniqueFd> ControlPlane::flow_table() const {
  // A new open file: the one that we have is writable.
  const std::string path = "/proc/self/fd/" + std::to_string(parts_.flow_table_fd);
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return errno_error("open the flow table for reading");
  return file;
}

Status ControlPlane::set_log_level(std::string_view level) {
  const auto* const found = std::ranges::find(kLevels, level);
  if (found == std::end(kLevels)) return failure("level: not error, warning, notice, info or debug");
  log::set_threshold(static_cast<log::Priority>(kFirstLevel + (found - std::begin(kLevels))));
  status_.log_level = level_name();
  return Done{};
}

Status ControlPlane::reload() {
  Status reloaded = parts_.reload();
  status_.log_level = level_name();
  look_again();
  return reloaded;
}

Status ControlPlane::enable_exporter(const std::string& name, bool enabled, bool persist) {
  Status switched = parts_.enable_exporter(name, enabled, persist);
  look_again();
  return switched;
}

/// Not now: a call of a client is being served, and what fails on its connection would take it away.
void ControlPlane::look_again() {
  mailbox_->post([this] {
    status_.exporters = parts_.lanes.status();
    tick_bus({});
  });
}

Status ControlPlane::flush_exporter(const std::string& name) { return parts_.lanes.flush(name); }

/// Not at once: a call of a client is being served, and what fails on its connection would take it away.
void ControlPlane::attach_interface(const std::string& name, bool persist, Changed done) {
  change_interfaces([this, name, persist] { return parts_.attach_interface(name, persist); },
                    std::move(done));
}

void ControlPlane::detach_interface(const std::string& name, bool persist, Changed done) {
  change_interfaces([this, name, persist] { return parts_.detach_interface(name, persist); },
                    std::move(done));
}

void ControlPlane::change_interfaces(std::function<Status()> change, Changed done) {
  mailbox_->post([this, change = std::move(change), done = std::move(done)] {
    const Status changed = change();
    look_at_interfaces();
    tick_bus({});
    done(changed);
  });
}

std::vector<Orphan> ControlPlane::orphans() const { return parts_.datapath.orphans(); }

std::vector<Orphan> ControlPlane::clean_orphans() {
  std::vector<Orphan> removed = orphans();
  log_notes(parts_.datapath.remove_orphans());
  const std::vector<Orphan> left = orphans();
  std::erase_if(removed, [&](const Orphan& orphan) {
    return std::ranges::find(left, orphan.place, &Orphan::place) != left.end();
  });
  if (!removed.empty()) log::notice("{} orphans removed", removed.size());
  return removed;
}

void ControlPlane::drain(Drained done) {
  auto answered = std::make_shared<Drained>(std::move(done));
  const std::weak_ptr mailbox = mailbox_;
  const Status asked = parts_.collector.ask(
      {.flows = std::nullopt,
       .done = [answered, mailbox](const Status& drained, const std::vector<FlowRecord>&) {
         if (const auto main = mailbox.lock()) main->post([answered, drained] { (*answered)(drained); });
       }});
  if (!asked) (*answered)(asked);
}

void ControlPlane::find_flows(std::string_view filter, FlowOrder order, std::uint32_t limit, Found done) {
  const auto links = parts_.links.get();
  const auto classes = parts_.classes.get();
  auto parsed = FlowFilter::parse(filter, *links, {.classes = classes, .owners = parts_.owners});
  if (!parsed) return done(forward(std::move(parsed)));
  auto answered = std::make_shared<Found>(std::move(done));
  const std::weak_ptr mailbox = mailbox_;
  const Status asked = parts_.collector.ask(
      {.flows = FlowQuery{.filter = *std::move(parsed), .order = order, .limit = limit},
       .done = [answered, mailbox, links, classes, owners = parts_.owners](const Status&,
                                                                           std::vector<FlowRecord> flows) {
         const auto main = mailbox.lock();
         if (!main) return;
         main->post([answered, links, classes, owners, found = std::move(flows)]() mutable {
           (*answered)(
               FoundFlows{.flows = std::move(found), .links = *links, .classes = classes, .owners = owners});
         });
       }});
  if (!asked) (*answered)(std::unexpected(asked.error()));
}

}  // namespace rheo
