// SPDX-License-Identifier: Apache-2.0
// The spool on a real file system: order, restarts, what a power cut leaves, its bound.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <zlib.h>

#include <cstring>
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

  std::unique_ptr<Spool> open(std::uint64_t limit = kLarge, const std::string& boot = "") {
    auto opened = Spool::open({.folder = folder_.string(), .limit = limit, .boot_id = boot});
    EXPECT_TRUE(opened) << opened.error().what;
    return opened ? *std::move(opened) : nullptr;
  }
  static Status append(Spool& spool, const std::string& text, std::uint64_t records = 1) {
    return spool.append(octets(text), records, {.packets = 10 * records, .l3_bytes = 5, .l2_bytes = 7});
  }
  /// Two requests, of one record and of three, as the octets of the one file that has them.
  std::string two_requests() {
    {
      const auto spool = open();
      EXPECT_TRUE(append(*spool, "one", 1));
      EXPECT_TRUE(append(*spool, "two, longer", 3));
    }
    std::ifstream whole(files().at(0), std::ios::binary);
    return {std::istreambuf_iterator<char>(whole), {}};
  }
  /// Of the first of them.
  static std::size_t first_size() { return pack_spool_entry(octets("one"), 1, {}, "").size(); }
  static std::span<const std::byte> octets(std::string_view text) {
    return std::as_bytes(std::span<const char>(text));
  }
  /// Instead of all that is there.
  void put_file(const std::string& bytes) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(folder_ / "0000000000000000", std::ios::binary) << bytes;
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

// At every length: the whole requests before the cut are there, no more, and the spool goes on. In the same
// boot the queue still has the records of the last; after another they are lost, counted where the head is
// whole.
TEST_F(SpoolTest, ATailThatWasCutOffIsLostWithTheQueueOnly) {
  const std::string bytes = two_requests();
  for (const char* boot : {"", "another"}) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      put_file(bytes.substr(0, size));
      const auto spool = open(kLarge, boot);
      const SpoolDamage damage = spool->take_damage();
      const std::size_t begun = size < first_size() ? 0 : first_size();
      const bool head_is_whole = size - begun >= sizeof(SpoolHead);
      const std::uint64_t torn = begun == 0 ? 1 : 3;
      EXPECT_EQ(damage.lost.records, head_is_whole && *boot != '\0' ? torn : 0U) << size;
      EXPECT_EQ(damage.lost.counts.packets, damage.lost.records * 10) << size;
      EXPECT_EQ(damage.unreadable, head_is_whole ? 0U : size - begun) << size;
      if (size % 8 != 0) continue;  // a sync of the disk for each
      ASSERT_TRUE(append(*spool, "new"));
      if (begun == 0)
        EXPECT_THAT(drain(*spool), ElementsAre("new")) << size;
      else
        EXPECT_THAT(drain(*spool), ElementsAre("one", "new")) << size;
    }
  }
}

// Any single wrong octet: every record is given back or counted as lost.
TEST_F(SpoolTest, WhatIsDamagedIsCounted) {
  const std::string bytes = two_requests();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string wrong = bytes;
    wrong[at] = static_cast<char>(wrong[at] ^ 0x41);
    put_file(wrong);
    const auto spool = open();
    std::uint64_t records = 0;
    for (const std::string& text : drain(*spool)) {
      ASSERT_TRUE(text == "one" || text == "two, longer") << at;
      records += text == "one" ? 1 : 3;
    }
    const SpoolDamage damage = spool->take_damage();
    EXPECT_EQ(records + damage.lost.records, 4U) << at;
    EXPECT_EQ(damage.lost.counts.packets, damage.lost.records * 10) << at;
    EXPECT_EQ(damage.unreadable, 0U) << at;
    EXPECT_EQ(spool->take_damage().lost.records, 0U) << "told twice";
  }
}

TEST_F(SpoolTest, WithoutAReadableHeadTheLossIsTheLeastItCanBe) {
  std::string bytes = two_requests();
  for (const std::size_t at : {std::size_t{20}, first_size() - 20})
    bytes[at] = 'x';  // both heads of the first
  put_file(bytes);
  const auto spool = open();
  EXPECT_THAT(drain(*spool), ElementsAre("two, longer"));
  const SpoolDamage damage = spool->take_damage();
  EXPECT_EQ(damage.lost.records, 0U);
  EXPECT_EQ(damage.unreadable, first_size());

  put_file(std::string(5'000, '\xff'));
  std::ofstream(folder_ / "notes") << "not ours";
  const auto other = open();
  EXPECT_TRUE(other->empty());
  EXPECT_EQ(other->take_damage().unreadable, 5'000U);
  EXPECT_TRUE(fs::exists(folder_ / "notes"));
}

// Who can write the file can also make its sums right.
TEST_F(SpoolTest, OctetsThatUnpackToNothingAreDamageWhateverTheirSum) {
  const std::string good = two_requests();
  for (const std::uint32_t size : {0U, 2U, 4U, 64U << 20U}) {
    SpoolHead head;
    std::memcpy(&head, good.data(), sizeof head);
    head.size = size;  // instead of 3
    head.sum = static_cast<std::uint32_t>(
        ::crc32(0, reinterpret_cast<const Bytef*>(&head), offsetof(SpoolHead, sum)));
    std::string bytes = good;
    std::memcpy(bytes.data(), &head, sizeof head);
    put_file(bytes);
    const auto spool = open();
    EXPECT_THAT(drain(*spool), ElementsAre("two, longer")) << size;
    EXPECT_EQ(spool->take_damage().lost.records, 1U) << size;
  }
}

TEST_F(SpoolTest, WhatIsDoneStaysDoneWhenAHeadIsDamaged) {
  two_requests();
  {
    const auto spool = open();
    ASSERT_TRUE(spool->oldest());
    spool->pop();
  }
  std::fstream(files().at(0), std::ios::in | std::ios::out | std::ios::binary).put('x');
  const auto spool = open();
  EXPECT_THAT(drain(*spool), ElementsAre("two, longer"));
  EXPECT_EQ(spool->take_damage().lost.records, 0U);
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
