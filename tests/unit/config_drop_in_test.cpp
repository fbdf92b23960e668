// SPDX-License-Identifier: Apache-2.0
// Drop-ins that rheod writes itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "daemon/config/drop_in.h"
#include "daemon/config/load_config.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;

class DropInFile : public testing::Test {
 protected:
  DropInFile() {
    std::string pattern = (fs::temp_directory_path() / "rheo-drop-in-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    path_ = folder_ / "rheo.toml";
    std::ofstream(path_) << "[flow]\nudp_timeout = \"1s\"\n";
  }
  ~DropInFile() override { fs::remove_all(folder_); }

  fs::path folder_;
  std::string path_;
};

TEST_F(DropInFile, OverridesTheFileAndIsReplacedAsAWhole) {
  ASSERT_TRUE(write_drop_in(path_, {.name = "x", .settings = "[flow]\nudp_timeout = \"22222222222ms\"\n"}));
  ASSERT_TRUE(write_drop_in(path_, {.name = "x", .settings = "[flow]\nudp_timeout = \"2s\"\n"}));
  const ParsedConfig loaded = load_config(path_, WhenMissing::complain);
  EXPECT_THAT(loaded.complaints, IsEmpty());
  EXPECT_EQ(loaded.config.flow.udp_timeout, 2s);
  EXPECT_EQ(drop_in_path(path_, "x"), path_ + ".d/90-rheoctl-x.toml");
  EXPECT_EQ(std::distance(fs::directory_iterator(path_ + ".d"), {}), 1) << "something is left behind";
}

TEST_F(DropInFile, CanBeReadByEverybodyWhateverTheUmask) {
  const mode_t before = ::umask(0077);
  const Status written = write_drop_in(path_, {.name = "x", .settings = ""});
  ::umask(before);
  ASSERT_TRUE(written);
  struct stat status{};
  ASSERT_EQ(::stat(drop_in_path(path_, "x").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0644U);
}

TEST_F(DropInFile, OneThatCannotBeWrittenIsNamedAndNothingIsLeft) {
  std::ofstream(path_ + ".d") << "not a directory";
  const Status refused = write_drop_in(path_, {.name = "x", .settings = ""});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr(drop_in_path(path_, "x") + ": open the directory: Not a dir"));

  fs::remove(path_ + ".d");
  fs::create_directories(drop_in_path(path_, "x"));  // in the way
  EXPECT_FALSE(write_drop_in(path_, {.name = "x", .settings = ""}));
  EXPECT_EQ(std::distance(fs::directory_iterator(path_ + ".d"), {}), 1) << "something is left behind";
}

// Else a start, and every reload, would fail because an exporter was taken out of the settings.
TEST_F(DropInFile, OneOfAnExporterThatIsGoneIsPassedOverWithANote) {
  std::ofstream(path_) << "[export.json.here]\npath = \"-\"\n";
  for (const std::string name : {"json.here", "json.gone", "otlp.gone", "json.later"})
    ASSERT_TRUE(write_drop_in(path_, {.name = std::string(kExporterDropIn) + name,
                                      .settings = "[export." + name + "]\nenabled = false\n"}));
  std::ofstream(path_ + ".d/95-later.toml") << "[export.json.later]\npath = \"/later\"\n";
  const ParsedConfig loaded = load_config(path_, WhenMissing::complain);
  EXPECT_THAT(loaded.complaints, IsEmpty());
  ASSERT_EQ(loaded.notes.size(), 2U);
  EXPECT_EQ(complaint_text(loaded.notes[0]), drop_in_path(path_, "exporter-json.gone") +
                                                 ":2: export.json.gone: no other file has this exporter "
                                                 "any more; passed over, the file may be deleted");
  EXPECT_EQ(loaded.notes[1].file, drop_in_path(path_, "exporter-otlp.gone"));
  EXPECT_EQ(loaded.config.exporters.size(), 2U);
  EXPECT_FALSE(loaded.config.exporters.json.at("here").enabled);
  EXPECT_FALSE(loaded.config.exporters.json.at("later").enabled);
}

TEST_F(DropInFile, OneOfAnAdministratorThatNamesNoOutputIsAMistake) {
  fs::create_directories(path_ + ".d");
  std::ofstream(path_ + ".d/90-mine.toml") << "[export.json.gone]\nenabled = false\n";
  const ParsedConfig loaded = load_config(path_, WhenMissing::complain);
  EXPECT_EQ(loaded.complaints.size(), 1U);
  EXPECT_THAT(loaded.notes, IsEmpty());
}

TEST_F(DropInFile, AnyTextCanBeAString) {
  const std::string text = "a\"b\\c\n\x01\x7f ü";
  ASSERT_TRUE(write_drop_in(path_, {.name = "x", .settings = "[resource]\nx = " + toml_string(text) + "\n"}));
  const ParsedConfig loaded = load_config(path_, WhenMissing::complain);
  ASSERT_THAT(loaded.complaints, IsEmpty());
  EXPECT_EQ(std::get<std::string>(loaded.config.resource.attributes.at("x")), text);
}

}  // namespace
}  // namespace rheo
