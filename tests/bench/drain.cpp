// SPDX-License-Identifier: Apache-2.0
// bench_drain FLOWS ROUNDS: CPU time and memory for draining the flow cache and merging into the flow table.
// The rows lie in real BPF maps, each in a set that its key chooses, as the kernel would have put them; the
// table is a real file with its journal. Beside it, interleaved, the same rows are added to a
// std::unordered_map.
#include <fmt/core.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "bpf/abi.h"
#include "daemon/base/clock.h"
#include "daemon/datapath/generations.h"
#include "daemon/flow/flow_table.h"
#include "daemon/flow/merge.h"

namespace rheo {
namespace {

struct KeyHash {
  std::size_t operator()(const abi::flow_key& key) const { return hash_flow_key(key, 1); }
};
struct KeyEqual {
  bool operator()(const abi::flow_key& a, const abi::flow_key& b) const {
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
};
using PlainMap = std::unordered_map<abi::flow_key, FlowCounts, KeyHash, KeyEqual>;

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "drain: could not measure: {}\n", why);
  std::exit(1);
}

/// The rows of the idle generation, through a second mapping of the same pages: what the kernel would write.
class CacheWriter {
 public:
  CacheWriter(const Generations& generations, std::size_t generation)
      : sets_(generations.sets()), mapping_(map(generations, generation)) {}

  /// One row a flow; a flow whose set is full goes to the next one, so that none is missing.
  void fill(std::uint32_t flows, std::uint64_t now_ns) {
    auto* const sets = reinterpret_cast<abi::flow_set*>(mapping_.data());
    for (std::uint32_t flow = 0; flow < flows; ++flow) {
      const abi::hot_row row = make_row(flow, now_ns);
      for (std::uint64_t s = hash_flow_key(row.key, 7) % sets_;; s = (s + 1) % sets_) {
        const auto free = std::ranges::find(sets[s].tag, 0U);
        if (free == std::end(sets[s].tag)) continue;
        sets[s].hot[free - sets[s].tag] = row;
        *free = 1;
        break;
      }
    }
  }

 private:
  static Mapping map(const Generations& generations, std::size_t generation) {
    auto mapping = Mapping::map(generations.fd(generation), generations.sets() * sizeof(abi::flow_set), 0,
                                Mapping::Access::read_write);
    if (!mapping) give_up(mapping.error().what);
    return *std::move(mapping);
  }

  static abi::hot_row make_row(std::uint32_t flow, std::uint64_t now_ns) {
    abi::hot_row row{};
    row.key.address[0][10] = row.key.address[0][11] = row.key.address[1][10] = row.key.address[1][11] = 0xff;
    row.key.address[0][12] = 10;
    row.key.address[1][12] = 11;
    std::memcpy(&row.key.address[1][13], &flow, 3);
    row.key.port[0] = htons(443);
    row.key.port[1] = static_cast<__be16>(flow >> 8U);
    row.key.protocol = IPPROTO_TCP;
    row.key.link = 2;
    for (abi::direction_counts& direction : row.direction)
      direction = {.l3_bytes = 5'000,
                   .packets = 10,
                   .l2_surplus = 140,
                   .flags = abi::FLAG_ACK,
                   .ttl = 64,
                   .tos = 0,
                   .hooks = 1,
                   .marks = 0,
                   .zero = 0};
    row.first_ns = now_ns;
    row.last_ns = now_ns + 1'000;
    return row;
  }

  std::uint64_t sets_;
  Mapping mapping_;
};

class CacheOwner final : public RowOwner {
 public:
  explicit CacheOwner(Generations& generations) : generations_(generations) {}
  void release(const RowPlace& place) override { generations_.release(place); }
  std::uint64_t identity() const override { return 1; }

 private:
  Generations& generations_;
};

std::uint64_t thread_cpu_ns() { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

/// RssAnon and RssShmem, in bytes.
std::uint64_t resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::uint64_t sum = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:") || line.starts_with("RssShmem:"))
      sum += 1'024 * std::strtoull(line.c_str() + line.find(':') + 1, nullptr, 10);
  }
  return sum;
}

