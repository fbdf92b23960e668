// SPDX-License-Identifier: Apache-2.0
// bench_datapath: runs the programs of bpf/datapath_bench.bpf.c in turns by BPF_PROG_TEST_RUN on one CPU
// and prints the median of each, net of the empty program. With one flow every packet is the same and the
// programs are plain; with more, each program, the empty one too, first makes its packet another flow's: the
// difference then hides a part of either behind the other, so `net` is a little low. The flow cache and the
// hash map both have room for all flows (twice their number of rows), but for the figures `default_`, whose
// cache has the rows that one of two CPUs has by default and a collector that empties `evicted` meanwhile.
// `egress_` and `owners_` are the program of egress without and with the owners of sockets (a row asks once),
// `owner_lookup_` is one such question. `tcp_off_`, `tcp_` and `tcp_owners_` are that program with segments
// of TCP: with neither, with notes of TCP, and with both; no socket answers there, as for what is forwarded.
// One thread, and that one.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bpf/abi.h"

using rheo::abi::cpu_counters;    // NOLINT(misc-unused-using-decls): the skeleton names it
using rheo::abi::meter_settings;  // NOLINT(misc-unused-using-decls)
#include "datapath_bench.skel.h"

namespace {

constexpr std::uint32_t kDefaultRowsOfCpu = 65'536 / 2;
constexpr std::uint32_t kRingBytes = 32u << 20;

struct Size {
  std::string_view name;
  std::uint32_t flows;
};
constexpr Size kSizes[] = {{"1", 1}, {"1k", 1'000}, {"100k", 100'000}, {"1m", 1'000'000}};

constexpr std::uint32_t kMostFlowsWithOwners = 100'000;  // there are up to three caches then

struct Destroy {
  void operator()(datapath_bench_bpf* skeleton) const { datapath_bench_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<datapath_bench_bpf, Destroy>;

[[noreturn]] void give_up(std::string_view what) {
  fmt::print(stderr, "bench_datapath: {}: {}; nothing was measured\n", what, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

// 64 bytes on the wire with FCS: Ethernet, IPv4 and UDP headers, 18 bytes of payload.
std::vector<unsigned char> udp_frame() {
  std::vector<unsigned char> frame(60);
  const unsigned char start[] = {2,    0, 0,   0,   0, 1, 2,    0,    0,    0,    0, 2, 8,  0,
                                 0x45, 0, 0,   46,  0, 1, 0x40, 0,    64,   17,   0, 0, 10, 0,
                                 0,    0, 192, 168, 1, 1, 0x12, 0x34, 0x22, 0xb8, 0, 26};
  std::copy(std::begin(start), std::end(start), frame.begin());
  return frame;
}

// As large, with a header of TCP that has the flag ACK alone.
std::vector<unsigned char> tcp_frame() {
  std::vector<unsigned char> frame = udp_frame();
  frame[23] = 6;
  frame[46] = 0x50;
  frame[47] = 0x10;
  return frame;
}

// What is noted beside packets and octets.
struct Notes {
  bool owners = false;
  bool tcp = false;
};

meter_settings settings_for(std::uint32_t sets, const Notes& notes) {
  meter_settings settings{};
  settings.note_owners = notes.owners;
  settings.note_tcp = notes.tcp;
  settings.has_coarse_clock = 1;
  for (unsigned i = 0; i < 7; ++i) settings.hash_seed[i] = (0x9E3779B97F4A7C15ULL * (i + 1)) | 1;
  settings.parse.vxlan_ports[0] = 4789;
  settings.parse.vxlan_ports[1] = 8472;
  settings.parse.geneve_ports[0] = 6081;
  settings.parse.wireguard_ports[0] = 51820;
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{4789, 8472, 6081, 51820})
    settings.parse.tunnel_port_filter |= rheo::abi::tunnel_port_bit(port);
  settings.parse.decapsulate_gre = settings.parse.decapsulate_ipip = 1;
  settings.partition_sets = sets;
  settings.partition_count = 1;  // the benchmark stays on CPU 0
  settings.ring_wakeup_bytes = kRingBytes / 4;
  return settings;
}

// Made here, not by libbpf, which cannot be told the size of an inner map.
void add_flow_cache(const datapath_bench_bpf& skeleton, std::uint32_t sets) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
  const int generation = bpf_map_create(BPF_MAP_TYPE_ARRAY, "bench_generation", sizeof(std::uint32_t),
                                        sizeof(rheo::abi::flow_set), sets, &options);
  if (generation < 0) give_up("make the flow cache (root is needed)");
  LIBBPF_OPTS(bpf_map_create_opts, outer_options, .inner_map_fd = static_cast<__u32>(generation));
  const int outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "bench_cache", sizeof(std::uint32_t),
                                   sizeof(std::uint32_t), 1, &outer_options);
  const std::uint32_t zero = 0;
  if (outer < 0 || bpf_map_update_elem(outer, &zero, &generation, 0) != 0 ||
      bpf_map__reuse_fd(skeleton.maps.flow_cache, outer) != 0)
    give_up("make the flow cache");
  close(outer);  // the object and the outer map have their own references
  close(generation);
}

struct Tables {
  std::uint32_t sets;
  std::uint32_t hash_entries;
};

Skeleton load(std::uint32_t flows, const Tables& tables, const Notes& notes = {}) {
  Skeleton skeleton(datapath_bench_bpf__open());
  if (!skeleton) give_up("open the BPF object");
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj)
      bpf_program__set_autoload(program, std::string_view(bpf_program__name(program)).starts_with("bench_"));
  skeleton->rodata->settings = settings_for(tables.sets, notes);
  skeleton->rodata->bench_flows = flows;
  bpf_map__set_max_entries(skeleton->maps.bench_hash, tables.hash_entries);
  bpf_map__set_max_entries(skeleton->maps.evicted, kRingBytes);
  bpf_map__set_max_entries(skeleton->maps.counters, static_cast<std::uint32_t>(libbpf_num_possible_cpus()));
  add_flow_cache(*skeleton, tables.sets);
  if (datapath_bench_bpf__load(skeleton.get()) != 0) give_up("load the BPF object (root is needed)");
  return skeleton;
}

double run(const bpf_program* program, std::uint32_t packets, bool is_tcp) {
  auto frame = is_tcp ? tcp_frame() : udp_frame();
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
              .data_size_in = static_cast<std::uint32_t>(frame.size()), .repeat = static_cast<int>(packets));
  if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) != 0) give_up(bpf_program__name(program));
  return options.duration;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Empties `evicted` as the collector does, on another CPU.
