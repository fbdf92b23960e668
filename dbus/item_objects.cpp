// SPDX-License-Identifier: Apache-2.0
#include "dbus/item_objects.h"

#include <cstdio>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/model/names.h"

namespace rheo {
namespace {

/// Says that the object goes; on a connection that has failed nobody hears it.
template <class Object>
void leave(Object& object) {
  try {
    object.emitInterfacesRemovedSignal();
  } catch (const sdbus::Error&) {
    return;
  }
}

constexpr std::size_t kMostNeighbours = 1'024;

const std::set<LinkAddress>& own_of(const InterfaceStatus& status) {
  static const std::set<LinkAddress> none;
  return status.addresses ? status.addresses->own : none;
}

}  // namespace

sdbus::ObjectPath interface_path(std::uint32_t index) {
  return sdbus::ObjectPath("/org/rheo/Rheo1/interface/" + std::to_string(index));
}

sdbus::ObjectPath exporter_path(const std::string& name) {
  std::string path = "/org/rheo/Rheo1/exporter/";
  for (const char c : name) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
      path += c;
    } else {
      char escaped[4];
      std::snprintf(escaped, sizeof escaped, "_%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      path += escaped;
    }
  }
  return sdbus::ObjectPath(path);
}

std::string exporter_state(const ExporterStatus& status) {
  switch (status.state) {
    case ExporterState::failing:
      return "failing";
    case ExporterState::stopping:
      return "stopping";
    case ExporterState::disabled:
      return "disabled";
    case ExporterState::running:
      break;
  }
  return "running";
}

InterfaceObject::InterfaceObject(sdbus::IConnection& connection, InterfaceStatus status)
    : AdaptorInterfaces(connection, interface_path(status.index)), status_(std::move(status)) {
  registerAdaptor();
  emitInterfacesAddedSignal();
}

InterfaceObject::~InterfaceObject() {
  leave(*this);
  unregisterAdaptor();
}

void InterfaceObject::update(const InterfaceStatus& status) {
  std::vector<std::string> changed;
  if (status.name != status_.name) changed.emplace_back("Name");
  if (status.metered() != status_.metered()) changed.emplace_back("State");
  if (status.failure != status_.failure) changed.emplace_back("Failure");
  if (own_of(status) != own_of(status_)) changed.emplace_back("Addresses");
  status_ = status;
  if (!changed.empty())
    getObject().emitPropertiesChangedSignal(bus::InterfaceName(Interface_adaptor::INTERFACE_NAME),
                                            bus::member_names(changed));
}

std::string InterfaceObject::MacAddress() { return mac_text(status_.mac); }

std::vector<std::string> InterfaceObject::Addresses() {
  std::vector<std::string> texts;
  for (const LinkAddress& own : own_of(status_))
    texts.push_back(address_text(own.address, own.ipv6) + "/" + std::to_string(own.prefix));
  return texts;
}

std::vector<sdbus::Struct<std::string, std::string>> InterfaceObject::Neighbours() {
  std::vector<sdbus::Struct<std::string, std::string>> texts;
  if (!status_.addresses) return texts;
  for (const auto& [neighbour, mac] : status_.addresses->neighbours) {
    if (texts.size() == kMostNeighbours) break;
    texts.emplace_back(address_text(neighbour.address, neighbour.ipv6), mac_text(mac));
  }
  return texts;
}

ExporterObject::ExporterObject(sdbus::IConnection& connection, ExporterStatus status)
    : AdaptorInterfaces(connection, exporter_path(status.name)), status_(std::move(status)) {
  registerAdaptor();
  emitInterfacesAddedSignal();
}

ExporterObject::~ExporterObject() {
  leave(*this);
  unregisterAdaptor();
}

bool ExporterObject::update(const ExporterStatus& status) {
  const bool changed = status.state != status_.state;
  status_ = status;
  if (changed)
    getObject().emitPropertiesChangedSignal(bus::InterfaceName(Exporter_adaptor::INTERFACE_NAME),
                                            bus::member_names({"State"}));
  return changed;
}

}  // namespace rheo
