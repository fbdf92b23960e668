// SPDX-License-Identifier: Apache-2.0
// The flow table's file: taken over by the next process, also in the middle of a change, and never trusted
// when it is damaged.
#include "daemon/flow/table_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <regex>
#include <set>

#include "daemon/flow/flow_table.h"
#include "tests/tools/tables.h"

namespace rheo {
namespace {

using testing::add_packets;
using testing::kSecond;
using testing::make_row;
using testing::TestRow;

constexpr std::uint64_t kStart = 1'000 * kSecond;

class TableFileTest : public ::testing::Test {
 protected:
  TableFileTest() {
    char name[] = "/tmp/rheo-table-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~TableFileTest() override { std::filesystem::remove_all(folder_); }

  FlowTableOptions options() const {
    return testing::table_cut_often({.path = folder_ + "/flows", .max_flows = 300, .outbox_records = 1'024});
  }

  std::unique_ptr<FlowTable> open(RowOwner& owner) {
    auto table = FlowTable::open(options());
    EXPECT_TRUE(table) << table.error().what;
    (*table)->recover(owner, kStart);
    return *std::move(table);
  }

  std::string folder_;
};

TestRow udp(std::uint16_t port, std::uint32_t packets, std::uint64_t at_ns) {
  TestRow row = make_row(IPPROTO_UDP, port, 53);
  add_packets(row, 0, packets, at_ns);
  return row;
}

void merge(FlowTable& table, const TestRow& row, RowOwner& owner) {
  const Row one{.hot = &row.hot, .cold = &row.cold, .place = {}};
  table.merge({&one, 1}, owner);
}

TEST_F(TableFileTest, TheNextProcessGoesOnWithEveryFlowAndRecord) {
  testing::NoOwner owner;
  std::uint64_t flow_id = 0;
  {
    auto table = open(owner);
    EXPECT_FALSE(table->file().taken_over());
    auto cursor = table->outbox().open_cursor("lane");
    merge(*table, udp(1'000, 3, kStart), owner);
    table->expire(kStart + 11 * kSecond);  // a record, and the flow goes on
    merge(*table, udp(1'000, 4, kStart + 12 * kSecond), owner);
    FlowBatch batch;
    ASSERT_TRUE((*cursor)->next(batch, 10, 0, {}));
    flow_id = batch.records[0].flow_id;
  }
  auto table = open(owner);
  EXPECT_TRUE(table->file().taken_over());
  EXPECT_EQ(table->counters().merged.packets, 7U);
  auto cursor = table->outbox().open_cursor("lane");
  FlowBatch batch;
  ASSERT_TRUE((*cursor)->next(batch, 10, 0, {}));  // not acknowledged: comes again
  ASSERT_EQ(batch.size(), 1U);
  EXPECT_EQ(batch.records[0].forward.delta.packets, 3U);
  (*cursor)->acknowledge(batch.end_position(), {});
  table->close_some(10);
  ASSERT_TRUE((*cursor)->next(batch, 10, 0, {}));
  EXPECT_EQ(batch.records[0].flow_id, flow_id);
  EXPECT_EQ(batch.records[0].sequence, 1U);
  EXPECT_EQ(batch.records[0].forward.delta.packets, 4U);
  EXPECT_EQ(batch.records[0].forward.total.packets, 7U);
}

struct Damage {
  const char* name;
  std::uint64_t offset;
  std::uint8_t byte;
  const char* reason;  // a word of it
};

const Damage kDamages[] = {
    {"magic", offsetof(TableHeader, magic), 0xff, "not a flow table"},
    {"schema", offsetof(TableHeader, schema), 0x63, "schema"},
    {"layout", offsetof(TableHeader, entry_bytes), 0x63, "layout"},
    {"boot", offsetof(TableHeader, boot_id), 'z', "boot"},
    {"outbox size", offsetof(TableHeader, outbox_records), 3, "outbox"},
    {"outbox positions", offsetof(TableHeader, outbox_head), 0x63, "outbox"},
    {"used entries", offsetof(TableHeader, entries_used_upto) + 3, 0x63, "entries"},
    {"journal", kJournalOffset, 2, "journal"},
    {"lane", kLanesOffset + offsetof(LaneSlot, current), 7, "lane"},
    {"record", kOutboxOffset + offsetof(FlowRecord, end_reason), 0x63, "record"},
    {"entry", entries_offset(1'024) + offsetof(EntryState, initiator), 9, "entry"},
};

TEST_F(TableFileTest, ADamagedFileIsSetAsideWithTheReason) {
  for (const Damage& damage : kDamages) {
    SCOPED_TRACE(damage.name);
    testing::NoOwner owner;
    {
      auto table = open(owner);
      ASSERT_TRUE(table->outbox().open_cursor("lane"));
      merge(*table, udp(1'000, 3, kStart), owner);
      table->expire(kStart + 11 * kSecond);
    }
    const int fd = ::open(options().file.path.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(::pwrite(fd, &damage.byte, 1, static_cast<off_t>(damage.offset)), 1);
    ::close(fd);

    auto table = open(owner);
    ASSERT_TRUE(table->file().set_aside());
    EXPECT_NE(table->file().set_aside()->find(damage.reason), std::string::npos)
        << *table->file().set_aside();
    EXPECT_TRUE(std::filesystem::exists(options().file.path + ".rejected"));
    EXPECT_EQ(table->counters().active_flows, 0U);
    std::filesystem::remove(options().file.path);
  }
}

TEST_F(TableFileTest, StaysWhileThereIsSomethingInIt) {
  testing::NoOwner owner;
  {
    auto table = open(owner);
    merge(*table, udp(1'000, 3, kStart), owner);
    EXPECT_FALSE(table->remove_if_empty());
  }
  {
    auto unread = FlowTable::open(options());  // a start that failed before recover()
    ASSERT_TRUE(unread);
    EXPECT_FALSE((*unread)->remove_if_empty());
  }
  auto table = open(owner);
  EXPECT_EQ(table->counters().active_flows, 1U);
  auto cursor = table->outbox().open_cursor("lane");
  ASSERT_TRUE(cursor);
  table->close_some(10);
  EXPECT_FALSE(table->remove_if_empty());  // a record that the lane has not delivered
  FlowBatch batch;
  ASSERT_TRUE((*cursor)->next(batch, 10, 0, {}));
  (*cursor)->acknowledge(batch.end_position(), {});
  EXPECT_TRUE(table->remove_if_empty());
  EXPECT_FALSE(std::filesystem::exists(options().file.path));
}

TEST_F(TableFileTest, AShortOrForeignFileIsSetAside) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{100}, std::size_t{5'000}, std::size_t{100'000}}) {
    std::ofstream(options().file.path) << std::string(size, 'x');
    testing::NoOwner owner;
    auto table = open(owner);
    EXPECT_TRUE(table->file().set_aside()) << size;
    std::filesystem::remove(options().file.path);
  }
}

TEST_F(TableFileTest, NoSpaceIsAnErrorAtTheStartAndPressureLater) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  ::signal(SIGXFSZ, SIG_IGN);
  testing::NoOwner owner;
  FlowTableOptions many = options();
  many.file.max_flows = 100'000;

  rlimit small = limit;
  small.rlim_cur = entries_offset(1'024) + 4'096 * sizeof(FlowEntry) + 8'192;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  auto table = FlowTable::open(many);
  ASSERT_TRUE(table);
  (*table)->recover(owner, kStart);
  for (std::uint16_t i = 0; i < 5'000; ++i) merge(**table, udp(i, 1, kStart + i), owner);
  const TableCounters counters = (*table)->counters();
  EXPECT_GT(counters.records[static_cast<int>(EndReason::lack_of_resources)], 800U);
  EXPECT_EQ(counters.merged.packets, 5'000U);

  small.rlim_cur = 10'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  many.file.path += "2";
  EXPECT_FALSE(FlowTable::open(many));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
}

// A process that merges, is killed, and is followed by another --------------------------------------

constexpr std::uint32_t kRows = 400;

/// Rows that survive the process, as the maps in the kernel do.
struct SharedRows {
  std::uint64_t present[kRows];
  std::uint64_t delivered[8 * kRows];  // packets of the record at each position, as the lane wrote it down
  std::uint64_t duplicate;             // packets in no record, at the end
};

class SharedOwner final : public RowOwner {
 public:
  explicit SharedOwner(SharedRows& rows) : rows_(rows) {}
  void release(const RowPlace& place) override { rows_.present[place.position] = 0; }
  std::uint64_t identity() const override { return 99; }

 private:
  SharedRows& rows_;
};

TestRow row_number(std::uint32_t number) {
  // Few ports and every flag, so that flows begin anew, are evicted and are cut.
  // Each fourth row repeats the flow before it on another link.
  const bool repeats = number % 4 == 3;
  const std::uint32_t flow = repeats ? number - 1 : number;
  TestRow row = make_row(IPPROTO_TCP, static_cast<std::uint16_t>(flow * 7 % 350), 443);
  if (repeats) row.hot.key.link = 8;
  const auto flags = static_cast<std::uint16_t>(
      number % 3 == 0 ? abi::FLAG_SYN | abi::FLAG_SYN_ONLY | abi::FLAG_FIN : abi::FLAG_ACK);
  return add_packets(row, flow % 2, 1 + number % 5, kStart + std::uint64_t{number} * kSecond / 8, flags);
}

std::uint64_t all_packets() {
  std::uint64_t packets = 0;
  for (std::uint32_t i = 0; i < kRows; ++i) packets += 1 + i % 5;
  return packets;
}

/// What a rheod does until it is killed or everything is delivered. The lane's far side is `rows`: a record
/// that comes again lies where it lay, as in a file that is cut back.
void work(const FlowTableOptions& options, SharedRows& rows) {
  SharedOwner owner(rows);
  auto table = FlowTable::open(options);
  if (!table || (*table)->file().set_aside()) ::_exit(3);
  (*table)->recover(owner, kStart);
  auto cursor = (*table)->outbox().open_cursor("lane");
  if (!cursor) ::_exit(4);
  const auto deliver = [&] {
    FlowBatch batch;
    while ((*cursor)->next(batch, 3, 0, {})) {
      for (std::size_t i = 0; i < batch.size(); ++i)
        rows.delivered[batch.first_position + i] = record_counts(batch.records[i]).packets;
      (*cursor)->acknowledge(batch.end_position(), {});
    }
  };
  for (std::uint32_t i = 0; i < kRows; ++i) {
    if (rows.present[i] == 0) continue;
    const TestRow row = row_number(i);
    const Row one{
        .hot = &row.hot, .cold = &row.cold, .place = {.kind = RowPlace::Kind::cache, .position = i}};
    (*table)->merge({&one, 1}, owner);
    if (i % 16 == 0) (*table)->expire(row.hot.last_ns);
    if (i % 8 == 0) (*table)->begin_drain();
    deliver();
  }
  while ((*table)->close_some(20) > 0) deliver();
  deliver();
  if ((*cursor)->losses().records != 0) ::_exit(5);
  rows.duplicate = (*table)->counters().duplicate.packets;
}

std::uint64_t delivered_packets(const SharedRows& rows) {
  return std::accumulate(std::begin(rows.delivered), std::end(rows.delivered), std::uint64_t{0});
}

class CrashTest : public TableFileTest {
 protected:
  CrashTest()
      : rows_(static_cast<SharedRows*>(
            ::mmap(nullptr, sizeof(SharedRows), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    for (std::uint64_t& present : rows_->present) present = 1;
  }
  ~CrashTest() override { ::munmap(rows_, sizeof(SharedRows)); }

  /// Runs work() in a child with this fault, or kills it after so long; the child's wait status.
  int run(const std::string& fault, useconds_t kill_after_us = 0) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (!fault.empty()) ::setenv("RHEO_FAULT", fault.c_str(), 1);
      work(options(), *rows_);
      ::_exit(0);
    }
    if (kill_after_us > 0) {
      ::usleep(kill_after_us);
      ::kill(child, SIGKILL);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  }

  SharedRows* rows_;
};

std::set<std::string> fault_points_of(const std::filesystem::path& folder) {
  std::set<std::string> names;
  const std::regex point("RHEO_FAULT_POINT\\(\"([a-z-]+)\"\\)");
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    std::ifstream stream(file.path());
    const std::string text((std::istreambuf_iterator<char>(stream)), {});
    for (std::sregex_iterator it(text.begin(), text.end(), point), end; it != end; ++it)
      names.insert((*it)[1]);
  }
  return names;
}

TEST_F(CrashTest, DyingAtEachStepOfTheProtocolLosesAndRepeatsNothing) {
#ifndef RHEO_FAULT_POINTS
  GTEST_SKIP() << "built without RHEO_FAULT_POINTS";
#endif
  const auto names = fault_points_of(RHEO_SOURCE_DIR "/daemon/flow");
  ASSERT_GE(names.size(), 6U);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    int deaths = 0;
    for (int passage = 1; passage < 60; passage = passage * 3 / 2 + 1) {
      const int status = run(name + ":" + std::to_string(passage));
      if (WIFSIGNALED(status)) ++deaths;
      ASSERT_TRUE(!WIFEXITED(status) || WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
    }
    EXPECT_GT(deaths, 3);
    ASSERT_EQ(run(""), 0);
    EXPECT_EQ(delivered_packets(*rows_) + rows_->duplicate, all_packets());
    EXPECT_GT(rows_->duplicate, 10U);

    std::filesystem::remove(options().file.path);
    *rows_ = {};
    for (std::uint64_t& present : rows_->present) present = 1;
  }
}

TEST_F(CrashTest, KillsAtRandomMomentsLoseAndRepeatNothing) {
  std::mt19937 random(11);
  int deaths = 0;
  for (int round = 0; round < 20; ++round) {
    for (int kill = 0; kill < 20; ++kill) {
      const int status = run("", static_cast<useconds_t>(1 + random() % 3'000));
      ASSERT_TRUE(!WIFEXITED(status) || WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
      deaths += WIFSIGNALED(status) ? 1 : 0;
    }
    ASSERT_EQ(run(""), 0);
    ASSERT_EQ(delivered_packets(*rows_) + rows_->duplicate, all_packets());
    std::filesystem::remove(options().file.path);
    *rows_ = {};
    for (std::uint64_t& present : rows_->present) present = 1;
  }
  EXPECT_GT(deaths, 50);
}

}  // namespace
}  // namespace rheo
