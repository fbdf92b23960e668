// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/attachments.h"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "daemon/datapath/clsact_filter.h"
#include "daemon/datapath/tcx_link.h"

namespace rheo {
namespace {

constexpr std::string_view kLinkPrefix = "link_";
constexpr std::string_view kQdiscPrefix = "qdisc_";
constexpr std::array kDirections = {Direction::ingress, Direction::egress};

std::string link_pin(std::uint32_t ifindex, Direction direction) {
  return fmt::format("{}{}_{}", kLinkPrefix, ifindex, direction_name(direction));
}

std::string qdisc_mark(std::uint32_t ifindex) { return fmt::format("{}{}", kQdiscPrefix, ifindex); }

/// The number at the beginning of `text`, which is cut off; 0 where there is none.
std::uint32_t take_number(std::string_view& text) {
  std::uint32_t number = 0;
  const char* const end = std::from_chars(text.data(), text.data() + text.size(), number).ptr;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

std::optional<Direction> direction_named(std::string_view name) {
  for (const Direction direction : kDirections)
    if (direction_name(direction) == name) return direction;
  return std::nullopt;
}

}  // namespace

Attachments::Attachments(Hook hook, const PinDirectory& pins) : hook_(hook), pins_(&pins) {
  inherit_links();
  inherit_qdiscs();
}

Attachments::~Attachments() {
  if (!pins_->usable()) detach_all();
}

void Attachments::inherit_links() {
  for (const std::string& name : pins_->names_beginning_with(kLinkPrefix)) {
    std::string_view rest = std::string_view(name).substr(kLinkPrefix.size());
    const std::uint32_t ifindex = take_number(rest);
    const auto direction = direction_named(rest.substr(std::min<std::size_t>(1, rest.size())));
    auto link = pins_->get(name);
    if (link && direction && ifindex != 0 && tcx_ifindex(link->get(), *direction) == ifindex)
      inherited_.emplace(Place{ifindex, *direction}, *std::move(link));
    else {
      if (link && direction && ifindex != 0)
        detach_tcx(link->get());  // its interface is gone, or in another namespace
      pins_->unpin(name);
    }
  }
}

void Attachments::inherit_qdiscs() {
  for (const std::string& name : pins_->names_beginning_with(kQdiscPrefix)) {
    std::string_view rest = std::string_view(name).substr(kQdiscPrefix.size());
    qdiscs_.insert(take_number(rest));
  }
}

Status Attachments::attach(const LinkTarget& target, const ProgramFds& programs) {
  char name[IF_NAMESIZE];
  if (::if_indextoname(target.ifindex, name) == nullptr) return errno_error("attach " + target.name, ENODEV);
  for (const Direction direction : kDirections) {
    const Place place{target.ifindex, direction};
    const bool ingress = direction == Direction::ingress;
    if (!(ingress ? target.ingress : target.egress)) {
      detach_place(place);
      continue;
    }
    const int program = ingress ? programs.ingress : programs.egress;
    auto attached = hook_ == Hook::tcx ? attach_link(place, program) : attach_filter(place, program);
    if (attached) continue;
    detach(target.ifindex);
    return forward(std::move(attached), fmt::format("attach {} {}", target.name, direction_name(direction)));
  }
  return Done{};
}

Status Attachments::attach_link(const Place& place, int program_fd) {
  // First the filter of a process that had no TCX: a moment uncounted is better than one counted twice.
  detach_clsact(place.ifindex, place.direction);
  if (auto node = inherited_.extract(place); !node.empty()) links_.insert(std::move(node));
  if (const auto found = links_.find(place); found != links_.end()) {
    if (update_tcx(found->second.get(), program_fd)) return Done{};
    drop(links_, place);  // ENOLINK: the interface was deleted, and another has its number now
  }
  auto link = attach_tcx(program_fd, place.ifindex, place.direction);
  if (!link) return forward(std::move(link));
  if (pins_->usable()) {
    if (auto pinned = pins_->pin(link_pin(place.ifindex, place.direction), link->get()); !pinned)
      return pinned;
  }
  links_.emplace(place, *std::move(link));
  return Done{};
}

Status Attachments::attach_filter(const Place& place, int program_fd) {
  drop(inherited_, place);
  if (auto made = need_qdisc(place.ifindex); !made) return made;
  if (auto attached = attach_clsact(program_fd, place.ifindex, place.direction); !attached) return attached;
  filters_.insert(place);
  return Done{};
}

Status Attachments::need_qdisc(std::uint32_t ifindex) {
  const bool new_mark =
      pins_->mark(qdisc_mark(ifindex));  // before it is made, so that a kill leaves none unmarked
  auto made = create_clsact_qdisc(ifindex);
  if (made && *made)
    qdiscs_.insert(ifindex);
  else if (new_mark)
    pins_->unmark(qdisc_mark(ifindex));
  return made ? Status(Done{}) : forward(std::move(made));
}

void Attachments::drop(Links& links, const Place& place) {
  const auto found = links.find(place);
  if (found == links.end()) return;
  detach_tcx(found->second.get());
  pins_->unpin(link_pin(place.ifindex, place.direction));
  links.erase(found);
}

void Attachments::detach_place(const Place& place) {
  drop(links_, place);
  drop(inherited_, place);
  if (filters_.erase(place) > 0) detach_clsact(place.ifindex, place.direction);
}

void Attachments::detach(std::uint32_t ifindex) {
  for (const Direction direction : kDirections) detach_place({ifindex, direction});
  drop_qdisc_if_unused(ifindex);
}

void Attachments::forget(std::uint32_t ifindex) {
  bool ours_is_there = false;
  for (const Direction direction : kDirections) {
    const Place place{ifindex, direction};
    drop(links_, place);
    drop(inherited_, place);
    // Attached by number to the one that has it now, before we learnt that it is another.
    if (filters_.erase(place) > 0 && detach_clsact(ifindex, direction)) ours_is_there = true;
  }
  if (ours_is_there) return drop_qdisc_if_unused(ifindex);
  if (qdiscs_.erase(ifindex) > 0) pins_->unmark(qdisc_mark(ifindex));
}

void Attachments::detach_unwanted() {
  while (!inherited_.empty()) drop(inherited_, inherited_.begin()->first);
  drop_filters_not_ours_now();
  for (const std::uint32_t ifindex : std::set(qdiscs_)) drop_qdisc_if_unused(ifindex);
}

void Attachments::detach_all() {
  while (!links_.empty()) drop(links_, links_.begin()->first);
  filters_.clear();
  detach_unwanted();
}

void Attachments::drop_filters_not_ours_now() {
  struct if_nameindex* const interfaces = ::if_nameindex();
  if (interfaces == nullptr) return;
  for (const struct if_nameindex* i = interfaces; i->if_index != 0; ++i) {
    for (const Direction direction : kDirections)
      if (!filters_.contains({i->if_index, direction})) detach_clsact(i->if_index, direction);
  }
  ::if_freenameindex(interfaces);
}

void Attachments::drop_qdisc_if_unused(std::uint32_t ifindex) {
  for (const Direction direction : kDirections)
    if (filters_.contains({ifindex, direction})) return;
  if (qdiscs_.erase(ifindex) == 0) return;
  remove_empty_clsact_qdisc(ifindex);
  pins_->unmark(qdisc_mark(ifindex));
}

}  // namespace rheo
