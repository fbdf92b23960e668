// SPDX-License-Identifier: Apache-2.0
// Names and images of containers, out of files as the runtimes write them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/enrich/container_files.h"
#include "daemon/enrich/container_names.h"
#include "daemon/enrich/json_strings.h"
#include "daemon/enrich/owner_directory.h"

namespace rheo {
namespace {

const std::string kId(64, 'a');
const std::string kOther(64, 'b');
constexpr std::uint64_t kSecond = 1'000'000'000;

class ContainerFiles : public testing::Test {
 protected:
  ContainerFiles() : root_(testing::TempDir() + "containers." + std::to_string(::getpid())) {
    std::filesystem::remove_all(root_);
  }
  ~ContainerFiles() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void write_docker(const std::string& text) const {
    write("/var/lib/docker/containers/" + kId + "/config.v2.json", text);
  }
  ContainerLabel label(const std::string& runtime, const std::string& id = kId) const {
    return read_container_label(root_, id, runtime);
  }

  const std::string root_;
};

TEST_F(ContainerFiles, OfDocker) {
  EXPECT_EQ(label("docker"), ContainerLabel());
  write_docker(R"({"StreamConfig":{},"State":{"Running":true,"Pid":812},"ID":")" + kId +
               R"(","Args":["-g"],"Config":{"Hostname":"h","Image":"nginx:1.27","Labels":{"Image":"x"}},)"
               R"("Image":"sha256:12","Name":"/web","MountPoints":{}})");
  EXPECT_EQ(label("docker"), (ContainerLabel{"web", "nginx:1.27"}));
  EXPECT_EQ(label("podman"), ContainerLabel()) << "another runtime's";
  EXPECT_EQ(label(""), (ContainerLabel{"web", "nginx:1.27"})) << "the cgroup does not tell the runtime";
  EXPECT_EQ(label("docker", kOther), ContainerLabel());
}

TEST_F(ContainerFiles, OfPodmanAndCriO) {
  const std::string metadata =
      R"("metadata":"{\"image-name\":\"docker.io/library/nginx:1.27\",\"image-id\":\"12\",\"name\":\"web\"}")";
  write("/var/lib/containers/storage/overlay-containers/containers.json",
        R"([{"id":")" + kOther + R"(","names":["other"],"metadata":"{\"image-name\":\"other:1\"}"},{"id":")" +
            kId + R"(","names":["web","alias"],"image":"34","layer":"56",)" + metadata +
            R"(,"created":"2026-11-21T22:55:34Z","flags":{"MountLabel":""}}])");
  EXPECT_EQ(label("podman"), (ContainerLabel{"web", "docker.io/library/nginx:1.27"}));
  EXPECT_EQ(label("cri-o", kOther), (ContainerLabel{"other", "other:1"}));
  EXPECT_EQ(label("podman", std::string(64, 'c')), ContainerLabel());
  write(
      "/var/lib/containers/storage/overlay-containers/volatile-containers.json",
      R"([{"metadata":"{\"image-name\":\"quay.io/a:1\",\"metadata-name\":\"app\"}","names":["k8s_app_pod"],"id":")" +
          std::string(64, 'c') + R"("}])");
  EXPECT_EQ(label("cri-o", std::string(64, 'c')), (ContainerLabel{"app", "quay.io/a:1"}));
}

TEST_F(ContainerFiles, OfContainerd) {
  const std::string folder = "/run/containerd/io.containerd.runtime.v2.task/";
  write(
      folder + "k8s.io/" + kId + "/config.json",
      R"({"ociVersion":"1.0.2","process":{"args":["a"]},"annotations":{"io.kubernetes.cri.container-name":"app",)"
      R"("io.kubernetes.cri.image-name":"quay.io/app:3","io.kubernetes.cri.sandbox-name":"app-7f"}})");
  write(folder + "default/" + kOther + "/config.json", R"({"annotations":{"nerdctl/name":"web"}})");
  EXPECT_EQ(label("containerd"), (ContainerLabel{"app", "quay.io/app:3"}));
  EXPECT_EQ(label("containerd", kOther), (ContainerLabel{"web", ""}));
  EXPECT_EQ(label("", kOther), (ContainerLabel{"web", ""}));
}

TEST_F(ContainerFiles, OfThoseWhoseIdIsTheirName) {
  EXPECT_EQ(label("lxc", "web"), (ContainerLabel{"web", ""}));
  EXPECT_EQ(label("systemd-nspawn", "web"), (ContainerLabel{"web", ""}));
  write("/run/systemd/machines/web", "# private\nNAME=web\nROOT=/var/lib/machines/web\nLEADER=12\n");
  EXPECT_EQ(label("systemd-nspawn", "web"), (ContainerLabel{"web", "/var/lib/machines/web"}));
  write("/run/systemd/machines/web", "ROOT=/only");
  EXPECT_EQ(label("systemd-nspawn", "web"), (ContainerLabel{"web", "/only"}));
}

TEST_F(ContainerFiles, AnIdIsOneWordOfAPath) {
  write_docker(R"({"Name":"/web"})");
  for (const std::string& id :
       {std::string(), std::string(".."), "../containers/" + kId, kId + "/", std::string("a b"),
        std::string("a\0b", 3), std::string(129, 'a'), std::string(".hidden")}) {
    EXPECT_FALSE(is_container_word(id)) << id;
    EXPECT_EQ(label("docker", id), ContainerLabel()) << id;
    EXPECT_EQ(label("lxc", id), ContainerLabel()) << id;
  }
}

