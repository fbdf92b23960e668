// SPDX-License-Identifier: Apache-2.0
#include "daemon/model/address_classes.h"

#include <algorithm>
#include <array>
#include <utility>

namespace rheo {
namespace {

constexpr std::array<std::string_view, kBuiltInClasses> kNames = {"external", "internal", "localhost", "dns",
                                                                  "docker",   "k8sPod",   "k8sSvc"};
constexpr auto kExternal = std::to_underlying(AddressClass::external);
constexpr auto kInternal = std::to_underlying(AddressClass::internal);

bool is_for_many(const Address& address) {
  if (!is_mapped_v4(address)) return address[0] == 0xff;
  const bool to_all =
      std::all_of(address.begin() + 12, address.end(), [](auto octet) { return octet == 0xff; });
  return (address[12] & 0xf0U) == 0xe0 || to_all;
}

}  // namespace

std::string_view built_in_class_name(AddressClass address_class) {
  return kNames.at(std::to_underlying(address_class));
}

std::string_view listed_name(Listed listed) {
  constexpr std::array<std::string_view, 3> names = {"", "black", "white"};
  return names.at(std::to_underlying(listed));
}

std::string_view host_direction_name(HostDirection direction) {
  constexpr std::array<std::string_view, 4> names = {"local", "egress", "ingress", "forwarded"};
  return names.at(std::to_underlying(direction));
}

std::uint16_t AddressClasses::find(const Address& address) const {
  const auto configured = configured_->classes.find(address);
  const auto host = host_.classes.find(address);
  if (!host) return configured ? configured->number : kExternal;
  if (!configured || configured->bits < host->bits) return host->number;
  if (configured->bits == host->bits && configured->number == kInternal) return host->number;
  return configured->number;
}

std::string_view AddressClasses::name(std::uint16_t number) const {
  if (number < kBuiltInClasses) return kNames.at(number);
  return configured_->names.at(number - kBuiltInClasses);
}

std::optional<std::uint16_t> AddressClasses::number_of(std::string_view name) const {
  if (const auto* const found = std::ranges::find(kNames, name); found != kNames.end())
    return static_cast<std::uint16_t>(found - kNames.begin());
  const auto own = std::ranges::find(configured_->names, name);
  if (own == configured_->names.end()) return std::nullopt;
  return static_cast<std::uint16_t>(kBuiltInClasses + (own - configured_->names.begin()));
}

Listed AddressClasses::listed(const Address& address) const {
  const auto found = configured_->lists.find(address);
  return found ? static_cast<Listed>(found->number) : Listed::none;
}

HostDirection AddressClasses::direction(const Address& initiator, const Address& responder) const {
  const bool from_here = host_.own.find(initiator).has_value();
  const bool to_here = host_.own.find(responder).has_value();
  if (from_here) return to_here ? HostDirection::local : HostDirection::egress;
  return to_here || is_for_many(responder) ? HostDirection::ingress : HostDirection::forwarded;
}

}  // namespace rheo
