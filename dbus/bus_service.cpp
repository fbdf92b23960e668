// SPDX-License-Identifier: Apache-2.0
#include "dbus/bus_service.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "daemon/base/clock.h"
#include "dbus/authority.h"
#include "dbus/event_source.h"
#include "dbus/item_objects.h"
#include "dbus/manager_object.h"

namespace rheo {
namespace {

constexpr const char* kBusName = "org.rheo.Rheo1";
constexpr const char* kDriver = "org.freedesktop.DBus";
constexpr std::chrono::seconds kCallTimeout{5};
// RequestName of the D-Bus Specification: a flag, and the answers that mean success.
constexpr std::uint32_t kDoNotQueue = 4;
constexpr std::uint32_t kPrimaryOwner = 1;
constexpr std::uint32_t kAlreadyOwner = 4;
constexpr std::chrono::milliseconds kHandshakeWait{200};
constexpr std::uint64_t kFirstRetryNs = kNanosecondsPerSecond;
constexpr std::uint64_t kLongestRetryNs = 30 * kNanosecondsPerSecond;

constexpr const char* kSystemd = "org.freedesktop.systemd1";
constexpr std::chrono::seconds kJobTimeout{1};  // for each of three questions

/// The type of the job that systemd runs for the unit of this process, "" where there is none.
std::string unit_job_type(sdbus::IConnection& connection) {
  const auto object = [&](const std::string& path) {
    return sdbus::createProxy(connection, bus::ServiceName(kSystemd), sdbus::ObjectPath(path));
  };
  const auto property = [&](const sdbus::ObjectPath& path, const char* interface, const char* name) {
    sdbus::Variant value;
    object(path)
        ->callMethod("Get")
        .onInterface("org.freedesktop.DBus.Properties")
        .withTimeout(kJobTimeout)
        .withArguments(std::string(interface), std::string(name))
        .storeResultsTo(value);
    return value;
  };
  sdbus::ObjectPath unit;
  object("/org/freedesktop/systemd1")
      ->callMethod("GetUnitByPID")
      .onInterface("org.freedesktop.systemd1.Manager")
      .withTimeout(kJobTimeout)
      .withArguments(static_cast<std::uint32_t>(::getpid()))
      .storeResultsTo(unit);
  using Job = sdbus::Struct<std::uint32_t, sdbus::ObjectPath>;
  const Job job = property(unit, "org.freedesktop.systemd1.Unit", "Job").get<Job>();
  if (job.get<0>() == 0) return {};
  return property(job.get<1>(), "org.freedesktop.systemd1.Job", "JobType").get<std::string>();
}

}  // namespace

/// A connection that a thread of its own makes, since libsystemd waits up to a minute for a bus daemon that
/// accepts and then hangs. Whoever does not want to wait for the end of that goes: the thread owns what it
/// needs, and ends by libsystemd's own deadlines.
class BusService::Handshake {
 public:
  Handshake() {
    std::thread([made = made_] {
      std::unique_ptr<sdbus::IConnection> connection;
      std::string why;
      try {
        connection = sdbus::createSystemBusConnection();
        connection->setMethodCallTimeout(kCallTimeout);
      } catch (const sdbus::Error& error) {
        why = error.getMessage();
      }
      const std::scoped_lock lock(made->mutex);
      made->connection = std::move(connection);
      made->why = std::move(why);
      made->done = true;
      made->changed.notify_all();
    }).detach();
  }

  bool wait(std::chrono::milliseconds most) {
    std::unique_lock lock(made_->mutex);
    return made_->changed.wait_for(lock, most, [this] { return made_->done; });
  }

  /// After a wait() that was true.
  Result<std::unique_ptr<sdbus::IConnection>> take() {
    const std::scoped_lock lock(made_->mutex);
    if (!made_->connection) return rheo::failure(made_->why, std::errc::not_connected);
    return std::move(made_->connection);
  }

