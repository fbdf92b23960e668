// SPDX-License-Identifier: Apache-2.0
// The spool on a real file system: order, restarts, what a power cut leaves, its bound.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "export/otlp/spool.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t kLarge = 64U << 20U;

class SpoolTest : public ::testing::Test {
 protected:
  SpoolTest() {
    std::string pattern = (fs::temp_directory_path() / "rheo-spool-XXXXXX").string();
    base_ = ::mkdtemp(pattern.data());
    folder_ = base_ / "spool" / "otlp.a";
  }
  ~SpoolTest() override { fs::remove_all(base_); }

  std::unique_ptr<Spool> open(std::uint64_t limit = kLarge) {
    auto opened = Spool::open({.folder = folder_.string(), .limit = limit});
    EXPECT_TRUE(opened) << opened.error().what;
    return opened ? *std::move(opened) : nullptr;
  }
  static Status append(Spool& spool, const std::string& text, std::uint64_t records = 1) {
    return spool.append(std::as_bytes(std::span<const char>(text)), records,
                        {.packets = 10 * records, .l3_bytes = 5, .l2_bytes = 7});
  }
  /// Takes everything out.
  static std::vector<std::string> drain(Spool& spool) {
    std::vector<std::string> texts;
    while (!spool.empty()) {
      if (const auto request = spool.oldest()) {
        texts.push_back(request->bytes);
        spool.pop();
      }
    }
    return texts;
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(folder_)) paths.push_back(entry.path());
    std::ranges::sort(paths);
    return paths;
  }
  /// Text that does not shrink.
  static std::string noise(std::size_t size, unsigned seed) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>((seed = seed * 1'664'525 + 1'013'904'223) >> 24U);
    return text;
  }

  fs::path base_;
  fs::path folder_;
};

TEST_F(SpoolTest, GivesBackTheOldestFirst) {
  const auto spool = open();
  EXPECT_TRUE(spool->empty());
  for (const char* text : {"one", "two", ""}) ASSERT_TRUE(append(*spool, text, 2));
  EXPECT_EQ(spool->records(), 6U);
  const auto oldest = spool->oldest();
  ASSERT_TRUE(oldest);
  EXPECT_EQ(oldest->bytes, "one");
  EXPECT_EQ(oldest->records, 2U);
  EXPECT_EQ(oldest->counts, (FlowCounts{20, 5, 7}));
  EXPECT_THAT(drain(*spool), ElementsAre("one", "two", ""));
  EXPECT_EQ(spool->records(), 0U);
  EXPECT_TRUE(files().empty());
}

TEST_F(SpoolTest, SurvivesTheProcessWithoutRepeatingWhatIsDone) {
  {
    const auto spool = open();
    for (const char* text : {"one", "two", "three"}) ASSERT_TRUE(append(*spool, text));
    spool->oldest();
    spool->pop();
  }
  const auto spool = open();
  EXPECT_EQ(spool->records(), 2U);
  ASSERT_TRUE(append(*spool, "four"));
  EXPECT_THAT(drain(*spool), ElementsAre("two", "three", "four"));
  EXPECT_TRUE(open()->empty());
}

// At every length: the whole requests before the cut are there, no more, and the spool goes on.
TEST_F(SpoolTest, IgnoresATailThatWasCutOff) {
  {
    const auto spool = open();
    ASSERT_TRUE(append(*spool, "one"));
    ASSERT_TRUE(append(*spool, "two"));
  }
  const fs::path file = files().at(0);
  std::ifstream whole(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(whole), {}};
  const std::size_t first = bytes.size() / 2;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(file, std::ios::binary) << bytes.substr(0, size);
    const auto spool = open();
    ASSERT_TRUE(append(*spool, "new"));
    if (size < first)
      EXPECT_THAT(drain(*spool), ElementsAre("new")) << size;
    else
      EXPECT_THAT(drain(*spool), ElementsAre("one", "new")) << size;
  }
}

TEST_F(SpoolTest, IgnoresWhatIsDamaged) {
  {
    const auto spool = open();
    ASSERT_TRUE(append(*spool, "one"));
    ASSERT_TRUE(append(*spool, "two"));
  }
  const fs::path file = files().at(0);
  std::ifstream whole(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(whole), {}};
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::string wrong = bytes;
    wrong[at] = static_cast<char>(wrong[at] ^ 0x41);
    std::ofstream(file, std::ios::binary) << wrong;
    for (const std::string& text : drain(*open())) EXPECT_TRUE(text == "one" || text == "two") << at;
  }
  std::ofstream(folder_ / "0000000000000009", std::ios::binary) << std::string(5'000, '\xff');
  std::ofstream(folder_ / "notes") << "not ours";
  EXPECT_TRUE(open()->empty());
  EXPECT_TRUE(fs::exists(folder_ / "notes"));
}

TEST_F(SpoolTest, IsBoundedAndFreesWhatIsDone) {
  const auto spool = open(1U << 20U);
  unsigned taken = 0;
  Status appended = Done{};
  while ((appended = append(*spool, noise(10'000, taken)))) ++taken;
  EXPECT_THAT(appended.error().what, HasSubstr("is full"));
  EXPECT_EQ(appended.error().code, std::errc::no_space_on_device);
  EXPECT_GE(taken, 95U);
  EXPECT_LE(taken, 104U);
  EXPECT_GT(files().size(), 8U);
  std::uintmax_t bytes = 0;
  for (const fs::path& file : files()) bytes += fs::file_size(file);
  EXPECT_LE(bytes, 1U << 20U);
  for (unsigned i = 0; i < 10; ++i) {
    EXPECT_EQ(spool->oldest()->bytes, noise(10'000, i));
    spool->pop();
  }
  EXPECT_TRUE(append(*spool, noise(10'000, taken)));
  EXPECT_EQ(drain(*spool).size(), taken - 9U);
}

TEST_F(SpoolTest, OfAFolderThatCannotBeMadeSaysWhich) {
  std::ofstream(base_ / "spool") << "a file";
  const auto opened = Spool::open({.folder = folder_.string(), .limit = kLarge});
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().what, HasSubstr("spool " + folder_.string() + ": Not a directory"));
}

}  // namespace
}  // namespace rheo
