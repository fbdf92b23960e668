// SPDX-License-Identifier: Apache-2.0
// bench_ipfix [--short]: records a second that one core turns into IPFIX messages, for every profile and both
// kinds of biflow, beside the same records as JSON lines, interleaved in one run.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "export/ipfix/encoder.h"
#include "export/json/encode_json.h"
#include "tests/tools/server_record.h"

namespace rheo {
namespace {

constexpr std::size_t kBatch = 1'024;

/// Half IPv4, half IPv6, TCP, answered, in an order without order: what a server sees most.
std::vector<FlowRecord> make_records() {
  std::vector<FlowRecord> records(kBatch);
  for (std::size_t i = 0; i < records.size(); ++i) {
    records[i] = testing::server_record(i, (i * 0x9e3779b97f4a7c15U) >> 40U & 1U);
  }
  return records;
}

struct Contender {
  std::string name;
  std::unique_ptr<IpfixEncoder> encoder;  // null: the baseline
  std::vector<double> ns_per_record = {};
  double octets_per_record = 0;
};

double median(std::vector<double>& values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// One pass of an encoder over all records. False: it failed.
bool measure(Contender& contender, const std::vector<FlowRecord>& records, const LinkTable& links) {
  static std::string lines;
  lines.clear();
  std::size_t octets = 0;
  std::size_t taken = records.size();
  const std::uint64_t begin = monotonic_ns();
  if (contender.encoder) {
    const auto sink = [&](std::span<const std::byte> message, std::uint32_t /*data_records*/) -> Status {
      octets += message.size();
      return Done{};
    };
    if (!contender.encoder->encode(records, {}, sink, taken)) return false;
  } else {
    for (const FlowRecord& record : records) append_json(lines, record, {.links = links});
    octets = lines.size();
  }
  const auto count = static_cast<double>(records.size());
  contender.ns_per_record.push_back(static_cast<double>(monotonic_ns() - begin) / count);
  contender.octets_per_record = static_cast<double>(octets) / count;
  return taken == records.size();
}

/// False, with a sentence, when an encoder cannot be had.
bool add(std::vector<Contender>& contenders, const std::string& name, const IpfixEncoderOptions& options) {
  Result<std::unique_ptr<IpfixEncoder>> encoder = IpfixEncoder::create(options);
  if (!encoder) {
    fmt::print(stderr, "bench_ipfix: {}: {}\n", name, encoder.error().what);
    return false;
  }
  contenders.push_back({.name = name, .encoder = *std::move(encoder)});
  return true;
}

int run(int rounds) {
  const std::vector<FlowRecord> records = make_records();
  LinkTable table;
  table[2] = {.index = 2, .name = "eth0", .kind = ""};
  const Snapshot<LinkTable> links(table);
  std::vector<Contender> contenders;
  using enum IpfixProfile;
  const bool ready =
      add(contenders, "standard", {.profile = standard, .links = links}) &&
      add(contenders, "standard_split",
          {.biflow = IpfixBiflow::split, .profile = standard, .links = links}) &&
      add(contenders, "standard_without_community_id",
          {.profile = standard, .remove = {"rheoCommunityId"}, .links = links}) &&
      add(contenders, "compact", {.profile = compact, .links = links}) &&
      add(contenders, "full", {.profile = full, .links = links}) &&
      add(contenders, "standard_64k", {.profile = standard, .max_message_size = 65'535, .links = links});
  if (!ready) return 1;
  contenders.push_back({.name = "json", .encoder = nullptr});
  for (int round = 0; round < rounds; ++round)
    for (Contender& contender : contenders)
      if (!measure(contender, records, table)) {
        fmt::print(stderr, "bench_ipfix: {}: could not encode\n", contender.name);
        return 1;
      }

  std::string json;
  fmt::print("{:<30} {:>12} {:>14} {:>18}\n", "encoder", "ns a record", "records/s", "octets a record");
  for (Contender& contender : contenders) {
    const double ns = median(contender.ns_per_record);
    fmt::print("{:<30} {:>12.0f} {:>14.0f} {:>18.0f}\n", contender.name, ns, 1e9 / ns,
               contender.octets_per_record);
    json +=
        fmt::format("{}\"{}_records_per_second\":{:.0f}", json.empty() ? "" : ",", contender.name, 1e9 / ns);
  }
  fmt::print("{{{}}}\n", json);
  return 0;
}

}  // namespace
}  // namespace rheo

int main(int argc, char* argv[]) {
  const bool is_short = argc > 1 && std::strcmp(argv[1], "--short") == 0;
  return rheo::run(is_short ? 50 : 1'000);
}
