// SPDX-License-Identifier: Apache-2.0
// Whose a socket is: from a path in the cgroup tree and a user's number to what records say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>

#include "daemon/enrich/cgroup_path.h"
#include "daemon/enrich/command_line.h"
#include "daemon/enrich/owner_directory.h"
#include "daemon/enrich/user_names.h"
#include "export/json/encode_json.h"
#include "export/owner_text.h"

namespace rheo {
namespace {

const std::string kId(64, 'a');

TEST(CgroupPath, UnitsAndSlices) {
  const CgroupMeaning service = read_cgroup_path("/system.slice/nginx.service");
  EXPECT_EQ(service.unit, "nginx.service");
  EXPECT_EQ(service.slice, "system.slice");
  const CgroupMeaning template_unit =
      read_cgroup_path("/system.slice/system-getty.slice/getty@tty1.service/control");
  EXPECT_EQ(template_unit.unit, "getty@tty1.service");
  EXPECT_EQ(template_unit.slice, "system-getty.slice");
  EXPECT_EQ(read_cgroup_path("/init.scope").unit, "init.scope");
  EXPECT_EQ(read_cgroup_path("/init.scope").slice, "-.slice");
  EXPECT_EQ(read_cgroup_path("/system.slice/_cpu.service").unit, "cpu.service");
  EXPECT_EQ(read_cgroup_path("/").unit, "");
  EXPECT_EQ(read_cgroup_path("").slice, "");
  EXPECT_EQ(read_cgroup_path("/somebody/elses/folder").unit, "");
}

TEST(CgroupPath, UsersAndSessions) {
  const CgroupMeaning session = read_cgroup_path("/user.slice/user-1000.slice/session-3.scope");
  EXPECT_EQ(session.unit, "session-3.scope");
  EXPECT_EQ(session.session, "3");
  EXPECT_EQ(session.slice, "user-1000.slice");
  const CgroupMeaning user =
      read_cgroup_path("/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service");
  EXPECT_EQ(user.unit, "user@1000.service");
  EXPECT_EQ(user.user_unit, "syncthing.service");
  EXPECT_EQ(user.session, "");
}

TEST(CgroupPath, Containers) {
  using Case = std::pair<std::string, std::pair<std::string, std::string>>;  // path; id and runtime
  for (const auto& [path, container] :
       {Case{"/system.slice/docker-" + kId + ".scope", {kId, "docker"}},
        Case{"/docker/" + kId, {kId, "docker"}},
        Case{"/machine.slice/libpod-" + kId + ".scope/container", {kId, "podman"}},
        Case{"/machine.slice/libpod-conmon-" + kId + ".scope", {"", ""}},
        Case{"/kubepods.slice/kubepods-besteffort.slice/cri-containerd-" + kId + ".scope",
             {kId, "containerd"}},
        Case{"/kubepods.slice/crio-" + kId + ".scope", {kId, "cri-o"}},
        Case{"/kubepods/burstable/pod1/" + kId, {kId, ""}}, Case{"/lxc.payload.web", {"web", "lxc"}},
        Case{"/lxc/web/system.slice/a.service", {"web", "lxc"}},
        Case{"/machine.slice/systemd-nspawn@my\\x2dweb.service/payload", {"my-web", "systemd-nspawn"}},
        Case{"/machine.slice/machine-my\\x2dweb.scope", {"my-web", "systemd-nspawn"}},
        Case{"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", {"", ""}},
        Case{"/system.slice/docker-short.scope", {"", ""}}}) {
    EXPECT_EQ(read_cgroup_path(path).container_id, container.first) << path;
    EXPECT_EQ(read_cgroup_path(path).container_runtime, container.second) << path;
  }
  const CgroupMeaning nested =
      read_cgroup_path("/system.slice/docker-" + kId + ".scope/docker/" + std::string(64, 'b'));
  EXPECT_EQ(nested.container_id, std::string(64, 'b'));
}

TEST(UserNames, FromTheFileAgainWhenItChanges) {
  const std::string file = testing::TempDir() + "passwd." + std::to_string(::getpid());
  UserNames missing(file);
  EXPECT_EQ(missing.find(33), "33");
  std::ofstream(file) << "www-data:x:33:33::/var/www:/bin/false\ntwice:x:33:33:::\nno line\n";
  EXPECT_EQ(missing.find(33), "www-data");
  EXPECT_EQ(missing.find(34), "34");
  ::unlink(file.c_str());
  EXPECT_EQ(missing.find(33), "www-data");
}

struct Notes final : OwnerNotes {
  std::optional<SocketOwner> read(std::uint32_t number) const override {
    const auto found = noted.find(number);
    return found == noted.end() ? std::nullopt : std::optional(found->second);
  }
  std::map<std::uint32_t, SocketOwner> noted;
};

SocketOwner nginx() {
  return {.number = 7,
          .pid = 812,
          .uid = 4'000'000'000,
          .start_ns = 1,
          .cgroup_id = 9,
          .comm = "nginx",
          .executable = "/usr/sbin/nginx",
          .cgroup = "/system.slice/nginx.service"};
}

TEST(OwnerDirectory, RemembersWhatTheKernelForgets) {
  const auto notes = std::make_shared<Notes>();
  notes->noted[7] = nginx();
  OwnerDirectory owners(notes);
  EXPECT_EQ(owners.find(0), nullptr);
  EXPECT_EQ(owners.find(1), nullptr);
  EXPECT_EQ(owners.find(8), nullptr);
  const auto owner = owners.find(7);
  ASSERT_NE(owner, nullptr);
  EXPECT_EQ(owner->unit, "nginx.service");
  EXPECT_EQ(owner->user, "4000000000");
  notes->noted.clear();
  EXPECT_EQ(owners.find(7), owner);
  EXPECT_EQ(owners.counters().resolved, 1u);
  EXPECT_EQ(owners.counters().forgotten, 1u);
  EXPECT_EQ(owners.counters().known, 1u);
}

TEST(OwnerDirectory, ForgetsThoseAskedForLongestAgo) {
  const auto notes = std::make_shared<Notes>();
  for (std::uint32_t number = 2; number < 20; ++number) notes->noted[number] = nginx();
  OwnerDirectory owners(notes, {.most = 8});
  const auto kept = owners.find(2);
  for (std::uint32_t number = 3; number < 20; ++number) {
    EXPECT_NE(owners.find(number), nullptr);
    EXPECT_EQ(owners.find(2), kept) << "asked for all the time";
    EXPECT_LE(owners.counters().known, 8u);
  }
}

/// A /proc of this test's own with one process, 812.
class CommandLine : public testing::Test {
 protected:
  CommandLine() : proc_(testing::TempDir() + "proc." + std::to_string(::getpid())) { write("", ""); }
  ~CommandLine() override { std::filesystem::remove_all(proc_); }

