// SPDX-License-Identifier: Apache-2.0
#include "daemon/app/log_notes.h"

#include "daemon/base/log.h"

namespace rheo {

void log_notes(const DatapathNotes& notes) {
  for (const DatapathNote& note : notes)
    log::write(note.warning ? log::Priority::warning : log::Priority::info, note.text);
}

}  // namespace rheo
