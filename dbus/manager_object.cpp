// SPDX-License-Identifier: Apache-2.0
#include "dbus/manager_object.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/utf8.h"
#include "daemon/model/byte_order.h"
#include "daemon/model/names.h"
#include "dbus/item_objects.h"
#include "dbus/rights.h"

namespace rheo {
namespace {

// The one message that they make up takes the main thread a few hundredths of a second, in which it serves
// nobody.
constexpr std::uint32_t kMostFlows = 1'000;
constexpr std::size_t kFlowsAtOnce = 100;
constexpr std::size_t kMostOwners = 250;  // told at once, as others wait

std::optional<FlowOrder> order_of(const std::string& word) {
  if (word == "bytes") return FlowOrder::bytes;
  if (word == "packets") return FlowOrder::packets;
  if (word == "start") return FlowOrder::start;
  if (word == "end") return FlowOrder::end;
  return std::nullopt;
}

/// In a text, since the bus library reads an array's elements one by one: an array as long as a message may
/// be would keep everybody waiting for a second, whoever sends it.
Result<std::vector<std::uint32_t>> numbers_of(std::string_view text) {
  std::vector<std::uint32_t> numbers;
  while (!text.empty()) {
    std::uint32_t number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (fault != std::errc() || (!text.empty() && text[0] != ' ') || numbers.size() == kMostOwners)
      return failure("numbers: not at most " + std::to_string(kMostOwners) +
                     " numbers with a blank between them");
    numbers.push_back(number);
    if (!text.empty()) text.remove_prefix(1);
  }
  return numbers;
}

/// Paths and names of interfaces are bytes, the bus takes UTF-8 only.
std::vector<sdbus::Struct<std::string, std::string, std::string>> rows_of(
    const std::vector<Orphan>& orphans) {
  std::vector<sdbus::Struct<std::string, std::string, std::string>> rows;
  for (const Orphan& orphan : orphans)
    rows.emplace_back(std::make_tuple(orphan.kind, valid_utf8(orphan.place), valid_utf8(orphan.reason)));
  return rows;
}

/// An answer to ListFlows on its way: dictionaries are made some at a time, and others served in between.
struct FlowsAnswer {
  Control& control;
  std::weak_ptr<Replies> waiting;
  Replies::Later<sdbus::Result<std::vector<FlowDictionary>>> later;
  FoundFlows found;
  std::vector<FlowDictionary> told = {};
};

void go_on(const std::shared_ptr<FlowsAnswer>& answer) {
  const auto replies = answer->waiting.lock();
  if (!replies) return;
  const std::vector<FlowRecord>& flows = answer->found.flows;
  const std::size_t end = std::min(flows.size(), answer->told.size() + kFlowsAtOnce);
  while (answer->told.size() < end)
    answer->told.push_back(flow_dictionary(flows[answer->told.size()], answer->found.links,
                                           *answer->found.classes, answer->found.owners));
  if (end == flows.size()) return replies->answer(answer->later, answer->told);
  answer->control.soon([answer] { go_on(answer); });
}

}  // namespace

ManagerObject::ManagerObject(sdbus::IConnection& connection, Control& control, Authority& authority)
    : AdaptorInterfaces(connection, sdbus::ObjectPath(kRootPath)), control_(control), authority_(authority) {
  registerAdaptor();
}

ManagerObject::~ManagerObject() { unregisterAdaptor(); }

void ManagerObject::emit_changed(const std::vector<std::string>& properties) {
  getObject().emitPropertiesChangedSignal(bus::InterfaceName(Manager_adaptor::INTERFACE_NAME),
                                          bus::member_names(properties));
}

template <class Allowed, class... Values>
void ManagerObject::guarded(const char* member, sdbus::Result<Values...>&& result, Allowed allowed) {
  const std::string sender = bus::sender(getObject());
  const auto action = action_of(member);
  if (!action) throw bus_error({std::make_error_code(std::errc::permission_denied), "nobody may call this"});
  if (!replies_->has_room(sender))
    throw bus_error({std::make_error_code(std::errc::device_or_resource_busy),
                     "too many calls are waiting for an answer, try again later"});
  const auto later = replies_->keep(sender, std::move(result));
  if (action->empty()) return allowed(later);
  authority_.check(sender, *action, [this, later, allowed = std::move(allowed)](const Status& decided) {
    if (decided)
      allowed(later);
    else
      replies_->refuse(later, decided.error());
  });
}

/// Also where the connection, and with it the object, has gone meanwhile.
Control::Changed ManagerObject::finish_later(const Later<>& later) {
  return [later, waiting = std::weak_ptr(replies_)](const Status& status) {
    const auto replies = waiting.lock();
    if (!replies) return;
    if (status)
      replies->answer(later);
    else
      replies->refuse(later, status.error());
  };
}

void ManagerObject::finish(const Later<>& later, const Status& status) {
  if (status)
    replies_->answer(later);
  else
    replies_->refuse(later, status.error());
}

std::vector<sdbus::Struct<std::uint32_t, std::string, sdbus::ObjectPath>> ManagerObject::ListInterfaces() {
  std::vector<sdbus::Struct<std::uint32_t, std::string, sdbus::ObjectPath>> listed;
  for (const InterfaceStatus& status : control_.status().interfaces)
    listed.emplace_back(std::make_tuple(status.index, status.name, interface_path(status.index)));
  return listed;
}

std::vector<sdbus::Struct<std::string, std::string, sdbus::ObjectPath>> ManagerObject::ListExporters() {
  std::vector<sdbus::Struct<std::string, std::string, sdbus::ObjectPath>> listed;
  for (const ExporterStatus& status : control_.status().exporters)
    listed.emplace_back(std::make_tuple(status.name, exporter_state(status), exporter_path(status.name)));
  return listed;
}

void ManagerObject::GetStatistics(sdbus::Result<std::map<std::string, std::uint64_t>>&& result) {
  // What a thousand clients may ask for at a time: encoded from the one map, without a copy.
  result.returnResults(control_.status().statistics);
}

std::vector<sdbus::Struct<std::string, std::uint64_t, std::uint64_t, bool>> ManagerObject::GetLosses() {
  std::vector<sdbus::Struct<std::string, std::uint64_t, std::uint64_t, bool>> listed;
  for (const LossStatus& loss : control_.status().losses)
    listed.emplace_back(std::make_tuple(loss.name, loss.count.packets, loss.count.bytes, loss.losing));
  return listed;
}

void ManagerObject::ListListeningPorts(sdbus::Result<std::vector<Port>>&& result) {
  guarded("ListListeningPorts", std::move(result), [this](const Later<std::vector<Port>>& later) {
    std::vector<Port> ports;
    for (const ListeningPort& port : control_.listening_ports())
      ports.emplace_back(std::make_tuple(protocol_name(port.protocol),
                                         address_text(port.address, !is_mapped(port.address)),
                                         host_order(port.port_be)));
    replies_->answer(later, ports);
  });
}

void ManagerObject::ListFlows(sdbus::Result<std::vector<FlowDictionary>>&& result, std::string filter,
                              std::uint32_t limit, std::string sort) {
  const auto find = [this, filter = std::move(filter), limit,
                     sort = std::move(sort)](const Later<std::vector<FlowDictionary>>& later) {
    const auto order = order_of(sort);
    if (!order) return replies_->refuse(later, failure("sort: not bytes, packets, start or end").error());
    if (limit == 0 || limit > kMostFlows)
      return replies_->refuse(later, failure("limit " + std::to_string(limit) + ": not 1 to 1000").error());
    control_.find_flows(
        filter, *order, limit,
        [&control = control_, later, waiting = std::weak_ptr(replies_)](Result<FoundFlows> found) {
          const auto replies = waiting.lock();
          if (!replies) return;
          if (!found) return replies->refuse(later, found.error());
          go_on(std::make_shared<FlowsAnswer>(control, waiting, later, *std::move(found)));
        });
  };
  guarded("ListFlows", std::move(result), find);
}

void ManagerObject::GetFlowTable(sdbus::Result<sdbus::UnixFd>&& result) {
  guarded("GetFlowTable", std::move(result), [this](const Later<sdbus::UnixFd>& later) {
    auto file = control_.flow_table();
    if (!file) return replies_->refuse(later, file.error());
    replies_->answer(later, sdbus::UnixFd(file->release(), sdbus::adopt_fd));
  });
}

void ManagerObject::ListOwners(sdbus::Result<std::map<std::uint32_t, FlowDictionary>>&& result,
                               std::string numbers) {
  using Told = std::map<std::uint32_t, FlowDictionary>;
  const auto list = [this, numbers = std::move(numbers)](const Later<Told>& later) {
    const auto asked = numbers_of(numbers);
    if (!asked) return replies_->refuse(later, asked.error());
    Told told;
    Owners* const owners = control_.owners();
    for (const std::uint32_t number : *asked) {
      const auto owner = owners == nullptr ? nullptr : owners->find(number);
      if (owner != nullptr) told.emplace(number, owner_dictionary(*owner));
    }
    replies_->answer(later, told);
  };
  guarded("ListOwners", std::move(result), list);
}

void ManagerObject::SetLogLevel(sdbus::Result<>&& result, std::string level) {
  guarded("SetLogLevel", std::move(result), [this, level = std::move(level)](const Later<>& later) {
    const Status set = control_.set_log_level(level);
    finish(later, set);
    if (set) emit_changed({"LogLevel"});
  });
}

void ManagerObject::EnableExporter(sdbus::Result<>&& result, std::string name, bool persist) {
  guarded("EnableExporter", std::move(result), [this, name = std::move(name), persist](const Later<>& later) {
    finish(later, control_.enable_exporter(name, true, persist));
  });
}

void ManagerObject::DisableExporter(sdbus::Result<>&& result, std::string name, bool persist) {
  guarded("DisableExporter", std::move(result),
          [this, name = std::move(name), persist](const Later<>& later) {
            finish(later, control_.enable_exporter(name, false, persist));
          });
}

void ManagerObject::FlushExporter(sdbus::Result<>&& result, std::string name) {
  guarded("FlushExporter", std::move(result), [this, name = std::move(name)](const Later<>& later) {
    finish(later, control_.flush_exporter(name));
  });
}

void ManagerObject::AttachInterface(sdbus::Result<>&& result, std::string name, bool persist) {
  guarded("AttachInterface", std::move(result),
          [this, name = std::move(name), persist](const Later<>& later) {
            control_.attach_interface(name, persist, finish_later(later));
          });
}

void ManagerObject::DetachInterface(sdbus::Result<>&& result, std::string name, bool persist) {
  guarded("DetachInterface", std::move(result),
          [this, name = std::move(name), persist](const Later<>& later) {
            control_.detach_interface(name, persist, finish_later(later));
          });
}

void ManagerObject::ListOrphans(sdbus::Result<std::vector<OrphanRow>>&& result) {
  guarded("ListOrphans", std::move(result), [this](const Later<std::vector<OrphanRow>>& later) {
    replies_->answer(later, rows_of(control_.orphans()));
  });
}

void ManagerObject::CleanOrphans(sdbus::Result<std::vector<OrphanRow>>&& result) {
  guarded("CleanOrphans", std::move(result), [this](const Later<std::vector<OrphanRow>>& later) {
    replies_->answer(later, rows_of(control_.clean_orphans()));
  });
}

void ManagerObject::Drain(sdbus::Result<>&& result) {
  guarded("Drain", std::move(result), [this](const Later<>& later) { control_.drain(finish_later(later)); });
}

void ManagerObject::Reload(sdbus::Result<>&& result) {
  guarded("Reload", std::move(result), [this](const Later<>& later) {
    const Status reloaded = control_.reload();
    finish(later, reloaded);
    if (reloaded) emit_changed({"LogLevel"});
  });
}

std::string ManagerObject::Version() { return control_.status().version; }
std::string ManagerObject::State() { return control_.status().state; }
std::string ManagerObject::ConfigPath() { return control_.status().config_path; }
std::uint64_t ManagerObject::StartedAt() { return control_.status().started_at_ns; }
std::uint64_t ManagerObject::ActiveFlows() { return control_.status().active_flows; }
std::string ManagerObject::KernelMode() { return control_.status().kernel_mode; }
std::string ManagerObject::Kubernetes() { return control_.status().kubernetes; }
std::string ManagerObject::LogLevel() { return control_.status().log_level; }

}  // namespace rheo
