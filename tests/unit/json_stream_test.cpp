// SPDX-License-Identifier: Apache-2.0
// The JSON exporter and readers that are slow, stop, or go away: pipes, FIFOs, standard output, the journal.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <csignal>
#include <filesystem>
#include <thread>

#include "daemon/base/clock.h"
#include "daemon/base/unique_fd.h"
#include "export/json/encode_json.h"
#include "export/json/json_exporter.h"
#include "tests/unit/json_records.h"
#include "tests/unit/patience.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr int kPipeBytes = 4'096;

class JsonStreamTest : public testing::Test {
 protected:
  void SetUp() override {
    std::signal(SIGPIPE, SIG_IGN);  // as the daemon does
    std::string name = testing::TempDir() + "rheo-json-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    fifo_ = folder_ / "fifo";
    ASSERT_EQ(mkfifo(fifo_.c_str(), 0600), 0);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::unique_ptr<JsonExporter> make(const std::string& path) {
    return std::make_unique<JsonExporter>(JsonExporterOptions{
        .path = path, .links = links_, .write_timeout = 50ms, .journal_socket = folder_ / "journal"});
  }
  UniqueFd open_reader() const {
    UniqueFd reader(open(fifo_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    fcntl(reader.get(), F_SETPIPE_SZ, kPipeBytes);
    return reader;
  }
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
  static std::string drain(const UniqueFd& reader) {
    std::string all;
    char buffer[65'536];
    for (ssize_t n = 0; (n = read(reader.get(), buffer, sizeof buffer)) > 0;)
      all.append(buffer, static_cast<std::size_t>(n));
    return all;
  }

  Snapshot<LinkTable> links_{test::links()};
  fs::path folder_;
  fs::path fifo_;
};

TEST_F(JsonStreamTest, AReaderThatStopsGetsEveryLineWholeAndOnce) {
  const UniqueFd reader = open_reader();
  const auto exporter = make(fifo_);
  std::string got;
  bool sent = false;
  int failures = 0;
  // The lane offers the same positions again, with what came in the meantime.
  for (int tries = 0; tries < 100 && !sent; ++tries) {
    const std::uint64_t begin = monotonic_ns();
    const Status status = write(*exporter, batch(0, std::min(20 + tries, 25)));
    EXPECT_LT(std::chrono::nanoseconds(monotonic_ns() - begin), test::kPatience);
    sent = status.has_value();
    if (!sent) {
      ++failures;
      EXPECT_EQ(status.error().what,
                "write " + fifo_.string() + ": its reader did not take everything within 50 ms");
    }
    got += drain(reader);
  }
  ASSERT_TRUE(sent);
  EXPECT_GT(failures, 3);
  EXPECT_EQ(got, text(0, 25));
  ASSERT_TRUE(write(*exporter, batch(25, 1)));
  EXPECT_EQ(drain(reader), text(25, 1));
}

TEST_F(JsonStreamTest, ATornLineIsCompletedAlsoWhenItsRecordIsNotOfferedAgain) {
  const UniqueFd reader = open_reader();
  const auto exporter = make(fifo_);
  ASSERT_FALSE(write(*exporter, batch(0, 20)));
  std::string got = drain(reader);
  ASSERT_FALSE(got.ends_with('\n')) << "no line was torn";
  const auto begun = static_cast<int>(std::ranges::count(got, '\n')) + 1;
  ASSERT_TRUE(write(*exporter, batch(50, 1)));  // the outbox has overtaken the lane
  got += drain(reader);
  EXPECT_EQ(got, text(0, begun) + text(50, 1));
}

TEST_F(JsonStreamTest, AFifoWithoutReaderIsAnErrorAndDoesNotBlock) {
  const Status status = write(*make(fifo_), batch(0, 1));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().what, "open " + fifo_.string() + ": nobody reads it");
}

TEST_F(JsonStreamTest, TheNextReaderOfAFifoBeginsWithAWholeLine) {
  UniqueFd reader = open_reader();
  const auto exporter = make(fifo_);
  ASSERT_FALSE(write(*exporter, batch(0, 20)));
  const std::string first = drain(reader);
  const auto whole = std::ranges::count(first, '\n');
  reader.reset();
  const Status status = write(*exporter, batch(0, 20));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().what, "write " + fifo_.string() + ": Broken pipe");

  reader = UniqueFd(open(fifo_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(write(*exporter, batch(0, 20)));
  EXPECT_EQ(drain(reader), text(static_cast<std::uint64_t>(whole), static_cast<int>(20 - whole)));
}

TEST_F(JsonStreamTest, ReopenWaitsForTheEndOfALine) {
  const UniqueFd old_reader = open_reader();
  const auto exporter = make(fifo_);
  ASSERT_FALSE(write(*exporter, batch(0, 20)));
  fs::rename(fifo_, folder_ / "old");
  ASSERT_EQ(mkfifo(fifo_.c_str(), 0600), 0);
  const UniqueFd new_reader = open_reader();
  exporter->request_reopen();
  std::string got = drain(old_reader);
  for (int i = 0; i < 50 && !write(*exporter, batch(0, 20)); ++i) got += drain(old_reader);
  got += drain(old_reader);
  EXPECT_EQ(got, text(0, 20));
  ASSERT_TRUE(write(*exporter, batch(20, 1)));
  EXPECT_EQ(drain(new_reader), text(20, 1));
}

/// Standard output is something else for as long as this lives.
class StandardOutput {
 public:
  explicit StandardOutput(int fd) : saved_(dup(STDOUT_FILENO)) {
    fflush(stdout);
    dup2(fd, STDOUT_FILENO);
  }
  ~StandardOutput() { dup2(saved_.get(), STDOUT_FILENO); }

 private:
  UniqueFd saved_;
};

TEST_F(JsonStreamTest, StandardOutputAsAPipeThatIsNotRead) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  fcntl(reader.get(), F_SETPIPE_SZ, kPipeBytes);
  fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  const auto exporter = make("-");
  std::string got;
  Status status = Done{};
  {
    const StandardOutput replaced(writer.get());
    status = write(*exporter, batch(0, 20));
    for (int i = 0; i < 50 && !write(*exporter, batch(0, 20)); ++i) got += drain(reader);
  }
  got += drain(reader);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().what, "write standard output: its reader did not take everything within 50 ms");
  EXPECT_EQ(got, text(0, 20));
  EXPECT_EQ(fcntl(writer.get(), F_GETFL) & O_NONBLOCK, 0) << "our parent's end of the pipe was changed";
}

// A socket cannot be opened again: sends say themselves that they must not wait.
TEST_F(JsonStreamTest, StandardOutputAsASocketThatIsNotRead) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  const auto exporter = make("-");
  std::string got;
  int failures = 0;
  {
    const StandardOutput replaced(writer.get());
    while (!write(*exporter, batch(0, 2'000)) && ++failures < 500) got += drain(reader);
  }
  got += drain(reader);
  EXPECT_GT(failures, 0);
  EXPECT_EQ(got, text(0, 2'000));
}

TEST_F(JsonStreamTest, StandardOutputWithoutReader) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  const UniqueFd writer(ends[1]);
  Status status = Done{};
  {
    const StandardOutput replaced(writer.get());
    status = write(*make("-"), batch(0, 1));
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().what, "write standard output: Broken pipe");
}

// An inherited file keeps its shared offset: two writers do not overwrite each other.
TEST_F(JsonStreamTest, StandardOutputAsAFile) {
  const fs::path path = folder_ / "out";
  const UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const std::string greeting = "from a shell\n";
  ASSERT_EQ(::write(file.get(), greeting.data(), greeting.size()), static_cast<ssize_t>(greeting.size()));
  {
    const StandardOutput replaced(file.get());
    ASSERT_TRUE(write(*make("-"), batch(0, 2)));
  }
  ASSERT_EQ(::write(file.get(), greeting.data(), greeting.size()), static_cast<ssize_t>(greeting.size()));
  lseek(file.get(), 0, SEEK_SET);
  EXPECT_EQ(drain(file), greeting + text(0, 2) + greeting);
}

UniqueFd journal_at(const fs::path& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  EXPECT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return socket;
}

/// The next entry's MESSAGE with its newline; "" when there is none.
std::string next_message(const UniqueFd& journal) {
  char buffer[65'536];
  const ssize_t size = recv(journal.get(), buffer, sizeof buffer, 0);
  if (size < 0) return "";
  const std::string entry(buffer, static_cast<std::size_t>(size));
  const std::string head = "SYSLOG_IDENTIFIER=rheo-flow\nPRIORITY=6\nMESSAGE=";
  EXPECT_EQ(entry.substr(0, head.size()), head);
  return entry.substr(head.size());
}

TEST_F(JsonStreamTest, TheJournalGetsOneEntryALine) {
  const UniqueFd journal = journal_at(folder_ / "journal");
  ASSERT_TRUE(write(*make("journal"), batch(0, 2)));
  EXPECT_EQ(next_message(journal), text(0, 1));
  EXPECT_EQ(next_message(journal), text(1, 1));
  EXPECT_EQ(next_message(journal), "");
}

TEST_F(JsonStreamTest, AJournalThatDoesNotReadGetsEveryEntryOnce) {
  const UniqueFd journal = journal_at(folder_ / "journal");
  const auto exporter = make("journal");
  std::string got;
  bool sent = false;
  int failures = 0;
  for (int tries = 0; tries < 1'000 && !sent; ++tries) {
    const Status status = write(*exporter, batch(0, 100));
    sent = status.has_value();
    if (!sent) {
      ++failures;
      EXPECT_EQ(status.error().what, "write to the journal: it did not take everything within 50 ms");
    }
    for (std::string message; !(message = next_message(journal)).empty();) got += message;
  }
  ASSERT_TRUE(sent);
  EXPECT_GT(failures, 0);
  EXPECT_EQ(got, text(0, 100));
}

TEST_F(JsonStreamTest, WithoutAJournalThatIsSaid) {
  const Status status = write(*make("journal"), batch(0, 1));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().what, HasSubstr("reach the journal at"));
}

}  // namespace
}  // namespace rheo
