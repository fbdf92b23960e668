// SPDX-License-Identifier: Apache-2.0
// bench_ipfix [--short]: records a second that one thread turns into IPFIX messages, for every profile and
// both kinds of biflow, and sends over loopback, beside the same records as JSON lines, interleaved in one
// run.
//
// The last line is one JSON object, each figure the median of its rounds:
//   NAME_records_per_second        encoded only, into messages for a path MTU of 1,500 octets
//   standard_64k_…                 into messages of 65,535 octets, as for a file
//   sent_udp_…, sent_udp_1452_…    encoded and sent by the exporter, messages as long as loopback allows by
//                                  default, and as long as Ethernet does; rate_limit = 0
//   sent_tcp_…                     so over TCP; a reader takes all of it in another thread
//   json_…                         the baseline: the same records as JSON lines
#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "export/ipfix/encoder.h"
#include "export/ipfix/ipfix_exporter.h"
#include "export/json/encode_json.h"
#include "tests/bench/ipfix_reader.h"
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

/// An exporter and who reads what it sends.
struct Connection {
  std::unique_ptr<testing::IpfixReader> reader;
  std::unique_ptr<IpfixExporter> exporter;  // first to go
  FlowBatch batch;
};

/// Without encoder and connection: the baseline.
struct Contender {
  std::string name;
  std::unique_ptr<IpfixEncoder> encoder = nullptr;
  std::unique_ptr<Connection> connection = nullptr;
  std::vector<double> ns_per_record = {};
  double octets_per_record = 0;
};

double median(std::vector<double>& values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

bool encode_all(IpfixEncoder& encoder, const std::vector<FlowRecord>& records, std::size_t& octets) {
  const auto sink = [&](std::span<const std::byte> message, std::uint32_t /*data_records*/) -> Status {
    octets += message.size();
    return Done{};
  };
  std::size_t taken = 0;
  return encoder.encode(records, {}, sink, taken) && taken == records.size();
}

bool send_all(Connection& connection, std::size_t& octets) {
  const std::uint64_t before = connection.reader->octets();
  if (!connection.exporter->open() || !connection.exporter->write(connection.batch)) return false;
  connection.batch.first_position = connection.batch.end_position();
  octets = connection.reader->octets() - before;  // what has arrived by now
  return true;
}

/// One pass over all records. False: it failed.
bool measure(Contender& contender, const std::vector<FlowRecord>& records, const LinkTable& links) {
  static std::string lines;
  lines.clear();
  std::size_t octets = 0;
  bool done = true;
  const std::uint64_t begin = monotonic_ns();
  if (contender.encoder) {
    done = encode_all(*contender.encoder, records, octets);
  } else if (contender.connection) {
    done = send_all(*contender.connection, octets);
  } else {
    for (const FlowRecord& record : records) append_json(lines, record, {.links = links});
    octets = lines.size();
  }
  const auto count = static_cast<double>(records.size());
  contender.ns_per_record.push_back(static_cast<double>(monotonic_ns() - begin) / count);
  contender.octets_per_record = static_cast<double>(octets) / count;
  return done;
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

struct SendOptions {
  std::string name;
  int socket_type;
  std::string scheme;
  std::size_t max_message_size = 0;
};

/// False, with a sentence, when the exporter or its reader cannot be had.
bool add_sender(std::vector<Contender>& contenders, const SendOptions& options,
                const IpfixEncoderOptions& encoder, const std::vector<FlowRecord>& records) {
  static const Snapshot<MeteringCounters> no_counters;
  auto reader = std::make_unique<testing::IpfixReader>(options.socket_type);
  auto endpoint = parse_ipfix_endpoint(options.scheme + "://" + reader->address());
  if (!reader->listens() || !endpoint) {
    fmt::print(stderr, "bench_ipfix: {}: nobody can listen on loopback\n", options.name);
    return false;
  }
  auto exporter = IpfixExporter::create({.encoder = encoder,
                                         .transport = {.endpoint = *std::move(endpoint),
                                                       .source_address = {},
                                                       .max_message_size = options.max_message_size,
                                                       .tls = {},
                                                       .rotation = {}},
                                         .metering = no_counters});
  if (!exporter) {
    fmt::print(stderr, "bench_ipfix: {}: {}\n", options.name, exporter.error().what);
    return false;
  }
  contenders.push_back({.name = options.name,
                        .connection = std::make_unique<Connection>(std::move(reader), *std::move(exporter),
                                                                   FlowBatch{.records = records})});
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
      add(contenders, "standard_64k", {.profile = standard, .max_message_size = 65'535, .links = links}) &&
      add_sender(contenders, {"sent_udp", SOCK_DGRAM, "udp"}, {.links = links}, records) &&
      add_sender(contenders, {"sent_udp_1452", SOCK_DGRAM, "udp", 1'452}, {.links = links}, records) &&
      add_sender(contenders, {"sent_tcp", SOCK_STREAM, "tcp"}, {.links = links}, records);
  if (!ready) return 1;
  contenders.push_back({.name = "json"});
  for (int round = 0; round < rounds; ++round)
    for (Contender& contender : contenders)
      if (!measure(contender, records, table)) {
        fmt::print(stderr, "bench_ipfix: {}: failed\n", contender.name);
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
