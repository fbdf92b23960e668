// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/owner_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <mntent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "bpf/abi.h"
#include "daemon/base/clock.h"
#include "daemon/datapath/pin_names.h"
#include "daemon/datapath/refusal.h"

// The skeleton names the type of `owner_settings` as C does.
using rheo::abi::owner_settings;
#include "owner.skel.h"

namespace rheo {
namespace {

struct OwnerProgram {
  const char* name;
  bpf_attach_type attach;
  bool cgroup;
  std::string_view without;  // what is lost without it
};

constexpr std::array kPrograms = {
    // First: the others are told whether it is there.
    OwnerProgram{"owner_accepts", BPF_TRACE_FEXIT, false,
                 "of who accepts: a connection is its listener's, and unknown where that is systemd's"},
    OwnerProgram{"owner_connects4", BPF_CGROUP_INET4_CONNECT, true, "of who connects another's IPv4 socket"},
    OwnerProgram{"owner_connects6", BPF_CGROUP_INET6_CONNECT, true, "of who connects another's IPv6 socket"},
    OwnerProgram{"owner_sends4", BPF_CGROUP_UDP4_SENDMSG, true, "of who sends with another's IPv4 socket"},
    OwnerProgram{"owner_sends6", BPF_CGROUP_UDP6_SENDMSG, true, "of who sends with another's IPv6 socket"},
    OwnerProgram{"owner_binds4", BPF_CGROUP_INET4_POST_BIND, true, "of who binds another's IPv4 socket"},
    OwnerProgram{"owner_binds6", BPF_CGROUP_INET6_POST_BIND, true, "of who binds another's IPv6 socket"},
    // Last: it leaves TCP to those before it where all are there.
    OwnerProgram{"owner_created", BPF_CGROUP_INET_SOCK_CREATE, true, "of sockets that are never connected"},
};
constexpr const char* kVisitor = "owner_of_older";
constexpr const char* kOwners = "the owners of flows";
constexpr const char* kKernelBtf = "/sys/kernel/btf/vmlinux";

struct Destroy {
  void operator()(owner_bpf* skeleton) const { owner_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<owner_bpf, Destroy>;

std::uint32_t own_pid_namespace() {
  struct stat status{};
  return ::stat("/proc/self/ns/pid", &status) == 0 ? static_cast<std::uint32_t>(status.st_ino) : 0;
}

std::uint64_t inode_of(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/// The directory at which the second version of cgroups is mounted.
Result<UniqueFd> open_root_cgroup() {
  FILE* const mounts = ::setmntent("/proc/self/mounts", "re");
  if (mounts == nullptr) return errno_error("/proc/self/mounts");
  UniqueFd root;
  while (const mntent* mount = ::getmntent(mounts)) {
    if (std::string_view(mount->mnt_type) != "cgroup2") continue;
    root = UniqueFd(::open(mount->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (root) break;
  }
  ::endmntent(mounts);
  if (!root) return failure("no cgroup2 file system is mounted", std::errc::no_such_file_or_directory);
  return root;
}

/// The programs read the kernel's own structures, at places that differ from kernel to kernel.
Status find_kernel_types() {
  if (::access(kKernelBtf, R_OK) == 0) return Done{};
  return errno_error(
      fmt::format("the kernel shows no type information (it needs CONFIG_DEBUG_INFO_BTF=y): {}", kKernelBtf));
}

std::string pin_of(const OwnerProgram& program) {
  return fmt::format("{}{}", kOwnerLinkPrefix, program.name);
}

/// Links of programs that an earlier rheod of the same schema had and this one does not.
void remove_unknown_links(const PinDirectory& pins) {
  for (const std::string& name : pins.names_beginning_with(kOwnerLinkPrefix))
    if (std::ranges::find(kPrograms, name, pin_of) == kPrograms.end()) pins.unpin(name);
}

/// The pinned one of the same program, replaced in one step where the kernel can, else anew.
Result<UniqueFd> attach(const OwnerProgram& program, int program_fd, int cgroup, const PinDirectory& pins) {
  if (program.cgroup && pins.has(pin_of(program))) {
    auto pinned = pins.get(pin_of(program));
    if (pinned && bpf_link_update(pinned->get(), program_fd, nullptr) == 0) return pinned;
  }
  UniqueFd link(bpf_link_create(program_fd, program.cgroup ? cgroup : 0, program.attach, nullptr));
  if (!link) return bpf_error(fmt::format("attach {}", program.name), errno);
  return link;
}

/// New notes begin where no earlier ones can have ended, unless those were of more than one process a
/// millisecond: flows may outlive notes, and then they are nobody's.
Status begin_numbers(int sequence) {
  abi::owner_counts counts{};
  const std::uint32_t zero = 0;
  if (bpf_map_lookup_elem(sequence, &zero, &counts) != 0) return bpf_error("read owner_sequence", errno);
  if (counts.given != 0 || counts.given_traced != 0) return Done{};
  counts.given = counts.given_traced = static_cast<std::uint32_t>(monotonic_ns() / 1'000'000);
  if (bpf_map_update_elem(sequence, &zero, &counts, BPF_ANY) != 0)
    return bpf_error("write owner_sequence", errno);
  return Done{};
}

/// Has the kernel visit every open file once.
Status visit(int program_fd) {
  const UniqueFd link(bpf_link_create(program_fd, 0, BPF_TRACE_ITER, nullptr));
  if (!link) return bpf_error(fmt::format("attach {}", kVisitor), errno);
  const UniqueFd visits(bpf_iter_create(link.get()));
  if (!visits) return bpf_error(fmt::format("start {}", kVisitor), errno);
  std::array<char, 64> nothing;
  for (;;) {
    const ssize_t count = ::read(visits.get(), nothing.data(), nothing.size());
    if (count == 0) return Done{};
    if (count < 0 && errno != EINTR && errno != EAGAIN) return errno_error(kVisitor);
  }
}

/// From the root down; "" where parts next to the root are missing.
std::string path_of(const abi::owner_path& noted) {
  std::string_view parts(noted.parts, std::min<std::size_t>(noted.bytes, sizeof noted.parts));
  std::string path;
  while (!parts.empty() && noted.complete != 0) {
    const std::string_view part = parts.substr(0, parts.find('\0'));
    path.insert(0, part);
    path.insert(0, 1, '/');
    parts.remove_prefix(std::min(parts.size(), part.size() + 1));
  }
  return path;
}

}  // namespace

/// Loads programs one by one into one set of maps.
class OwnerPrograms::Loader {
 public:
  Loader(const PinDirectory& pins, int cgroup) : pins_(pins), cgroup_(cgroup) {}

  /// A descriptor that the skeleton lends.
  Result<std::pair<Skeleton, int>> load(const char* name);
  Result<UniqueFd> attach_one(const OwnerProgram& program);

  void set_follows_accept() { follows_accept_ = 1; }
  void set_misses_calls() { notes_tcp_later_ = 0; }
  bool has_maps() const { return maps_[0].operator bool(); }
  int map(std::size_t index) const { return maps_[index].get(); }

 private:
  Status use_maps(const Skeleton& skeleton) const;
  Status keep_maps(const Skeleton& skeleton);

  const PinDirectory& pins_;
  const int cgroup_;
  std::uint32_t follows_accept_ = 0;
  std::uint32_t notes_tcp_later_ = 1;
  std::array<UniqueFd, kOwnerMapPins.size()> maps_;  // by kOwnerMapPins
};

Status OwnerPrograms::Loader::use_maps(const Skeleton& skeleton) const {
  for (std::size_t i = 0; i < maps_.size(); ++i) {
    bpf_map* const map = bpf_object__find_map_by_name(skeleton->obj, kOwnerMapPins[i]);
    UniqueFd pinned;
    if (!maps_[i] && pins_.has(kOwnerMapPins[i]))
      if (auto got = pins_.get(kOwnerMapPins[i])) pinned = *std::move(got);
    const int fd = maps_[i] ? maps_[i].get() : pinned.get();
    if (fd < 0) continue;
    if (const int error = bpf_map__reuse_fd(map, fd); error != 0)
      return bpf_error(fmt::format("use the map {}", kOwnerMapPins[i]), -error);
  }
  return Done{};
}

/// From the first program that could be loaded.
Status OwnerPrograms::Loader::keep_maps(const Skeleton& skeleton) {
  if (has_maps()) return Done{};
  for (std::size_t i = 0; i < maps_.size(); ++i) {
    const bpf_map* const map = bpf_object__find_map_by_name(skeleton->obj, kOwnerMapPins[i]);
    maps_[i] = UniqueFd(::fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0));
    if (!maps_[i]) return errno_error(kOwnerMapPins[i]);
    if (!pins_.usable()) continue;
    if (Status pinned = pins_.pin(kOwnerMapPins[i], maps_[i].get()); !pinned) return pinned;
  }
  return begin_numbers(map(kOwnerSequenceMap));
}

Result<std::pair<Skeleton, int>> OwnerPrograms::Loader::load(const char* name) {
  Skeleton skeleton(owner_bpf__open());
  if (!skeleton) return bpf_error("open the BPF object of owners", errno);
  skeleton->rodata->owner_settings = {.cgroup_root = inode_of(cgroup_),
                                      .pid_namespace = own_pid_namespace(),
                                      .follows_accept = follows_accept_,
                                      .notes_tcp_later = notes_tcp_later_,
                                      .zero = 0};
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj)
      bpf_program__set_autoload(program, std::string_view(bpf_program__name(program)) == name);
  if (Status used = use_maps(skeleton); !used) return forward(std::move(used));
  if (const int error = owner_bpf__load(skeleton.get()); error != 0)
    return bpf_error(fmt::format("load {}", name), -error);
  if (Status kept = keep_maps(skeleton); !kept) return forward(std::move(kept));
  const int fd = bpf_program__fd(bpf_object__find_program_by_name(skeleton->obj, name));
  return std::pair(std::move(skeleton), fd);
}

Result<UniqueFd> OwnerPrograms::Loader::attach_one(const OwnerProgram& program) {
  auto loaded = load(program.name);
  if (!loaded) return forward(std::move(loaded));
  auto link = attach(program, loaded->second, cgroup_, pins_);
  if (link && pins_.usable())
    if (Status pinned = pins_.pin(pin_of(program), link->get()); !pinned) return forward(std::move(pinned));
  return link;
}

std::shared_ptr<OwnerPrograms> OwnerPrograms::start(const PinDirectory& pins, DatapathNotes& notes) {
  const auto stay_unknown = [&notes](const Error& why) {
    notes.push_back({true, fmt::format("{} stay unknown: {}", kOwners, why.what)});
    return nullptr;
  };
  const auto cgroup = open_root_cgroup();
  if (!cgroup) return stay_unknown(cgroup.error());
  if (const Status types = find_kernel_types(); !types) return stay_unknown(types.error());
  auto programs = std::make_shared<OwnerPrograms>();
  remove_unknown_links(pins);
  Loader loader(pins, cgroup->get());
  for (const OwnerProgram& program : kPrograms) {
    auto link = loader.attach_one(program);
    if (link) {
      if (!program.cgroup) loader.set_follows_accept();
      programs->links_.push_back(*std::move(link));
      continue;
    }
    if (program.cgroup) loader.set_misses_calls();
    notes.push_back(
        {program.cgroup, fmt::format("{} without that {}: {}", kOwners, program.without, link.error().what)});
  }
  if (programs->links_.empty() || !loader.has_maps()) return nullptr;

  auto visitor = loader.load(kVisitor);
  const Status visited = visitor ? visit(visitor->second) : Status(forward(std::move(visitor)));
  if (!visited)
    notes.push_back({false, fmt::format("{} without those of sockets that are there already: {}", kOwners,
                                        visited.error().what)});
  auto slots = Mapping::map(loader.map(kOwnersMap), abi::OWNER_SLOTS * sizeof(abi::owner_slot), 0,
                            Mapping::Access::read);
  if (!slots) return stay_unknown(slots.error());
  programs->slots_ = *std::move(slots);
  programs->socket_owners_ = UniqueFd(::fcntl(loader.map(kSocketOwnersMap), F_DUPFD_CLOEXEC, 0));
  programs->recent_owners_ = UniqueFd(::fcntl(loader.map(kRecentOwnersMap), F_DUPFD_CLOEXEC, 0));
  return programs;
}

std::optional<SocketOwner> OwnerPrograms::read(std::uint32_t number) const {
  if (number < kFirstOwner) return std::nullopt;
  auto* const slots = reinterpret_cast<abi::owner_slot*>(slots_.data());
  abi::owner_slot& slot = slots[abi::owner_place(number)];
  const std::atomic_ref place(slot.number);
  if (place.load(std::memory_order_acquire) != number) return std::nullopt;
  abi::owner_slot copy;
  std::memcpy(&copy, &slot, sizeof copy);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (place.load(std::memory_order_relaxed) != number) return std::nullopt;

  return SocketOwner{.number = number,
                     .pid = copy.pid,
                     .uid = copy.uid,
                     .start_ns = copy.start_ns,
                     .cgroup_id = copy.cgroup_id,
                     .comm = std::string(copy.comm, ::strnlen(copy.comm, sizeof copy.comm)),
                     .executable = path_of(copy.executable),
                     .cgroup = path_of(copy.cgroup)};
}

void OwnerPrograms::remove_pins(const PinDirectory& pins) {
  for (const std::string& name : pins.names_beginning_with(kOwnerLinkPrefix)) pins.unpin(name);
  for (const char* name : kOwnerMapPins) pins.unpin(name);
}

}  // namespace rheo
