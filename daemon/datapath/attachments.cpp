// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/attachments.h"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>

#include "daemon/base/fault_point.h"
#include "daemon/datapath/clsact_filter.h"
#include "daemon/datapath/tcx_link.h"

namespace rheo {
namespace {

/// Every interface of the network namespace.
template <class Visit>
void for_each_interface(Visit&& visit) {
  struct if_nameindex* const interfaces = ::if_nameindex();
  if (interfaces == nullptr) return;
  for (const struct if_nameindex* i = interfaces; i->if_index != 0; ++i) visit(i->if_index, i->if_name);
  ::if_freenameindex(interfaces);
}

/// Called in the namespace of the place.
bool is_in_place(const Place& place, int link_fd) {
  return tcx_ifindex(link_fd, place.direction) == place.ifindex;
}

}  // namespace

Attachments::Attachments(const AttachOptions& options, const PinDirectory& pins, Namespaces& spaces)
    : options_(options), pins_(&pins), spaces_(&spaces) {
  inherit_links();
  inherit_qdiscs();
}

Attachments::~Attachments() {
  if (!pins_->usable()) detach_all();
}

void Attachments::inherit_links() {
  for (const std::string& name : pins_->names_beginning_with(kLinkPinPrefix)) {
    const auto place = place_of_link_pin(name);
    if (!place) continue;
    auto link = pins_->get(name);
    // Those of other namespaces are looked at again when their namespace is known: attach_link().
    const auto number = place->netns == 0 ? tcx_ifindex : tcx_ifindex_anywhere;
    if (link && number(link->get(), place->direction) == place->ifindex) {
      inherited_.emplace(*place, *std::move(link));
      continue;
    }
    if (link) detach_tcx(link->get());  // its interface is gone, or in another namespace
    pins_->unpin(name);
  }
  inherited_order_ = pins_->has(kOrderLastMark) == (options_.tcx_order == TcxOrder::last);
}

void Attachments::inherit_qdiscs() {
  for (const std::string& name : pins_->names_beginning_with(kQdiscMarkPrefix))
    if (const auto link = link_of_qdisc_mark(name)) qdiscs_.insert(*link);
}

Status Attachments::attach(const LinkTarget& target, const ProgramFds& programs) {
  Status attached = Done{};
  auto entered = spaces_->run(target.netns, [&] { attached = attach_here(target, programs); });
  if (!entered) return forward(std::move(entered), "attach " + target.name);
  return attached;
}

Status Attachments::attach_here(const LinkTarget& target, const ProgramFds& programs) {
  char name[IF_NAMESIZE];
  if (::if_indextoname(target.ifindex, name) == nullptr) return errno_error("attach " + target.name, ENODEV);
  for (const Direction direction : kDirections) {
    const Place place{target.ifindex, direction, target.netns};
    const bool ingress = direction == Direction::ingress;
    if (!(ingress ? target.ingress : target.egress)) {
      detach_place(place);
      continue;
    }
    const int program = ingress ? programs.ingress : programs.egress;
    auto attached = options_.hook == Hook::tcx ? attach_link(place, program) : attach_filter(place, program);
    if (attached) continue;
    detach_here(target.id());
    return forward(std::move(attached), fmt::format("attach {} {}", target.name, direction_name(direction)));
  }
  return Done{};
}

Status Attachments::attach_link(const Place& place, int program_fd) {
  // First the filter of a process that had no TCX: a moment uncounted is better than one counted twice.
  detach_clsact(place.ifindex, place.direction);
  if (!inherited_order_) drop(inherited_, place);  // a link cannot change its place: likewise a moment
  if (const auto found = inherited_.find(place);
      found != inherited_.end() && !is_in_place(place, found->second.get()))
    drop(inherited_, place);
  if (auto node = inherited_.extract(place); !node.empty()) links_.insert(std::move(node));
  if (const auto found = links_.find(place); found != links_.end()) {
    if (update_tcx(found->second.get(), program_fd)) {
      RHEO_FAULT_POINT("link-updated");
      return Done{};
    }
    drop(links_, place);  // ENOLINK: the interface was deleted, and another has its number now
  }
  auto link = attach_tcx(program_fd, place.ifindex, place.direction, options_.tcx_order);
  if (!link) return forward(std::move(link));
  RHEO_FAULT_POINT("link-attached");
  if (pins_->usable()) {
    if (auto pinned = pins_->pin(link_pin(place), link->get()); !pinned) return pinned;
  }
  RHEO_FAULT_POINT("link-pinned");
  links_.emplace(place, *std::move(link));
  return Done{};
}

Status Attachments::attach_filter(const Place& place, int program_fd) {
  drop(inherited_, place);
  if (auto made = need_qdisc(place.link()); !made) return made;
  if (auto attached = attach_clsact(program_fd, place.ifindex, place.direction, options_.tc_priority);
      !attached)
    return attached;
  filters_.insert(place);
  RHEO_FAULT_POINT("filter-attached");
  return Done{};
}

Status Attachments::need_qdisc(LinkId link) {
  const bool new_mark =
      pins_->mark(qdisc_mark(link));  // before it is made, so that a kill leaves none unmarked
  RHEO_FAULT_POINT("qdisc-marked");
  auto made = create_clsact_qdisc(link.ifindex);
  RHEO_FAULT_POINT("qdisc-made");
  if (made && *made)
    qdiscs_.insert(link);
  else if (new_mark)
    pins_->unmark(qdisc_mark(link));
  return made ? Status(Done{}) : forward(std::move(made));
}

void Attachments::drop(Links& links, const Place& place) {
  const auto found = links.find(place);
  if (found == links.end()) return;
  detach_tcx(found->second.get());
  RHEO_FAULT_POINT("link-detached");
  pins_->unpin(link_pin(place));
  RHEO_FAULT_POINT("link-unpinned");
  links.erase(found);
}

void Attachments::detach_place(const Place& place) {
  drop(links_, place);
  drop(inherited_, place);
  if (filters_.erase(place) > 0) {
    detach_clsact(place.ifindex, place.direction);
    RHEO_FAULT_POINT("filter-detached");
  }
}

void Attachments::detach(LinkId link) {
  if (!spaces_->run(link.netns, [&] { detach_here(link); })) drop_without_entering(link);
}

void Attachments::detach_here(LinkId link) {
  for (const Direction direction : kDirections) detach_place({link.ifindex, direction, link.netns});
  drop_qdisc_if_unused(link);
}

/// Filters and qdiscs of a namespace that cannot be entered are out of reach.
void Attachments::drop_without_entering(LinkId link) {
  for (const Direction direction : kDirections) {
    const Place place{link.ifindex, direction, link.netns};
    drop(links_, place);
    drop(inherited_, place);
    filters_.erase(place);
  }
  if (qdiscs_.erase(link) > 0) pins_->unmark(qdisc_mark(link));
}

void Attachments::forget(LinkId link) {
  if (!spaces_->run(link.netns, [&] { forget_here(link); })) drop_without_entering(link);
}

void Attachments::forget_here(LinkId link) {
  bool ours_is_there = false;
  for (const Direction direction : kDirections) {
    const Place place{link.ifindex, direction, link.netns};
    drop(links_, place);
    drop(inherited_, place);
    // Attached by number to the one that has it now, before we learnt that it is another.
    if (filters_.erase(place) > 0 && detach_clsact(link.ifindex, direction)) ours_is_there = true;
  }
  if (ours_is_there) return drop_qdisc_if_unused(link);
  if (qdiscs_.erase(link) > 0) pins_->unmark(qdisc_mark(link));
}

void Attachments::detach_namespace(std::uint8_t number) {
  std::set<LinkId> there;
  for (const Links* links : {&links_, &inherited_})
    for (const auto& [place, fd] : *links) there.insert(place.link());
  for (const Place& place : filters_) there.insert(place.link());
  there.insert(qdiscs_.begin(), qdiscs_.end());
  for (const LinkId link : there)
    if (link.netns == number) detach(link);
}

void Attachments::detach_unwanted() {
  while (!inherited_.empty()) drop(inherited_, inherited_.begin()->first);
  note_order();
  const std::vector<std::uint8_t> no_longer_wanted = spaces_->open_marked();
  for (const std::uint8_t number : spaces_->numbers()) {
    // Where it cannot be entered, its filters are out of reach.
    [[maybe_unused]] const Status entered = spaces_->run(number, [&] {
      drop_filters_not_ours_now(number);
      for (const LinkId link : std::set(qdiscs_))
        if (link.netns == number) drop_qdisc_if_unused(link);
    });
  }
  for (const std::uint8_t number : no_longer_wanted) spaces_->close(number);
  const std::vector<std::uint8_t> open = spaces_->numbers();
  for (const LinkId link : std::set(qdiscs_))
    if (std::ranges::find(open, link.netns) == open.end()) drop_without_entering(link);
}

/// Only now that no link of another order is left: a process killed before this has them replaced by the
/// next.
void Attachments::note_order() {
  inherited_order_ = true;
  if (options_.hook == Hook::tcx && options_.tcx_order == TcxOrder::last)
    pins_->mark(kOrderLastMark);
  else
    pins_->unmark(kOrderLastMark);
}

void Attachments::detach_all() {
  while (!links_.empty()) drop(links_, links_.begin()->first);
  filters_.clear();
  detach_unwanted();
  pins_->unmark(kOrderLastMark);
  for (const std::uint8_t number : spaces_->numbers()) spaces_->close(number);
}

void Attachments::drop_filters_not_ours_now(std::uint8_t netns) {
  for_each_interface([this, netns](std::uint32_t ifindex, const char* /*name*/) {
    for (const Direction direction : kDirections)
      if (!filters_.contains({ifindex, direction, netns}) && detach_clsact(ifindex, direction))
        RHEO_FAULT_POINT("filter-dropped");
  });
}

void Attachments::drop_qdisc_if_unused(LinkId link) {
  if (holds_filters(link)) return;
  if (qdiscs_.erase(link) == 0) return;
  remove_empty_clsact_qdisc(link.ifindex);
  RHEO_FAULT_POINT("qdisc-removed");
  pins_->unmark(qdisc_mark(link));
}

std::vector<Place> Attachments::stale_links() const {
  std::vector<Place> stale;
  for (const std::string& name : pins_->names_beginning_with(kLinkPinPrefix)) {
    const auto place = place_of_link_pin(name);
    if (place && !links_.contains(*place)) stale.push_back(*place);
  }
  return stale;
}

void Attachments::drop_stale_links() {
  for (const Place& place : stale_links()) {
    if (inherited_.contains(place)) continue;
    if (const auto link = pins_->get(link_pin(place)); link && tcx_is_link(link->get(), place.direction))
      detach_tcx(link->get());
    pins_->unpin(link_pin(place));
  }
}

std::vector<Orphan> Attachments::orphaned_filters() const {
  std::vector<Orphan> found;
  const auto look = [&](std::uint8_t netns) {
    const std::string space = netns == 0 ? "" : spaces_->name(netns) + "/";
    for_each_interface([&](std::uint32_t ifindex, const char* name) {
      for (const Direction direction : kDirections) {
        if (!filters_.contains({ifindex, direction, netns}) && has_our_filter(ifindex, direction))
          found.push_back({"filter", fmt::format("{}{} {}", space, name, direction_name(direction)),
                           "a clsact filter of rheo's name and handle that this rheod did not attach"});
      }
    });
  };
  for (const std::uint8_t netns : spaces_->numbers()) {
    // What cannot be entered cannot be told of.
    [[maybe_unused]] const Status entered = spaces_->run(netns, [&] { look(netns); });
  }
  return found;
}

/// Of a pinned link: "eth0", "blue/eth0"; "" where it is not there.
std::string Attachments::interface_of(const Place& place) const {
  const auto link = pins_->get(link_pin(place));
  std::string found;
  const auto look = [&] {
    char name[IF_NAMESIZE];
    if (link && is_in_place(place, link->get()) && ::if_indextoname(place.ifindex, name) != nullptr)
      found = place.netns == 0 ? name : fmt::format("{}/{}", spaces_->name(place.netns), name);
  };
  [[maybe_unused]] const Status entered = spaces_->run(place.netns, look);
  return found;
}

std::vector<Orphan> Attachments::orphans() const {
  std::vector<Orphan> found;
  for (const Place& place : stale_links()) {
    const std::string interface = interface_of(place);
    found.push_back({"link", fmt::format("{}/{}", pins_->path(), link_pin(place)),
                     interface.empty() ? "a TCX link whose interface is gone, or in another network namespace"
                                       : fmt::format("a TCX link at {} {} that no rheod holds", interface,
                                                     direction_name(place.direction))});
  }
  for (Orphan& filter : orphaned_filters()) found.push_back(std::move(filter));
  for (const std::string& name : pins_->names_beginning_with(kQdiscMarkPrefix)) {
    const auto link = link_of_qdisc_mark(name);
    if (link && !(qdiscs_.contains(*link) && holds_filters(*link)))
      found.push_back({"qdisc", fmt::format("{}/{}", pins_->path(), name),
                       "the mark that rheod made that interface's clsact qdisc, which it does not use now"});
  }
  return found;
}

bool Attachments::holds_filters(LinkId link) const {
  return std::ranges::any_of(kDirections, [&](Direction direction) {
    return filters_.contains({link.ifindex, direction, link.netns});
  });
}

}  // namespace rheo