FlowTableOptions table_options(const std::string& path, std::uint32_t flows) {
  constexpr std::uint64_t hour = 3'600 * kNanosecondsPerSecond;
  return {.file = {.path = path, .max_flows = flows, .outbox_records = 1'024},
          .timeouts = {hour, hour, hour, hour, hour, hour, hour}};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int run(std::uint32_t flows, int rounds) {
  // Twice as many rows as flows, so that few sets are full.
  Geometry geometry{.partition_sets = 1, .partition_count = 1, .ring_bytes = 0};
  while (geometry.sets() * abi::FLOW_CACHE_WAYS < 2ULL * flows) geometry.partition_sets *= 2;
  auto generations = Generations::create(geometry);
  if (!generations) give_up(generations.error().what);
  CacheOwner owner(*generations);
  std::optional<CacheWriter> writers[2];
  for (std::size_t g : {0U, 1U}) writers[g].emplace(*generations, g);

  // On tmpfs, as /run is.
  const std::string path = "/dev/shm/rheo-bench-drain-" + std::to_string(::getpid());
  auto opened = FlowTable::open(table_options(path, flows));
  if (!opened) give_up(opened.error().what);
  FlowTable& table = **opened;
  table.recover(owner, monotonic_ns());
  ::unlink(path.c_str());  // its pages stay until we end

  std::vector<double> ours;
  std::vector<double> plain;
  PlainMap map;
  std::uint64_t memory = 0;
  for (int round = 0; round <= rounds; ++round) {
    const std::size_t active = static_cast<std::size_t>(round % 2);
    writers[active]->fill(flows, monotonic_ns());
    if (auto swapped = generations->swap(); !swapped) give_up(swapped.error().what);
    const std::uint64_t plain_ns = thread_cpu_ns();
    generations->drain([&](std::span<const Row> rows) {
      for (const Row& row : rows) map[row.hot->key] += row_counts(*row.hot);
    });
    // The first round makes the flows: those are no active flows yet.
    if (round > 0) plain.push_back(static_cast<double>(thread_cpu_ns() - plain_ns) / flows);
    const std::uint64_t before = resident_bytes();
    table.begin_drain();
    const std::uint64_t begin_ns = thread_cpu_ns();
    generations->drain([&](std::span<const Row> rows) { table.merge(rows, owner); });
    const double ns = static_cast<double>(thread_cpu_ns() - begin_ns) / flows;
    if (round == 0)
      memory = resident_bytes() - before;
    else
      ours.push_back(ns);
    if (table.counters().active_flows != flows) give_up("flows are missing");
  }

  fmt::print("{} active flows, {} rounds, CPU ns a flow (median, least, most)\n", flows, rounds);
  fmt::print("  drain and merge       {:7.1f} {:7.1f} {:7.1f}\n", median(ours), std::ranges::min(ours),
             std::ranges::max(ours));
  fmt::print("  std::unordered_map    {:7.1f} {:7.1f} {:7.1f}\n", median(plain), std::ranges::min(plain),
             std::ranges::max(plain));
  const double bytes = static_cast<double>(memory) / flows;
  fmt::print("  memory                {:7.1f} bytes a flow\n", bytes);
  fmt::print(
      R"({{"flows": {}, "ns_per_flow": {:.1f}, "unordered_map_ns_per_flow": {:.1f}, "bytes_per_flow": {:.1f}}})"
      "\n",
      flows, median(ours), median(plain), bytes);
  return 0;
}

}  // namespace
}  // namespace rheo

int main(int argc, char* argv[]) {
  if (argc != 3) {
    fmt::print(stderr, "usage: bench_drain FLOWS ROUNDS\n");
    return 2;
  }
  return rheo::run(static_cast<std::uint32_t>(std::strtoul(argv[1], nullptr, 10)), std::atoi(argv[2]));
}
