// SPDX-License-Identifier: Apache-2.0
// The JSON exporter and real files: what is in them after failures, rotations and deaths.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "export/json/encode_json.h"
#include "export/json/json_exporter.h"
#include "tests/unit/json_records.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class JsonFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "rheo-json-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ / "flows.json";
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::unique_ptr<JsonExporter> make(const fs::path& path) {
    return std::make_unique<JsonExporter>(JsonExporterOptions{.path = path.string(), .links = links_});
  }

  /// Opens as the lane does, then writes.
  static Status write(JsonExporter& exporter, const FlowBatch& batch) {
    if (Status opened = exporter.open(); !opened) return opened;
    return exporter.write(batch);
  }

  static FlowBatch batch(std::uint64_t first, int count) {
    FlowBatch b;
    b.first_position = first;
    for (int i = 0; i < count; ++i) {
      b.records.push_back(test::tcp_record());
      b.records.back().flow_id = first + static_cast<std::uint64_t>(i);
    }
    return b;
  }

  std::string text(std::uint64_t first, int count) const {
    std::string lines;
    for (const FlowRecord& record : batch(first, count).records)
      append_json(lines, record, {.links = *links_.get()});
    return lines;
  }

  static std::string read(const fs::path& path) {
    std::ifstream file(path);
    std::stringstream content;
    content << file.rdbuf();
    return content.str();
  }

  Snapshot<LinkTable> links_{test::links()};
  fs::path folder_;
  fs::path path_;
};

TEST_F(JsonFileTest, IsMadeForOwnerAndGroupOnlyAndAppendedTo) {
  const mode_t mask = umask(0);
  ASSERT_TRUE(write(*make(path_), batch(0, 2)));
  umask(mask);
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms(0640));
  ASSERT_TRUE(write(*make(path_), batch(2, 1)));
  EXPECT_EQ(read(path_), text(0, 3));
}

TEST_F(JsonFileTest, TheMarkIsTheFilesEnd) {
  const auto exporter = make(path_);
  EXPECT_EQ(exporter->mark(), FileMark{});
  ASSERT_TRUE(exporter->open());
  struct stat status{};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(exporter->mark(), (FileMark{.device = status.st_dev, .inode = status.st_ino, .offset = 0}));
  ASSERT_TRUE(exporter->write(batch(0, 2)));
  EXPECT_EQ(exporter->mark().offset, text(0, 2).size());
}

// What kill -9 leaves behind: a batch that was written and not acknowledged, and half of another.
TEST_F(JsonFileTest, ResumeCutsBackToTheMark) {
  const auto dead = make(path_);
  ASSERT_TRUE(write(*dead, batch(0, 2)));
  const FileMark acknowledged = dead->mark();
  ASSERT_TRUE(write(*dead, batch(2, 2)));
  std::ofstream(path_, std::ios::app) << "{\"flow.id\":\"torn";

  const auto next = make(path_);
  ASSERT_TRUE(next->resume(acknowledged));
  EXPECT_EQ(read(path_), text(0, 2));
  ASSERT_TRUE(write(*next, batch(2, 2)));
  EXPECT_EQ(read(path_), text(0, 4));
}

TEST_F(JsonFileTest, TheFirstBatchInANewFileCanBeCutBackToo) {
  const auto dead = make(path_);
  ASSERT_TRUE(dead->open());
  const FileMark stored = dead->mark();  // by the lane, before the write
  ASSERT_TRUE(dead->write(batch(0, 2)));
  ASSERT_TRUE(make(path_)->resume(stored));
  EXPECT_EQ(read(path_), "");
}

TEST_F(JsonFileTest, ResumeLeavesOtherFilesAlone) {
  const auto dead = make(path_);
  ASSERT_TRUE(write(*dead, batch(0, 2)));
  FileMark mark = dead->mark();
  mark.offset += 1'000;  // a shorter file
  ASSERT_TRUE(make(path_)->resume(mark));
  EXPECT_EQ(read(path_), text(0, 2));
  mark.offset = 0;
  fs::rename(path_, folder_ / "flows.json.1");
  std::ofstream(path_) << "somebody else's\n";
  ASSERT_TRUE(make(path_)->resume(mark));
  EXPECT_EQ(read(path_), "somebody else's\n");
  fs::remove(path_);
  EXPECT_TRUE(make(path_)->resume(mark)) << "a file that is gone is nobody's fault";
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(JsonFileTest, RotationMovesToTheNewFileWhenAsked) {
  const auto exporter = make(path_);
  ASSERT_TRUE(write(*exporter, batch(0, 1)));
  const FileMark old = exporter->mark();
  fs::rename(path_, folder_ / "flows.json.1");
  ASSERT_TRUE(write(*exporter, batch(1, 1)));
  exporter->request_reopen();
  ASSERT_TRUE(write(*exporter, batch(2, 1)));
  EXPECT_EQ(read(folder_ / "flows.json.1"), text(0, 2));
  EXPECT_EQ(read(path_), text(2, 1));
  EXPECT_NE(exporter->mark().inode, old.inode);
}

TEST_F(JsonFileTest, CopytruncateIsFollowed) {
  const auto exporter = make(path_);
  ASSERT_TRUE(write(*exporter, batch(0, 2)));
  fs::resize_file(path_, 0);
  ASSERT_TRUE(write(*exporter, batch(2, 1)));
  EXPECT_EQ(read(path_), text(2, 1));
  EXPECT_EQ(exporter->mark().offset, text(2, 1).size());
}

// A file size limit ends a write half way, as a full disk does.
TEST_F(JsonFileTest, AFailedBatchLeavesNothingBehind) {
  const auto exporter = make(path_);
  ASSERT_TRUE(write(*exporter, batch(0, 1)));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit narrow{.rlim_cur = text(0, 2).size() + 100, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &narrow);
  const Status failed = write(*exporter, batch(1, 5));
  setrlimit(RLIMIT_FSIZE, &before);

  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().what, "write " + path_.string() + ": File too large");
  EXPECT_EQ(read(path_), text(0, 1));
  EXPECT_EQ(exporter->mark().offset, text(0, 1).size());
  ASSERT_TRUE(write(*exporter, batch(1, 5)));
  EXPECT_EQ(read(path_), text(0, 6));
}

TEST_F(JsonFileTest, SaysWhatIsWrongWithThePath) {
  const Status missing = write(*make(folder_ / "no" / "flows.json"), batch(0, 1));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().what,
            "open " + (folder_ / "no" / "flows.json").string() + ": No such file or directory");
  const Status folder = write(*make(folder_), batch(0, 1));
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().what, HasSubstr("Is a directory"));
}

TEST_F(JsonFileTest, AFullDeviceIsAnErrorAndHasNoMark) {
  const auto exporter = make("/dev/full");
  const Status full = write(*exporter, batch(0, 1));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().what, "write /dev/full: No space left on device");
  EXPECT_EQ(exporter->mark(), FileMark{});
  EXPECT_TRUE(write(*make("/dev/null"), batch(0, 1)));
}

}  // namespace
}  // namespace rheo