  void write(const std::string& name, const std::string& line, std::uint64_t ticks = 0) const {
    std::filesystem::create_directories(proc_ + "/812");
    std::ofstream(proc_ + "/812/stat")
        << "812 (" << name << ") S 1 812 812 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 " << ticks << " 12 13\n";
    std::ofstream(proc_ + "/812/cmdline") << line;
  }
  std::string read(SocketOwner owner) const { return read_command_line(proc_, owner); }

  const std::string proc_;
};

TEST_F(CommandLine, OfThatProcessAndProgramAlone) {
  SocketOwner noted = nginx();
  noted.start_ns = 123'456'789'000;  // 100 ticks a second
  const std::string line("nginx\0-g\0daemon off;\0", 22);
  write("nginx", line, 12'345);
  EXPECT_EQ(read(noted), "nginx -g daemon off;");
  write("nginx", line, 12'346);
  EXPECT_EQ(read(noted), "") << "another process with its number";
  write("sh", line, 12'345);
  EXPECT_EQ(read(noted), "") << "it runs another program";
  write("nginx", "", 12'345);
  EXPECT_EQ(read(noted), "") << "it is the kernel's";
  write("nginx", std::string(10'000, 'x'), 12'345);
  EXPECT_EQ(read(noted).size(), kMaxOwnerText);
  write(") 1 (", line, 12'345);
  noted.comm = ") 1 (";
  EXPECT_EQ(read(noted), "nginx -g daemon off;");
  noted.pid = 813;
  EXPECT_EQ(read(noted), "");
  noted.pid = 0;
  EXPECT_EQ(read(noted), "");
  for (const char* stat : {"", "812", "812 (nginx)", "812 )nginx( S 1", "812 (nginx) S 1 2 3"}) {
    std::ofstream(proc_ + "/812/stat") << stat;
    noted = nginx();
    EXPECT_EQ(read(noted), "") << stat;
  }
}

/// What a record of these owners says in JSON, without the record.
std::string said(Owners& owners, std::uint32_t source, std::uint32_t destination) {
  OwnerTexts texts(&owners, json_owner_format());
  FlowRecord record;
  record.source_owner = source;
  record.destination_owner = destination;
  return std::string(texts.of(record));
}

TEST(OwnerTexts, OneEndHasNoPrefixTwoHave) {
  const auto notes = std::make_shared<Notes>();
  notes->noted[7] = nginx();
  notes->noted[8] = {.number = 8, .pid = 0, .uid = 0, .comm = "a\"b\n", .executable = "", .cgroup = ""};
  OwnerDirectory owners(notes);
  EXPECT_EQ(said(owners, 0, 0), "");
  EXPECT_EQ(said(owners, 9, 0), "");
  const std::string alone =
      R"(,"process.pid":812,"process.executable.name":"nginx","process.executable.path":"/usr/sbin/nginx",)"
      R"("process.owner":"4000000000","systemd.unit":"nginx.service","systemd.slice":"system.slice")";
  EXPECT_EQ(said(owners, 7, 0), alone);
  EXPECT_EQ(said(owners, 0, 7), alone);
  EXPECT_EQ(said(owners, 9, 7), alone) << "the other end's owner is forgotten";
  const std::string both = said(owners, 8, 7);
  EXPECT_THAT(both, testing::StartsWith(
                        R"(,"source.process.executable.name":"a\"b\u000a","source.process.owner":"root")"));
  EXPECT_THAT(both, testing::HasSubstr(R"(,"destination.process.pid":812,)"));
}

TEST(OwnerTexts, LongNamesAreCut) {
  const auto notes = std::make_shared<Notes>();
  notes->noted[7] = nginx();
  notes->noted[7].executable = "/" + std::string(4'000, '\x01');
  OwnerDirectory owners(notes);
  EXPECT_LT(said(owners, 7, 7).size(), 2 * (6 * kMaxOwnerText + 500));
}

}  // namespace
}  // namespace rheo
