// SPDX-License-Identifier: Apache-2.0
#include "dbus/item_objects.h"

#include <cstdio>
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
  status_ = status;
  if (!changed.empty())
    getObject().emitPropertiesChangedSignal(bus::InterfaceName(Interface_adaptor::INTERFACE_NAME),
                                            bus::member_names(changed));
}

std::string InterfaceObject::MacAddress() { return mac_text(status_.mac); }

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
