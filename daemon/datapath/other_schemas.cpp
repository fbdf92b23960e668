// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/other_schemas.h"

#include <fmt/format.h>
#include <net/if.h>

#include "daemon/datapath/pin_names.h"
#include "daemon/datapath/tcx_link.h"

namespace rheo {
namespace {

constexpr const char* kBySchema = "pinned by a rheod of another schema";

Orphan describe(const PinDirectory& schema, const std::string& name) {
  const std::string path = schema.path() + "/" + name;
  if (const auto place = place_of_link_pin(name)) {
    const auto link = schema.get(name);
    char interface[IF_NAMESIZE];
    if (link && tcx_ifindex(link->get(), place->direction) == place->ifindex &&
        ::if_indextoname(place->ifindex, interface) != nullptr)
      return {"link", path,
              fmt::format("{}: it counts {} of {} into maps that this one cannot read", kBySchema,
                          direction_name(place->direction), interface)};
    return {"link", path, fmt::format("{}, of an interface that is gone", kBySchema)};
  }
  if (netns_of_mark(name))
    return {"link", path, fmt::format("{}: the mark of a network namespace's number", kBySchema)};
  if (link_of_qdisc_mark(name))
    return {"qdisc", path, fmt::format("{}: the mark that it made that interface's clsact qdisc", kBySchema)};
  if (is_map_pin(name))
    return {"map", path,
            fmt::format("{}: what it has counted since that rheod's last drain cannot be read", kBySchema)};
  if (is_owner_link_pin(name))
    return {"link", path, fmt::format("{}: it notes whose a socket is", kBySchema)};
  if (name == kOrderLastMark)
    return {"link", path, fmt::format("{}: the mark that its links are behind other programs", kBySchema)};
  return {"unknown", path, kNotOurName};
}

/// One folder. True: nothing of it is left.
bool remove_schema(const PinDirectory& schema, std::size_t& links, std::size_t& maps) {
  for (const std::string& name : schema.names_beginning_with("")) {
    if (const auto place = place_of_link_pin(name)) {
      if (const auto link = schema.get(name); link && tcx_is_link(link->get(), place->direction))
        detach_tcx(link->get());
      else if (link)
        continue;  // of our name, but nothing that rheod pins
      if (schema.unpin(name)) ++links;
    } else if (is_owner_link_pin(name) && schema.unpin(name)) {
      ++links;
    } else if (is_map_pin(name) && schema.unpin(name)) {
      ++maps;
    } else if (name == kOrderLastMark || netns_of_mark(name)) {
      schema.unmark(name);
    }
  }
  return schema.remove_folder();
}

}  // namespace

std::vector<Orphan> list_other_schemas(const PinDirectory& pins) {
  std::vector<Orphan> found;
  for (const PinDirectory& schema : pins.other_schemas())
    for (const std::string& name : schema.names_beginning_with("")) found.push_back(describe(schema, name));
  return found;
}

std::vector<LinkId> take_qdisc_marks(const PinDirectory& pins) {
  std::vector<LinkId> marked;
  for (const PinDirectory& schema : pins.other_schemas()) {
    for (const std::string& name : schema.names_beginning_with(kQdiscMarkPrefix)) {
      const auto link = link_of_qdisc_mark(name);
      if (!link) continue;
      pins.mark(name);  // before the other goes: a kill in between leaves one of them
      schema.unmark(name);
      marked.push_back(*link);
    }
  }
  return marked;
}

DatapathNotes remove_other_schemas(const PinDirectory& pins) {
  DatapathNotes notes;
  for (const PinDirectory& schema : pins.other_schemas()) {
    std::size_t links = 0;
    std::size_t maps = 0;
    const bool whole = remove_schema(schema, links, maps);
    if (links == 0 && maps == 0 && whole) continue;
    const std::string removed = fmt::format(
        "{}: {} links and {} maps of a rheod of another schema are removed", schema.path(), links, maps);
    const std::string lost =
        maps == 0 ? ""
                  : "; what they have counted since its last drain cannot be read, so it is lost, and in no "
                    "counter of ours";
    const std::string left = whole ? "" : "; something there is not rheod's, or cannot be removed: it stays";
    notes.push_back({true, fmt::format("{}{}{}", removed, lost, left)});
  }
  return notes;
}

}  // namespace rheo
