// SPDX-License-Identifier: Apache-2.0
#include "export/owner_text.h"

#include <memory>

namespace rheo {
namespace {

constexpr std::size_t kMostTexts = 8'192;
constexpr unsigned kSource =
    static_cast<unsigned>(Field::source_process_pid) - static_cast<unsigned>(Field::process_pid);
constexpr unsigned kDestination =
    static_cast<unsigned>(Field::destination_process_pid) - static_cast<unsigned>(Field::process_pid);

}  // namespace

std::string_view OwnerTexts::find(std::uint32_t source, std::uint32_t destination) {
  const std::uint64_t key = std::uint64_t{source} << 32U | destination;
  if (const auto found = texts_.find(key); found != texts_.end()) return found->second;
  if (texts_.size() >= kMostTexts) texts_.clear();
  std::string& out = texts_[key];
  const std::shared_ptr<const Owner> from = owners_->find(source);
  const std::shared_ptr<const Owner> to = owners_->find(destination);
  if (from) render(out, *from, to ? kSource : 0);
  if (to) render(out, *to, from ? kDestination : 0);
  return out;
}

void OwnerTexts::render(std::string& out, const Owner& owner, unsigned offset) const {
  const auto field = [offset](Field first) {
    return static_cast<Field>(static_cast<unsigned>(first) + offset);
  };
  const auto text = [&](Field first, std::string_view value) {
    if (!value.empty()) format_.text(out, field(first), value.substr(0, kMaxOwnerText));
  };
  if (owner.pid != 0) format_.integer(out, field(Field::process_pid), owner.pid);
  text(Field::process_executable_name, owner.name);
  text(Field::process_executable_path, owner.executable);
  text(Field::process_command_line, owner.command_line);
  text(Field::process_owner, owner.user);
  text(Field::systemd_unit, owner.unit);
  text(Field::systemd_user_unit, owner.user_unit);
  text(Field::systemd_slice, owner.slice);
  text(Field::systemd_session, owner.session);
  text(Field::container_id, owner.container_id);
  text(Field::container_name, owner.container_name);
  text(Field::container_image_name, owner.container_image);
  text(Field::container_runtime, owner.container_runtime);
}

}  // namespace rheo
