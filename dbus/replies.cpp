// SPDX-License-Identifier: Apache-2.0
#include "dbus/replies.h"

#include "daemon/base/utf8.h"

namespace rheo {
namespace {

const char* name_of(const std::error_code& code) {
  if (code == std::errc::invalid_argument) return "org.rheo.Rheo1.Error.InvalidArgument";
  if (code == std::errc::no_such_file_or_directory) return "org.rheo.Rheo1.Error.NotFound";
  if (code == std::errc::already_connected) return "org.rheo.Rheo1.Error.AlreadyAttached";
  if (code == std::errc::not_connected) return "org.rheo.Rheo1.Error.NotAttached";
  if (code == std::errc::device_or_resource_busy) return "org.rheo.Rheo1.Error.Busy";
  if (code == std::errc::bad_message) return "org.rheo.Rheo1.Error.BadConfig";
  if (code == std::errc::operation_not_supported) return "org.rheo.Rheo1.Error.NeedsRestart";
  if (code == std::errc::permission_denied) return "org.rheo.Rheo1.Error.AccessDenied";
  return "org.rheo.Rheo1.Error.Failed";
}

}  // namespace

sdbus::Error bus_error(const Error& error) {
  // It may repeat words of the caller, or of the kernel, and lands on terminals; each mistake in the settings
  // has a line.
  return sdbus::Error(bus::ErrorName(name_of(error.code)), valid_utf8(without_controls(error.what, "\n")));
}

}  // namespace rheo
