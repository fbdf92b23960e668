// SPDX-License-Identifier: Apache-2.0
// What the kernel or the host denies us is said in one clear sentence, or done without and noted.
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <cstddef>

#include "tests/bpf/datapath_sandbox.h"

namespace rheo::test {
namespace {

constexpr uid_t kNobody = 65534;

std::string outcome_of_load(const DatapathOptions& options) {
  const auto datapath = Datapath::load(options);
  return datapath ? "loaded" : datapath.error().what;
}

/// Every bpf() call fails with that errno from here on.
bool deny_bpf(int number) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(number)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{.len = std::size(program), .filter = program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// An unprivileged user, but for these capabilities.
bool become_nobody(std::initializer_list<unsigned> capabilities) {
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || ::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 ||
      ::setuid(kNobody) != 0)
    return false;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  for (const unsigned capability : capabilities) {
    data[capability / 32].effective |= 1U << capability % 32;
    data[capability / 32].permitted |= 1U << capability % 32;
  }
  return ::syscall(SYS_capset, &header, data) == 0;
}

TEST_F(DatapathSandbox, NoPrivilege) {
  const std::string said =
      in_child([this] { return become_nobody({}) ? outcome_of_load(options_) : "cannot"; });
  EXPECT_TRUE(said.ends_with(
      ": Operation not permitted: rheod needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or root"))
      << said;
}

TEST_F(DatapathSandbox, NoBpfSystemCall) {
  const std::string said =
      in_child([this] { return deny_bpf(ENOSYS) ? outcome_of_load(options_) : "cannot"; });
  EXPECT_TRUE(
      said.ends_with(": Function not implemented: this kernel has no bpf() system call, or a system call "
                     "filter hides it"))
      << said;
}

TEST_F(DatapathSandbox, BpfForbiddenToRoot) {
  const std::string said =
      in_child([this] { return deny_bpf(EPERM) ? outcome_of_load(options_) : "cannot"; });
  EXPECT_NE(
      said.find("Operation not permitted: rheod has the capabilities it needs, so a system call filter"),
      std::string::npos)
      << said;
}

// The kernel's verifier lets no program without CAP_PERFMON do what metering does.
TEST_F(DatapathSandbox, NoPerfmon) {
  const std::string said = in_child(
      [this] { return become_nobody({CAP_BPF, CAP_NET_ADMIN}) ? outcome_of_load(options_) : "cannot"; });
  EXPECT_TRUE(
      said.ends_with(": Permission denied: rheod needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, or root"))
      << said;
}

TEST_F(DatapathSandbox, NoTypeInformation) {
  ASSERT_EQ(::mount("none", "/sys/kernel/btf", "tmpfs", 0, nullptr), 0) << std::strerror(errno);
  const auto datapath = load();
  ASSERT_TRUE(datapath);
  EXPECT_TRUE(datapath->attach(target("veth_a")));
  const std::string notes = all_notes(*datapath);
  EXPECT_NE(notes.find("the owners of flows stay unknown: the kernel shows no type information (it needs "
                       "CONFIG_DEBUG_INFO_BTF=y): /sys/kernel/btf/vmlinux: No such file or directory"),
            std::string::npos)
      << notes;
  ::umount2("/sys/kernel/btf", MNT_DETACH);
}

TEST_F(DatapathSandbox, AReadOnlyBpffs) {
  ASSERT_EQ(::mount(nullptr, folder_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
  auto datapath = load();
  ASSERT_TRUE(datapath);
  EXPECT_FALSE(datapath->pinned());
  const std::string notes = all_notes(*datapath);
  EXPECT_NE(
      notes.find(
          "Read-only file system: running without pins, so when rheod is killed the flows counted since "
          "its last drain are lost"),
      std::string::npos)
      << notes;
}

TEST_F(DatapathSandbox, SizesThatAreNotPossible) {
  options_.evicted_ring = 3U << 20U;
  EXPECT_EQ(outcome_of_load(options_),
            "evicted_ring: 3145728 bytes is not a power of two from 4096 to 2147483648");
  options_.evicted_ring = 4096;
  options_.vxlan_ports.assign(9, 4789);
  EXPECT_EQ(outcome_of_load(options_), "vxlan_ports: 9 ports given, at most 8 are possible");
}

// The service's user has these three and nothing else.
TEST_F(DatapathSandbox, ThreeCapabilitiesAreEnough) {
  ASSERT_EQ(::mkdir(options_.pin_directory.c_str(), 0700), 0);
  ASSERT_EQ(::chown(options_.pin_directory.c_str(), kNobody, kNobody), 0);
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  for (const Hook hook : {Hook::tcx, Hook::clsact}) {
    options_.hook = hook;
    const std::string said = in_child([this]() -> std::string {
      if (!become_nobody({CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON})) return "cannot";
      for (int run = 0; run < 2; ++run) {
        auto datapath = Datapath::load(options_);
        if (!datapath) return datapath.error().what;
        if (!(*datapath)->pinned()) return "not pinned";
        if (auto attached = (*datapath)->attach(target("veth_a")); !attached) return attached.error().what;
        if (run == 0) continue;  // the second takes over what the first left
        (*datapath)->detach_all();
        (*datapath)->remove_pins();
      }
      return "done";
    });
    EXPECT_EQ(said, "done");
    EXPECT_TRUE(tcx_programs("veth_a", Direction::ingress).empty());
    EXPECT_EQ(run("tc qdisc show dev veth_a").find("clsact"), std::string::npos);
    EXPECT_TRUE(std::filesystem::is_empty(options_.pin_directory));
  }
}

}  // namespace
}  // namespace rheo::test
