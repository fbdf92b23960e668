// SPDX-License-Identifier: Apache-2.0
// bench_json [--short]: nanoseconds and bytes for a flow record as a JSON line, Community ID included, beside
// the same line by snprintf(3), strftime(3) and inet_ntop(3), interleaved in one run.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/model/community_id.h"
#include "daemon/model/names.h"
#include "export/json/encode_json.h"
#include "tests/tools/server_record.h"

namespace rheo {
namespace {

constexpr std::size_t kBatch = 1'024;

/// Half IPv4, half IPv6, TCP, answered: what a server sees most.
std::vector<FlowRecord> make_records() {
  std::vector<FlowRecord> records(kBatch);
  for (std::size_t i = 0; i < records.size(); ++i) {
    records[i] = testing::server_record(i, i % 2 == 1);
  }
  return records;
}

std::string time_text(std::uint64_t ns) {
  const auto seconds = static_cast<time_t>(ns / kNanosecondsPerSecond);
  tm utc{};
  gmtime_r(&seconds, &utc);
  char date[32];
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
  char text[64];
  snprintf(text, sizeof text, "%s.%09luZ", date, static_cast<unsigned long>(ns % kNanosecondsPerSecond));
  return text;
}

/// One direction as snprintf writes it; `prefix` is "flow." or "flow.reverse.".
void baseline_direction(std::string& out, const char* prefix, const FlowDirection& d) {
  char text[1'024];
  snprintf(text, sizeof text,
           ",\"%sbytes.delta\":%lu,\"%sbytes.total\":%lu,\"%spackets.delta\":%lu,\"%spackets.total\":%lu,"
           "\"%slayer2.bytes.delta\":%lu,\"%slayer2.bytes.total\":%lu,\"%sip.dscp.id\":%d,\"%sip.ecn.id\":%d,"
           "\"%sip.ttl\":%d,\"%stcp.flags.bits\":%d,\"%stcp.flags.tags\":[\"PSH\",\"ACK\"],\"%sobserved\":["
           "\"%s\"]",
           prefix, d.delta.l3_bytes, prefix, d.total.l3_bytes, prefix, d.delta.packets, prefix,
           d.total.packets, prefix, d.delta.l2_bytes, prefix, d.total.l2_bytes, prefix, d.tos >> 2, prefix,
           d.tos & 3, prefix, d.ttl, prefix, d.tcp_flags, prefix, prefix,
           d.hooks == 1 ? "ingress" : "egress");
  out += text;
}

void append_baseline(std::string& out, const FlowRecord& r, const LinkTable& links) {
  char text[2'048];
  snprintf(
      text, sizeof text,
      "{\"flow.id\":\"%016lx\",\"flow.sequence\":%u,\"flow.community_id\":\"%s\",\"flow.start\":\"%s\","
      "\"start\":\"%s\",\"end\":\"%s\",\"flow.end_reason\":\"%s\",\"flow.connection.state\":\"%s\","
      "\"flow.initiator_by\":\"%s\",\"network.type\":\"%s\",\"network.transport\":\"%s\","
      "\"source.address\":\"%s\",\"source.port\":%d,\"source.mac\":\"%s\",\"destination.address\":\"%s\","
      "\"destination.port\":%d,\"destination.mac\":\"%s\",\"network.interface.index\":%u,"
      "\"network.interface.name\":\"%s\"",
      r.flow_id, r.sequence, community_id(r, 0).c_str(), time_text(r.flow_start_ns).c_str(),
      time_text(r.start_ns).c_str(), time_text(r.end_ns).c_str(), end_reason_name(r.end_reason).data(),
      tcp_state_name(r.tcp_state).data(), initiator_by_name(r.initiator_by).data(), r.ipv6 ? "ipv6" : "ipv4",
      protocol_name(r.protocol).c_str(), address_text(r.source, r.ipv6).c_str(),
      __builtin_bswap16(r.source_port_be), mac_text(r.source_mac).c_str(),
      address_text(r.destination, r.ipv6).c_str(), __builtin_bswap16(r.destination_port_be),
      mac_text(r.destination_mac).c_str(), link_ifindex(r.link),
      std::string(link_name(links, r.link)).c_str());
  out += text;
  baseline_direction(out, "flow.", r.forward);
  baseline_direction(out, "flow.reverse.", r.reverse);
  out += "}\n";
}

/// Nanoseconds a record of one pass over all records.
template <class Append>
double measure(std::string& out, const std::vector<FlowRecord>& records, Append append) {
  out.clear();
  const std::uint64_t begin = monotonic_ns();
  for (const FlowRecord& record : records) append(record);
  return static_cast<double>(monotonic_ns() - begin) / static_cast<double>(records.size());
}

double median(std::vector<double>& values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int run(int rounds) {
  const std::vector<FlowRecord> records = make_records();
  LinkTable links;
  links[2].name = "eth0";
  std::string ours;
  std::string theirs;
  std::vector<double> ours_ns;
  std::vector<double> theirs_ns;
  for (int round = 0; round < rounds; ++round) {
    ours_ns.push_back(
        measure(ours, records, [&](const FlowRecord& r) { append_json(ours, r, {.links = links}); }));
    theirs_ns.push_back(
        measure(theirs, records, [&](const FlowRecord& r) { append_baseline(theirs, r, links); }));
  }
  if (ours != theirs) {
    const auto [a, b] = std::ranges::mismatch(ours, theirs);
    fmt::print(stderr, "bench_json: the two lines differ:\n{}\n{}\n",
               std::string(a, ours.end()).substr(0, 100), std::string(b, theirs.end()).substr(0, 100));
    return 1;
  }
  const double bytes = static_cast<double>(ours.size()) / static_cast<double>(records.size());
  const double ns = median(ours_ns);
  const double baseline_ns = median(theirs_ns);
  fmt::print("{:<12} {:>14} {:>16}\n", "writer", "ns a record", "bytes a record");
  fmt::print("{:<12} {:>14.0f} {:>16.0f}\n", "append_json", ns, bytes);
  fmt::print("{:<12} {:>14.0f} {:>16.0f}\n", "snprintf", baseline_ns, bytes);
  fmt::print(
      "{{\"ns_per_record\":{:.1f},\"baseline_ns_per_record\":{:.1f},\"ratio\":{:.3f},\"bytes_per_record\":{:."
      "0f}}}\n",
      ns, baseline_ns, ns / baseline_ns, bytes);
  return 0;
}

}  // namespace
}  // namespace rheo

int main(int argc, char* argv[]) {
  const bool is_short = argc > 1 && std::strcmp(argv[1], "--short") == 0;
  return rheo::run(is_short ? 50 : 1'000);
}
