// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/orphans.h"

#include <utility>

#include "daemon/datapath/other_schemas.h"
#include "daemon/datapath/owner_programs.h"
#include "daemon/datapath/pin_names.h"

namespace rheo {
namespace {

std::vector<Orphan> list_maps(const PinDirectory& pins) {
  std::vector<Orphan> found;
  for (const std::string& name : pins.names_beginning_with("")) {
    if (is_owner_link_pin(name))
      found.push_back({"link", pins.path() + "/" + name, "it notes whose a socket is, and no rheod runs"});
    if (is_map_pin(name)) found.push_back({"map", pins.path() + "/" + name, "pinned, and no rheod runs"});
  }
  return found;
}

}  // namespace

std::vector<Orphan> list_orphans(const PinDirectory& pins, const Attachments& attachments) {
  std::vector<Orphan> found = attachments.orphans();
  for (const std::string& name : pins.names_beginning_with("")) {
    if (!place_of_link_pin(name) && !link_of_qdisc_mark(name) && !netns_of_mark(name) && !is_map_pin(name) &&
        !is_owner_link_pin(name) && name != kOrderLastMark)
      found.push_back({"unknown", pins.path() + "/" + name, kNotOurName});
  }
  for (Orphan& orphan : list_other_schemas(pins)) found.push_back(std::move(orphan));
  return found;
}

DatapathNotes remove_orphans(const PinDirectory& pins, Attachments& attachments) {
  for (const LinkId link : take_qdisc_marks(pins)) attachments.adopt_qdisc(link);
  attachments.detach_unwanted();
  attachments.drop_stale_links();
  return remove_other_schemas(pins);
}

std::vector<Orphan> list_everything(const std::string& pin_directory) {
  DatapathNotes notes;  // that nothing can be pinned is fine here
  const PinDirectory pins = PinDirectory::open(pin_directory, notes);
  Namespaces spaces(pins);
  spaces.open_marked();
  std::vector<Orphan> found = list_orphans(pins, Attachments({}, pins, spaces));
  for (Orphan& map : list_maps(pins)) found.push_back(std::move(map));
  return found;
}

void remove_everything(const std::string& pin_directory) {
  DatapathNotes notes;
  PinDirectory pins = PinDirectory::open(pin_directory, notes);
  Namespaces spaces(pins);
  Attachments attachments({}, pins, spaces);
  remove_orphans(pins, attachments);
  OwnerPrograms::remove_pins(pins);
  for (const char* name : kMapPins) pins.unpin(name);
  pins.remove();
}

}  // namespace rheo
