// SPDX-License-Identifier: Apache-2.0
// BusService: rheod's place on the system bus. A bus that is absent, refuses us or goes away changes nothing
// else; it is tried again, after a second at first, then after up to thirty. Main thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "daemon/model/daemon_status.h"
#include "dbus/control.h"

struct sd_event;

namespace rheo {

/// Something that an administrator should know, for the log.
struct BusNotice {
  bool works = false;
  std::string text;
};

class BusService {
 public:
  /// Both outlive the service. Connects with the first tick.
  BusService(Control& control, sd_event* loop);
  ~BusService();

  /// Once a second: connects if need be, tells what has changed since the last tick. Waits for the bus daemon
  /// alone, and a fifth of a second at most, for the handshake, which goes on without us.
  std::optional<BusNotice> tick(std::span<const LossEvent> losses);

  /// Whether systemd is going to start the unit of this process again: asks for the unit's job. False also
  /// where it does not say within a second or three, or there is no bus.
  bool unit_restarts();

 private:
  class Handshake;
  class Session;

  std::optional<BusNotice> connect(std::uint64_t now_ns);
  std::optional<BusNotice> try_later(const std::string& why, std::uint64_t now_ns);
  std::optional<BusNotice> absent(const std::string& why);
  std::optional<BusNotice> lost(const std::string& why, std::uint64_t now_ns);

  Control& control_;
  sd_event* loop_;
  std::unique_ptr<Handshake> handshake_;  // while there is no session
  std::unique_ptr<Session> session_;
  std::uint64_t retry_at_ns_ = 0;
  std::uint64_t retry_ns_ = 0;
  bool joined_ = false;  // the session has the name, and that was told
  bool told_absent_ = false;
};

}  // namespace rheo
