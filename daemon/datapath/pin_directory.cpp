// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/pin_directory.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>

#include "bpf/abi.h"
#include "daemon/datapath/refusal.h"

namespace rheo {
namespace {

constexpr mode_t kForUsAlone = 0700;

std::string error_text(int number) { return std::error_code(number, std::system_category()).message(); }

std::vector<std::string> list(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
    names.push_back(entry->path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

bool is_schema_folder(std::string_view name) {
  return name.size() > 1 && name[0] == 'v' &&
         std::all_of(name.begin() + 1, name.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// Why nothing can be pinned in `folder`, or in `parent` where `folder` is to be made; "" where it can.
std::string obstacle(const std::string& folder) {
  std::string existing = folder;
  if (::access(folder.c_str(), F_OK) != 0) existing = std::filesystem::path(folder).parent_path();
  struct statfs fs{};
  if (::statfs(existing.c_str(), &fs) != 0) return fmt::format("{}: {}", existing, error_text(errno));
  if (fs.f_type != BPF_FS_MAGIC)
    return fmt::format("{} is not on a BPF file system (mount -t bpf bpf /sys/fs/bpf)", folder);
  if (::access(existing.c_str(), W_OK) != 0) return fmt::format("{}: {}", existing, error_text(errno));
  return "";
}

}  // namespace

PinDirectory PinDirectory::open(const std::string& path, DatapathNotes& notes) {
  PinDirectory pins;
  if (path.empty()) {
    pins.give_up("no pin directory is set", notes);
    return pins;
  }
  pins.base_ = path;
  while (pins.base_.size() > 1 && pins.base_.back() == '/') pins.base_.pop_back();
  const std::string version = fmt::format("v{}", static_cast<int>(abi::ABI_SCHEMA));
  pins.versioned_ = pins.base_ + "/" + version;

  if (const std::string why = obstacle(pins.base_); !why.empty()) {
    pins.give_up(why, notes);
    return pins;
  }
  pins.usable_ = true;
  return pins;
}

void PinDirectory::give_up(std::string_view why, DatapathNotes& notes) {
  usable_ = false;
  notes.push_back(
      {true, fmt::format("{}: running without pins, so when rheod is killed the flows counted since its "
                         "last drain are lost and nothing is counted until its next start (clsact "
                         "filters stay attached until then, but count for nobody)",
                         why)});
}

void PinDirectory::create(DatapathNotes& notes) {
  if (!usable_) return;
  const bool base_is_new = ::mkdir(base_.c_str(), kForUsAlone) == 0;
  made_base_ = made_base_ || base_is_new;
  if (!base_is_new && errno != EEXIST)
    return give_up(fmt::format("create {}: {}", base_, error_text(errno)), notes);
  if (::mkdir(versioned_.c_str(), kForUsAlone) != 0 && errno != EEXIST)
    give_up(fmt::format("create {}: {}", versioned_, error_text(errno)), notes);
}

bool PinDirectory::has(const std::string& name) const {
  return usable_ && ::access(path_of(name).c_str(), F_OK) == 0;
}

Result<UniqueFd> PinDirectory::get(const std::string& name) const {
  UniqueFd fd(bpf_obj_get(path_of(name).c_str()));
  if (!fd) return bpf_error(fmt::format("open {}", path_of(name)), errno);
  return fd;
}

Status PinDirectory::pin(const std::string& name, int fd) const {
  unpin(name);
  if (bpf_obj_pin(fd, path_of(name).c_str()) != 0)
    return bpf_error(fmt::format("pin {}", path_of(name)), errno);
  return Done{};
}

bool PinDirectory::unpin(const std::string& name) const {
  return usable_ && (::unlink(path_of(name).c_str()) == 0 || errno == ENOENT);
}

bool PinDirectory::mark(const std::string& name) const {
  return usable_ && ::mkdir(path_of(name).c_str(), kForUsAlone) == 0;
}

void PinDirectory::unmark(const std::string& name) const {
  if (usable_) ::rmdir(path_of(name).c_str());
}

std::vector<std::string> PinDirectory::names_beginning_with(std::string_view prefix) const {
  if (!usable_) return {};
  std::vector<std::string> names = list(versioned_);
  std::erase_if(names, [prefix](const std::string& name) { return !name.starts_with(prefix); });
  return names;
}

std::vector<PinDirectory> PinDirectory::other_schemas() const {
  std::vector<PinDirectory> others;
  if (!usable_) return others;
  for (const std::string& name : list(base_)) {
    PinDirectory other;
    other.base_ = base_;
    other.versioned_ = base_ + "/" + name;
    other.usable_ = true;
    if (other.versioned_ != versioned_ && is_schema_folder(name)) others.push_back(std::move(other));
  }
  return others;
}

bool PinDirectory::remove_folder() const {
  return usable_ && (::rmdir(versioned_.c_str()) == 0 || errno == ENOENT);
}

void PinDirectory::remove() {
  if (!usable_) return;
  remove_folder();
  if (made_base_ && ::rmdir(base_.c_str()) == 0) made_base_ = false;
}

}  // namespace rheo
