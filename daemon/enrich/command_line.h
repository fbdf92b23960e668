// SPDX-License-Identifier: Apache-2.0
// read_command_line: how a process that still lives was called. Any thread; reads /proc.
#pragma once

#include <string>

#include "daemon/model/owner.h"

namespace rheo {

/// With spaces between the arguments, at most kMaxOwnerText octets. "" where the process is gone, was
/// replaced by another with its number or by another program (it is another's where start time or name differ
/// from what was noted), or may not be seen. `proc` is where the process file system is.
std::string read_command_line(const std::string& proc, const SocketOwner& noted);

/// Whether others' processes can be seen there (ProtectProc= in systemd.exec(5)).
bool sees_processes(const std::string& proc);

}  // namespace rheo
