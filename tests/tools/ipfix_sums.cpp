// SPDX-License-Identifier: Apache-2.0
// ipfix_sums: reads what collectors received, one file of IPFIX messages each, by the tests' own strict
// decoder, and prints one JSON object: for each transport session in turn how it began and what it held, and
// packets and octets of all flow records, each (flow, sequence) once. Exits 1 when something is not IPFIX as
// it should be.
#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <utility>

#include "tests/tools/ipfix_decoder.h"

namespace {

using rheo::test::DecodedRecord;
using rheo::test::IpfixDecoder;

constexpr const char* kUsage =
    "Usage: ipfix_sums [--gaps] FILE...\n"
    "  --gaps   messages may be missing, as over UDP, and a file may begin within a session\n";

constexpr std::size_t kHeaderSize = 16;
constexpr std::uint32_t kReversePen = 29'305;
constexpr std::uint32_t kRheoPen = 32'473;  // the default of rheo.toml
enum Element : std::uint16_t {
  kOctets = 1,
  kPackets = 2,
  kFlowId = 148,
  kLayer2Octets = 352,
  kRheoSequence = 3
};

struct Session {
  std::string file;
  std::uint64_t messages = 0;
  std::uint64_t flow_records = 0;
  std::uint64_t records_missing = 0;  // by the sequence numbers
  std::uint32_t first_sequence = 0;
  bool begins_with_templates = false;
};

class Sums {
 public:
  explicit Sums(bool gaps) : gaps_(gaps) {}

  /// All sessions of a file: one begins where the sequence numbers do. What is cut off at the end is counted.
  void read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (!file) fail(path, "it cannot be read");
    IpfixDecoder decoder;
    bool first = true;
    std::size_t at = 0;
    for (; bytes.size() - at >= kHeaderSize; at += number(bytes, at + 2, 2)) {
      const std::size_t size = number(bytes, at + 2, 2);
      if (size < kHeaderSize) fail(path, fmt::format("a message of {} octets at {}", size, at));
      if (size > bytes.size() - at) break;
      const auto sequence = static_cast<std::uint32_t>(number(bytes, at + 8, 4));
      if (first || (sequence == 0 && decoder.next_sequence != 0)) begin_session(path, sequence, decoder);
      if (gaps_) {
        sessions_.back().records_missing += first ? 0 : sequence - decoder.next_sequence;
        decoder.next_sequence = sequence;
      }
      first = false;
      decode(path, at, std::as_bytes(std::span(bytes).subspan(at, size)), decoder);
    }
    cut_off_ += bytes.size() - at;
  }

  std::string json() const {
    std::string sessions;
    for (const Session& session : sessions_)
      sessions += fmt::format(
          R"({}{{"file":"{}","messages":{},"flow_records":{},"records_missing":{},"first_sequence":{},)"
          R"("begins_with_templates":{}}})",
          sessions.empty() ? "" : ",", session.file, session.messages, session.flow_records,
          session.records_missing, session.first_sequence, session.begins_with_templates);
    return fmt::format(
        R"({{"packets":{},"l3_bytes":{},"l2_bytes":{},"records":{},"duplicates":{},"octets_cut_off":{},)"
        R"("sessions":[{}]}})",
        packets_, l3_bytes_, l2_bytes_, identities_.size(), duplicates_, cut_off_, sessions);
  }

 private:
  [[noreturn]] static void fail(const std::string& path, const std::string& wrong) {
    fmt::print(stderr, "ipfix_sums: {}: {}\n", path, wrong);
    std::exit(EXIT_FAILURE);
  }

  static std::uint64_t number(const std::string& bytes, std::size_t at, std::size_t octets) {
    std::uint64_t value = 0;
    for (; octets > 0; --octets) value = value << 8U | static_cast<std::uint8_t>(bytes[at++]);
    return value;
  }

  void begin_session(const std::string& path, std::uint32_t sequence, IpfixDecoder& decoder) {
    decoder.new_session();
    sessions_.push_back({.file = path, .first_sequence = sequence});
  }

  void decode(const std::string& path, std::size_t at, std::span<const std::byte> message,
              IpfixDecoder& decoder) {
    Session& session = sessions_.back();
    decoder.records.clear();
    decoder.sets.clear();
    if (const std::string wrong = decoder.decode(message); !wrong.empty())
      fail(path, fmt::format("session {}, the message at {}: {}", sessions_.size() - 1, at, wrong));
    if (session.messages++ == 0) session.begins_with_templates = decoder.sets.front() <= 3;
    for (const DecodedRecord& record : decoder.records) {
      if (record.options) continue;
      ++session.flow_records;
      add(path, record);
    }
  }

  /// Elements that a record does not have count as 0, but it must say which record it is.
  void add(const std::string& path, const DecodedRecord& record) {
    const auto value = [&record](std::uint32_t enterprise, std::uint16_t element) {
      return record.find(enterprise, element) == nullptr ? 0 : record.number(enterprise, element);
    };
    if (record.find(0, kFlowId) == nullptr || record.find(kRheoPen, kRheoSequence) == nullptr)
      fail(path, "a flow record without flowId or rheoFlowSequence");
    if (!identities_.emplace(value(0, kFlowId), value(kRheoPen, kRheoSequence)).second) {
      ++duplicates_;
      return;
    }
    packets_ += value(0, kPackets) + value(kReversePen, kPackets);
    l3_bytes_ += value(0, kOctets) + value(kReversePen, kOctets);
    l2_bytes_ += value(0, kLayer2Octets) + value(kReversePen, kLayer2Octets);
  }

  const bool gaps_;
  std::vector<Session> sessions_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> identities_;
  std::uint64_t packets_ = 0;
  std::uint64_t l3_bytes_ = 0;
  std::uint64_t l2_bytes_ = 0;
  std::uint64_t duplicates_ = 0;
  std::uint64_t cut_off_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const bool gaps = argc > 1 && std::strcmp(argv[1], "--gaps") == 0;
  if (argc < (gaps ? 3 : 2)) {
    fmt::print(stderr, "{}", kUsage);
    return EXIT_FAILURE;
  }
  Sums sums(gaps);
  for (int i = gaps ? 2 : 1; i < argc; ++i) sums.read(argv[i]);
  fmt::print("{}\n", sums.json());
  return EXIT_SUCCESS;
}
