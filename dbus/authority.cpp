// SPDX-License-Identifier: Apache-2.0
#include "dbus/authority.h"

#include <cstdint>
#include <map>
#include <utility>

namespace rheo {
namespace {

constexpr const char* kPolkit = "org.freedesktop.PolicyKit1";
constexpr const char* kPolkitAuthority = "org.freedesktop.PolicyKit1.Authority";
constexpr std::uint32_t kAllowInteraction = 1;
// Somebody may have to type a password.
constexpr std::chrono::seconds kPolkitTimeout{120};

using Subject = sdbus::Struct<std::string, std::map<std::string, sdbus::Variant>>;
using Decision = sdbus::Struct<bool, bool, std::map<std::string, std::string>>;

std::unexpected<Error> refusal(const std::string& why) { return failure(why, std::errc::permission_denied); }

}  // namespace

Authority::Authority(sdbus::IConnection& connection)
    : bus_(sdbus::createProxy(connection, bus::ServiceName("org.freedesktop.DBus"),
                              sdbus::ObjectPath("/org/freedesktop/DBus"))),
      polkit_(sdbus::createProxy(connection, bus::ServiceName(kPolkit),
                                 sdbus::ObjectPath("/org/freedesktop/PolicyKit1/Authority"))) {}

void Authority::check(const std::string& sender, std::string_view action, Decided decided) {
  bus_->callMethodAsync("GetConnectionUnixUser")
      .onInterface("org.freedesktop.DBus")
      .withArguments(sender)
      .uponReplyInvoke([this, sender, action = std::string(action), decided = std::move(decided)](
                           bus::ReplyError error, std::uint32_t uid) {
        if (error) return decided(refusal("it is not known who asks"));
        if (uid == 0) return decided(Done{});
        ask_polkit(sender, action, decided);
      });
}

void Authority::ask_polkit(const std::string& sender, const std::string& action, Decided decided) {
  const Subject subject{
      std::make_tuple(std::string("system-bus-name"),
                      std::map<std::string, sdbus::Variant>{{"name", sdbus::Variant(sender)}})};
  polkit_->callMethodAsync("CheckAuthorization")
      .onInterface(kPolkitAuthority)
      .withTimeout(kPolkitTimeout)
      .withArguments(subject, action, std::map<std::string, std::string>{}, kAllowInteraction, std::string())
      .uponReplyInvoke([action, decided = std::move(decided)](bus::ReplyError error,
                                                              const Decision& decision) {
        if (error)
          return decided(refusal(action + " is needed, and polkit does not decide: " + error->getMessage()));
        if (!decision.get<0>()) return decided(refusal(action + " is needed, see polkit(8)"));
        decided(Done{});
      });
}

}  // namespace rheo