class Collector {
 public:
  explicit Collector(const datapath_bench_bpf& skeleton)
      : ring_(ring_buffer__new(
            bpf_map__fd(skeleton.maps.evicted), [](void*, void*, std::size_t) { return 0; }, nullptr,
            nullptr)) {
    if (!ring_) give_up("read the ring buffer");
    thread_ = std::jthread([this](const std::stop_token& stop) {
      cpu_set_t others;
      CPU_ZERO(&others);
      for (unsigned cpu = 1; cpu < std::thread::hardware_concurrency(); ++cpu) CPU_SET(cpu, &others);
      sched_setaffinity(0, sizeof(others), &others);  // with one CPU only: fails, and it shares that
      while (!stop.stop_requested()) ring_buffer__poll(ring_, 1);
    });
  }
  ~Collector() {
    thread_.request_stop();
    thread_.join();
    ring_buffer__free(ring_);
  }
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

 private:
  ring_buffer* ring_;
  std::jthread thread_;
};

using Figures = std::map<std::string, double>;

struct Run {
  Size size;
  std::uint32_t rows;
  bool as_by_default;
  int rounds;
  std::uint32_t warm_up;  // rounds
  bool is_tcp = false;
};

using Programs = std::vector<std::pair<std::string, const bpf_program*>>;