TEST_F(ContainerFiles, BehindALinkIsNothing) {
  const std::string folder = root_ + "/var/lib/docker/containers";
  write("/elsewhere/config.v2.json", R"({"Name":"/secret"})");
  std::filesystem::create_directories(folder);
  std::filesystem::create_directory_symlink(root_ + "/elsewhere", folder + "/" + kId);
  EXPECT_EQ(label("docker"), ContainerLabel());
  std::filesystem::remove(folder + "/" + kId);
  std::filesystem::create_directory(folder + "/" + kId);
  std::filesystem::create_symlink(root_ + "/elsewhere/config.v2.json",
                                  folder + "/" + kId + "/config.v2.json");
  EXPECT_EQ(label("docker"), ContainerLabel());
  std::filesystem::remove(folder + "/" + kId + "/config.v2.json");
  ASSERT_EQ(::mkfifo((folder + "/" + kId + "/config.v2.json").c_str(), 0600), 0);
  EXPECT_EQ(label("docker"), ContainerLabel()) << "and nothing waits for a writer";
}

TEST_F(ContainerFiles, BrokenOnesSayNothing) {
  for (const std::string& text :
       {std::string(), std::string("["), std::string(R"({"Name":"/web")"),
        std::string(R"({"Name":["/web"]})"), std::string(R"({"Name":7})"), std::string("{\"Name\":\"\xff\"}"),
        std::string(R"({"Name":"/web"} and more)"), std::string(R"({"a":{"Name":"/web"}})"),
        std::string(100'000, '['), R"({"Name":"/web","a":")" + std::string(kMaxContainerFile, 'x') + "\"}"}) {
    write_docker(text);
    EXPECT_EQ(label("docker"), ContainerLabel()) << text.substr(0, 40);
  }
  write("/var/lib/containers/storage/overlay-containers/containers.json",
        R"([{"id":")" + kId + R"(","names":["web"],"metadata":"no JSON"}])");
  EXPECT_EQ(label("podman"), (ContainerLabel{"web", ""}));
}

TEST_F(ContainerFiles, NamesAreCutBetweenCharactersAndHaveNoControls) {
  write_docker(R"({"Name":"a\u0000\u001b[1m","Config":{"Image":"x)" + [] {
    std::string text;
    for (int i = 0; i < 100; ++i) text += "é";
    return text;
  }() + "\"}}");
  EXPECT_EQ(label("docker").name, "a??[1m");
  EXPECT_EQ(label("docker").image.size(), 127U);
}

TEST_F(ContainerFiles, FoldersThatMayNotBeRead) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root, to be another user";
  write_docker("{}");
  const std::string folder = root_ + "/var/lib/docker/containers";
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
  EXPECT_THAT(unreadable_container_folders(root_), testing::IsEmpty());
  ASSERT_EQ(::seteuid(65'534), 0);
  const std::vector<std::string> refused = unreadable_container_folders(root_);
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_THAT(refused, testing::ElementsAre(folder + ": Permission denied"));
}

TEST_F(ContainerFiles, AreReadOnceForAWhile) {
  ContainerNames names(root_);
  EXPECT_EQ(names.find(kId, "docker", kSecond).name, "");
  write_docker(R"({"Name":"/web"})");
  EXPECT_EQ(names.find(kId, "docker", 10 * kSecond).name, "");
  EXPECT_EQ(names.find(kId, "docker", 11 * kSecond).name, "web");
  write_docker(R"({"Name":"/renamed"})");
  EXPECT_EQ(names.find(kId, "docker", 70 * kSecond).name, "web");
  EXPECT_EQ(names.find(kId, "docker", 71 * kSecond).name, "renamed");
  EXPECT_EQ(names.named(), 2U);
  EXPECT_EQ(names.unnamed(), 1U);
}

struct OneNote final : OwnerNotes {
  std::optional<SocketOwner> read(std::uint32_t number) const override {
    return SocketOwner{.number = number,
                       .pid = 812,
                       .comm = "nginx",
                       .executable = "/usr/sbin/nginx",
                       .cgroup = "/system.slice/docker-" + kId + ".scope"};
  }
};

TEST_F(ContainerFiles, OwnersHaveThemWhereTheyAreAskedFor) {
  write_docker(R"({"Name":"/web","Config":{"Image":"nginx:1.27"}})");
  OwnerDirectory asked(std::make_shared<OneNote>(), {.container_names = true, .root = root_});
  EXPECT_EQ(asked.find(7)->container_name, "web");
  EXPECT_EQ(asked.find(8)->container_image, "nginx:1.27");
  EXPECT_EQ(asked.counters().containers_named, 1U);
  OwnerDirectory not_asked(std::make_shared<OneNote>(), {.root = root_});
  EXPECT_EQ(not_asked.find(7)->container_name, "");
  EXPECT_EQ(not_asked.find(7)->container_id, kId);
}

TEST(JsonStrings, AreFoundByTheirPathsAlone) {
  std::string first;
  std::string second;
  EXPECT_TRUE(read_json_strings(R"({"a":{"b":"deep"},"b":"flat","c":[["x"],"y"],"b":"again"})",
                                {{{"b"}, &first}, {{"c", "[]"}, &second}}));
  EXPECT_EQ(first, "flat");
  EXPECT_EQ(second, "y");
  EXPECT_TRUE(read_json_strings(std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']'), {}));
  EXPECT_FALSE(
      read_json_strings(std::string(kMaxJsonDepth + 1, '[') + std::string(kMaxJsonDepth + 1, ']'), {}));
}

}  // namespace
}  // namespace rheo
