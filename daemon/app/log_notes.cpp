// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/log_notes.h"

#include "daemon/base/log.h"
#include "daemon/enrich/command_line.h"

namespace rheo {

void log_notes(const DatapathNotes& notes) {
  for (const DatapathNote& note : notes)
    log::write(note.warning ? log::Priority::warning : log::Priority::info, note.text);
}

void log_unreadable_names(const OwnerOptions& options) {
  if (options.command_lines && !sees_processes(options.root + "/proc"))
    log::warning(
        "the processes of other users cannot be seen; they have no command lines. The drop-in "
        "/usr/share/rheo/rheod-command-lines.conf lets the service see them");
  if (!options.container_names) return;
  for (const std::string& refused : unreadable_container_folders(options.root))
    log::warning(
        "{}; containers there have no names. Reading it takes CAP_DAC_READ_SEARCH, which the drop-in "
        "/usr/share/rheo/rheod-container-names.conf gives the service",
        refused);
}

}  // namespace rheo