// Programs in turns, so that what disturbs the machine disturbs all of them. The first is the empty one.
void run_in_turns(const Programs& programs, const Run& what, Figures& figures) {
  std::map<std::string, std::vector<double>> times;
  for (int round = -1; round < what.rounds; ++round) {  // round -1 fills caches and tables
    for (const auto& [name, program] : programs) {
      const std::uint32_t packets = std::max<std::uint32_t>(500'000, what.size.flows);
      const double nanoseconds = run(program, round < 0 ? packets * what.warm_up : packets, what.is_tcp);
      if (round >= 0) times[name].push_back(nanoseconds);
    }
  }
  const double empty = median(times[programs.front().first]);
  for (const auto& [name, program] : programs)
    if (program != programs.front().second)
      figures[fmt::format("{}net_ns_{}", name, what.size.name)] = median(times[name]) - empty;
  figures.try_emplace(fmt::format("empty_net_ns_{}", what.size.name), empty);
}

void measure(const Run& what, Figures& figures) {
  const Skeleton skeleton = load(
      what.size.flows,
      {.sets = std::bit_ceil(what.rows) / 4, .hash_entries = what.as_by_default ? 1 : what.size.flows * 2});
  Programs programs = {{"empty_", skeleton->progs.bench_empty},
                       {what.as_by_default ? "default_" : "", skeleton->progs.bench_meter}};
  if (!what.as_by_default) {
    programs.emplace_back("parse_", skeleton->progs.bench_parse);
    programs.emplace_back("percpu_hash_", skeleton->progs.bench_percpu_hash);
  }
  const Collector collector(*skeleton);
  run_in_turns(programs, what, figures);
}

// What it costs to know whose the sockets are.
void measure_owners(const Run& what, Figures& figures) {
  const Tables tables = {.sets = std::bit_ceil(what.rows) / 4, .hash_entries = 1};
  const Skeleton off = load(what.size.flows, tables);
  const Skeleton on = load(what.size.flows, tables, {.owners = true});
  const Collector of_off(*off);
  const Collector of_on(*on);
  run_in_turns({{"empty_", off->progs.bench_empty},
                {"egress_", off->progs.bench_egress},
                {"owners_", on->progs.bench_egress},
                {"owner_lookup_", on->progs.bench_owner}},
               what, figures);
}

// What it costs to note TCP.
void measure_tcp(Run what, Figures& figures) {
  what.is_tcp = true;
  const Tables tables = {.sets = std::bit_ceil(what.rows) / 4, .hash_entries = 1};
  const Skeleton off = load(what.size.flows, tables);
  const Skeleton on = load(what.size.flows, tables, {.tcp = true});
  const Skeleton both = load(what.size.flows, tables, {.owners = true, .tcp = true});
  const Collector of_off(*off);
  const Collector of_on(*on);
  const Collector of_both(*both);
  run_in_turns({{"empty_", off->progs.bench_empty},
                {"tcp_off_", off->progs.bench_egress},
                {"tcp_", on->progs.bench_egress},
                {"tcp_owners_", both->progs.bench_egress}},
               what, figures);
}

void print(const Figures& figures) {
  fmt::print("{:<34}{:>8}{:>8}{:>8}{:>8}\n", "ns per packet, net of empty", "1", "1k", "100k", "1m");
  for (const std::string_view row : {"empty_", "parse_", "percpu_hash_", "", "default_", "egress_", "owners_",
                                     "owner_lookup_", "tcp_off_", "tcp_", "tcp_owners_"}) {
    fmt::print("{:<34}", row.empty() ? "flow cache" : row == "empty_" ? "(empty program itself)" : row);
    for (const auto& size : kSizes) {
      const auto found = figures.find(fmt::format("{}net_ns_{}", row, size.name));
      fmt::print("{:>8}", found == figures.end() ? "-" : fmt::format("{:.1f}", found->second));
    }
    fmt::print("\n");
  }
  std::string json;
  for (const auto& [name, value] : figures)
    json += fmt::format("{}\"{}\": {:.1f}", json.empty() ? "" : ", ", name, value);
  fmt::print("{{{}}}\n", json);
}

}  // namespace

int main(int argc, char* argv[]) {
  const bool is_short = argc > 1 && std::string_view(argv[1]) == "--short";
  const int rounds = is_short ? 3 : 9;
  const std::uint32_t warm_up = is_short ? 2 : 4;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(0, &cpus);
  rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};  // kernels before 5.11 charge maps to it
  setrlimit(RLIMIT_MEMLOCK, &unlimited);

  Figures figures;
  if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0) give_up("stay on CPU 0");
  for (const auto& size : kSizes) {
    measure({size, std::max(size.flows * 2, 2 * kDefaultRowsOfCpu), false, rounds, warm_up}, figures);
    if (!is_short) measure({size, kDefaultRowsOfCpu, true, rounds, warm_up}, figures);
    if (size.flows > kMostFlowsWithOwners) continue;
    const Run what = {size, std::max(size.flows * 2, 2 * kDefaultRowsOfCpu), false, rounds, warm_up};
    measure_owners(what, figures);
    measure_tcp(what, figures);
  }
  print(figures);
  return EXIT_SUCCESS;
}
