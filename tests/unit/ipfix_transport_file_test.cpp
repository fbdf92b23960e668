// SPDX-License-Identifier: Apache-2.0
// IPFIX files: what is in them after failures, rotations and deaths.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/unit/ipfix_peers.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using test::Bytes;
using test::make;
using test::message;
using test::milliseconds;
using testing::HasSubstr;

class IpfixFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "rheo-ipfix-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ / "flows.ipfix";
    options_ = test::options_for("file:" + path_.string());
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// The fills of the messages in the file, '?' for what is not one.
  static std::string fills(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    std::string result;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = at + 5 > text.size() ? 0
                                                    : static_cast<unsigned char>(text[at + 2]) * 256U +
                                                          static_cast<unsigned char>(text[at + 3]);
      if (size < 5 || at + size > text.size() || text[at + 1] != 10) return result + '?';
      result += text[at + 4];
      at += size;
    }
    return result;
  }

  fs::path folder_;
  fs::path path_;
  IpfixTransportOptions options_;
};

TEST_F(IpfixFile, MessagesStandOneAfterTheOtherInOneSessionAnOpening) {
  auto transport = make(options_);
  EXPECT_TRUE(transport->takes_back_batch());
  EXPECT_FALSE(transport->unreliable());
  EXPECT_EQ(transport->max_message_size(), 65'535U);
  EXPECT_EQ(transport->prepare().value(), true);
  ASSERT_TRUE(transport->send(message(65'535, 'a')));
  EXPECT_EQ(transport->prepare().value(), false);
  ASSERT_TRUE(transport->send(message(100, 'b')));
  EXPECT_EQ(transport->mark().offset, 65'635U);
  transport = make(options_);
  EXPECT_EQ(transport->prepare().value(), true) << "another process begins another session in the same file";
  EXPECT_EQ(transport->mark().offset, 65'635U);
  ASSERT_TRUE(transport->send(message(100, 'c')));
  EXPECT_EQ(fills(path_), "abc");
}

TEST_F(IpfixFile, WhatWasNotAcknowledgedIsCutOff) {
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  ASSERT_TRUE(transport->send(message(100, 'a')));
  const FileMark acknowledged = transport->mark();
  ASSERT_TRUE(transport->send(message(100, 'b')));
  transport = make(options_);
  ASSERT_TRUE(transport->resume(acknowledged));
  ASSERT_TRUE(transport->prepare());
  EXPECT_EQ(transport->mark(), acknowledged);
  ASSERT_TRUE(transport->send(message(100, 'c')));
  EXPECT_EQ(fills(path_), "ac");
  FileMark other = acknowledged;
  other.inode += 1;
  ASSERT_TRUE(make(options_)->resume(other));
  EXPECT_EQ(fills(path_), "ac") << "the mark is another file's";
}

TEST_F(IpfixFile, AFailureTakesBackTheBatchAndBeginsASession) {
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  ASSERT_TRUE(transport->send(message(100, 'a')));
  EXPECT_EQ(transport->prepare().value(), false);
  ASSERT_TRUE(transport->send(message(100, 'b')));
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit little{.rlim_cur = 250, .rlim_max = old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &little), 0);
  const Status sent = transport->send(message(100, 'c'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  ASSERT_FALSE(sent);
  EXPECT_THAT(sent.error().what, HasSubstr("write " + path_.string() + ": File too large"));
  EXPECT_EQ(fills(path_), "a") << "b and what was written of c are gone";
  EXPECT_EQ(transport->mark().offset, 100U);
  EXPECT_FALSE(transport->send(message(100, 'x'))) << "not before prepare()";
  EXPECT_EQ(transport->prepare().value(), true);
  ASSERT_TRUE(transport->send(message(100, 'd')));
  EXPECT_EQ(fills(path_), "ad");
}

TEST_F(IpfixFile, AnAbandonedBatchIsTakenBack) {
  auto transport = make(options_);
  transport->abandon_batch();  // nothing is open yet
  EXPECT_TRUE(transport->prepare().value());
  EXPECT_TRUE(transport->send(message(50, 'a')));
  EXPECT_FALSE(transport->prepare().value());
  EXPECT_TRUE(transport->send(message(50, 'b')));
  EXPECT_TRUE(transport->send(message(50, 'c')));
  transport->abandon_batch();
  EXPECT_EQ(fills(path_), "a");
  EXPECT_EQ(transport->mark().offset, 50U);
  EXPECT_FALSE(transport->send(message(50, 'x'))) << "the session is over";
  EXPECT_TRUE(transport->prepare().value());
  EXPECT_TRUE(transport->send(message(50, 'b')));
  EXPECT_EQ(fills(path_), "ab");
}

TEST_F(IpfixFile, RotatesBySizeAndKeepsSoMany) {
  options_.rotation = {.size = 150, .keep = 2};
  auto transport = make(options_);
  for (const char fill : std::string("abcdefg")) {
    const auto prepared = transport->prepare();
    ASSERT_TRUE(prepared) << prepared.error().what;
    EXPECT_EQ(*prepared, fill == 'a' || fill == 'c' || fill == 'e' || fill == 'g') << fill;
    ASSERT_TRUE(transport->send(message(100, fill)));
  }
  EXPECT_EQ(fills(path_), "g");
  EXPECT_EQ(fills(path_.string() + ".1"), "ef");
  EXPECT_EQ(fills(path_.string() + ".2"), "cd");
  EXPECT_FALSE(fs::exists(path_.string() + ".3"));
}

TEST_F(IpfixFile, RotatesByAgeButNotAnEmptyFile) {
  options_.rotation = {.interval = milliseconds(1'000)};
  auto transport = make(options_);
  EXPECT_EQ(transport->prepare().value(), true);
  std::this_thread::sleep_for(milliseconds(1'020));
  EXPECT_EQ(transport->prepare().value(), false) << "nothing in it";
  ASSERT_TRUE(transport->send(message(100, 'a')));
  EXPECT_EQ(transport->prepare().value(), true);
  EXPECT_EQ(transport->prepare().value(), false) << "a new file is young";
  ASSERT_TRUE(transport->send(message(100, 'b')));
  EXPECT_EQ(fills(path_), "b");
  EXPECT_EQ(fills(path_.string() + ".1"), "a");
}

TEST_F(IpfixFile, ARotationFromOutsideIsFollowedAfterClose) {
  auto transport = make(options_);
  ASSERT_TRUE(transport->prepare());
  ASSERT_TRUE(transport->send(message(100, 'a')));
  fs::rename(path_, folder_ / "old");
  EXPECT_EQ(transport->prepare().value(), false);
  ASSERT_TRUE(transport->send(message(100, 'b')));
  transport->close();
  EXPECT_EQ(transport->prepare().value(), true);
  ASSERT_TRUE(transport->send(message(100, 'c')));
  EXPECT_EQ(fills(folder_ / "old"), "ab");
  EXPECT_EQ(fills(path_), "c");
}

TEST_F(IpfixFile, APathThatCannotBeWrittenIsSaid) {
  EXPECT_THAT(make(test::options_for("file:/nonexistent/flows"))->prepare().error().what,
              HasSubstr("open /nonexistent/flows: No such file or directory"));
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  const UniqueFd reader(::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  EXPECT_THAT(make(options_)->prepare().error().what, HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace rheo