 private:
  struct Made {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    std::unique_ptr<sdbus::IConnection> connection;
    std::string why;
  };
  std::shared_ptr<Made> made_ = std::make_shared<Made>();
};

/// One connection and everything on it. Its functions throw sdbus::Error when the connection fails.
class BusService::Session {
 public:
  Session(Control& control, std::unique_ptr<sdbus::IConnection> connection)
      : control_(control),
        connection_(std::move(connection)),
        driver_(sdbus::createProxy(*connection_, bus::ServiceName(kDriver),
                                   sdbus::ObjectPath("/org/freedesktop/DBus"))),
        authority_(*connection_),
        manager_(*connection_, control, authority_) {}

  Status start(sd_event* loop) {
    update({});
    auto source = EventSource::attach(loop, *connection_);
    if (!source) return forward(std::move(source));
    source_ = *std::move(source);
    ask_for_name();
    return Done{};
  }

  /// Clients find us.
  bool named() const { return named_; }

  /// Why the connection is of no use, or "".
  const std::string& failure() const { return refusal_.empty() ? source_->failure() : refusal_; }
  bool unit_restarts() { return unit_job_type(*connection_) == "restart"; }

  void update(std::span<const LossEvent> losses) {
    const DaemonStatus& status = control_.status();
    for (const LossEvent& loss : losses) {
      if (loss.started)
        manager_.emitLossStarted(loss.name);
      else
        manager_.emitLossEnded(loss.name, loss.packets);
    }
    update_interfaces(status.interfaces);
    tell_of_metering(status.interfaces);
    update_exporters(status.exporters);
    std::vector<std::string> changed;
    if (std::exchange(active_flows_, status.active_flows) != status.active_flows)
      changed.emplace_back("ActiveFlows");
    if (std::exchange(state_, status.state) != status.state) changed.emplace_back("State");
    if (!changed.empty()) manager_.emit_changed(changed);
  }

 private:
  /// Not as IConnection::requestName(), which waits for a bus daemon that may have hung since the handshake.
  void ask_for_name() {
    driver_->callMethodAsync("RequestName")
        .onInterface(kDriver)
        .withTimeout(kCallTimeout)
        .withArguments(std::string(kBusName), kDoNotQueue)
        .uponReplyInvoke([this](bus::ReplyError error, std::uint32_t answer) {
          if (error)
            refusal_ = fmt::format("it does not give us the name {}: {}", kBusName, error->getMessage());
          else if (answer != kPrimaryOwner && answer != kAlreadyOwner)
            refusal_ = fmt::format("another process has the name {}", kBusName);
          else
            named_ = true;
        });
  }

  void update_interfaces(const std::vector<InterfaceStatus>& interfaces) {
    std::erase_if(interfaces_, [&](const auto& object) {
      return std::ranges::find(interfaces, object.first, &InterfaceStatus::index) == interfaces.end();
    });
    for (const InterfaceStatus& status : interfaces) {
      std::unique_ptr<InterfaceObject>& object = interfaces_[status.index];
      if (object)
        object->update(status);
      else
        object = std::make_unique<InterfaceObject>(*connection_, status);
    }
  }

  void tell_of_metering(const std::vector<InterfaceStatus>& interfaces) {
    std::map<std::uint32_t, std::string> metered;
    for (const InterfaceStatus& status : interfaces)
      if (status.metered()) metered.emplace(status.index, status.name);
    for (const auto& [index, name] : metered_)
      if (!metered.contains(index)) manager_.emitInterfaceRemoved(index, name);
    for (const auto& [index, name] : metered)
      if (!metered_.contains(index)) manager_.emitInterfaceAdded(index, name);
    metered_ = std::move(metered);
  }

  void update_exporters(const std::vector<ExporterStatus>& exporters) {
    std::erase_if(exporters_, [&](const auto& object) {
      return std::ranges::find(exporters, object.first, &ExporterStatus::name) == exporters.end();
    });
    for (const ExporterStatus& status : exporters) {
      std::unique_ptr<ExporterObject>& object = exporters_[status.name];
      if (!object)
        object = std::make_unique<ExporterObject>(*connection_, status);
      else if (object->update(status))
        manager_.emitExporterStateChanged(status.name, exporter_state(status));
    }
  }

  Control& control_;
  // What is on the connection goes before it.
  std::unique_ptr<sdbus::IConnection> connection_;
  std::unique_ptr<sdbus::IProxy> driver_;
  Authority authority_;
  ManagerObject manager_;
  std::map<std::uint32_t, std::unique_ptr<InterfaceObject>> interfaces_;
  std::map<std::string, std::unique_ptr<ExporterObject>> exporters_;
  std::map<std::uint32_t, std::string> metered_;
  std::unique_ptr<EventSource> source_;
  std::uint64_t active_flows_ = 0;
  std::string state_;
  bool named_ = false;
  std::string refusal_;  // of the name
};

BusService::BusService(Control& control, sd_event* loop)
    : control_(control), loop_(loop), retry_ns_(kFirstRetryNs) {}

BusService::~BusService() = default;

std::optional<BusNotice> BusService::tick(std::span<const LossEvent> losses) {
  const std::uint64_t now_ns = monotonic_ns();
  if (!session_) return now_ns >= retry_at_ns_ ? connect(now_ns) : std::nullopt;
  std::string why = session_->failure();
  if (why.empty()) {
    try {
      session_->update(losses);
    } catch (const sdbus::Error& error) {
      why = error.getMessage();
    }
  }
  if (!why.empty()) return session_->named() ? lost(why, now_ns) : try_later(why, now_ns);
  if (joined_ || !session_->named()) return std::nullopt;
  joined_ = true;
  retry_ns_ = kFirstRetryNs;
  told_absent_ = false;
  return BusNotice{.works = true, .text = fmt::format("on the system bus as {}", kBusName)};
}

bool BusService::unit_restarts() {
  if (!session_ || !session_->failure().empty()) return false;
  try {
    return session_->unit_restarts();
  } catch (const sdbus::Error&) {  // another init, or one that is busy with more than us
    return false;
  }
}

std::optional<BusNotice> BusService::connect(std::uint64_t now_ns) {
  const bool begins = !handshake_;
  if (begins) handshake_ = std::make_unique<Handshake>();
  if (!handshake_->wait(begins ? kHandshakeWait : std::chrono::milliseconds(0)))
    return absent("it does not answer");
  auto connection = handshake_->take();
  handshake_.reset();
  std::string why;
  if (!connection) {
    why = connection.error().what;
  } else {
    try {
      session_ = std::make_unique<Session>(control_, *std::move(connection));
      const Status started = session_->start(loop_);
      if (started) return std::nullopt;
      why = started.error().what;
    } catch (const sdbus::Error& error) {
      why = error.getMessage();
    }
  }
  return try_later(why, now_ns);
}

std::optional<BusNotice> BusService::try_later(const std::string& why, std::uint64_t now_ns) {
  session_.reset();
  retry_at_ns_ = now_ns + retry_ns_;
  retry_ns_ = std::min(retry_ns_ * 2, kLongestRetryNs);
  return absent(why);
}

std::optional<BusNotice> BusService::absent(const std::string& why) {
  if (std::exchange(told_absent_, true)) return std::nullopt;
  return BusNotice{.works = false,
                   .text = "system bus: " + why + "; rheoctl cannot reach this rheod, trying again"};
}

std::optional<BusNotice> BusService::lost(const std::string& why, std::uint64_t now_ns) {
  BusNotice notice{.works = false,
                   .text = "the system bus is gone (" + why + "); metering goes on, trying again"};
  session_.reset();
  joined_ = false;
  retry_at_ns_ = now_ns + kFirstRetryNs;
  retry_ns_ = kFirstRetryNs;
  told_absent_ = true;
  return notice;
}

}  // namespace rheo
