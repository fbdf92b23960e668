// SPDX-License-Identifier: Apache-2.0
// foreign_program: somebody else's program at one direction of an interface, that counts its packets and
// gives each the same verdict. Prints "attached", then for each line of its standard input the number of
// packets so far; at the end of the input it detaches what it attached, and nothing else. One thread.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/core.h>
#include <linux/bpf.h>
#include <net/if.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>

namespace {

constexpr const char* kUsage =
    "Usage: foreign_program INTERFACE ingress|egress first|last|PRIORITY VERDICT\n"
    "first and last: by TCX, there; PRIORITY: a filter of the clsact qdisc that there is. VERDICT: -1 for "
    "the\n"
    "next program to decide, 0 to pass, 2 to drop.\n";

constexpr int kTcxIngress = 46;  // libbpf 1.1 has no names for these
constexpr int kTcxEgress = 47;
constexpr __u32 kBefore = 1U << 3U;
constexpr __u32 kAfter = 1U << 4U;

[[noreturn]] void fail(const char* doing) {
  fmt::print(stderr, "foreign_program: {}: {}\n", doing, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

constexpr bpf_insn insn(unsigned code, unsigned dst, unsigned src, int off, int imm) {
  return {.code = static_cast<__u8>(code),
          .dst_reg = static_cast<__u8>(dst & 15U),
          .src_reg = static_cast<__u8>(src & 15U),
          .off = static_cast<__s16>(off),
          .imm = imm};
}

/// Adds one to the map's only value, and returns the verdict.
int load(int map, int verdict) {
  const bpf_insn program[] = {
      insn(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0),
      insn(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0),
      insn(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
      insn(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
      insn(0, 0, 0, 0, 0),
      insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
      insn(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 0),
      insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1),
      insn(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_0, BPF_REG_1, 0, BPF_ADD),
      insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, verdict),
      insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  const int loaded =
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "GPL", program, std::size(program), nullptr);
  if (loaded < 0) fail("load");
  return loaded;
}

/// A link, which the kernel ends with this process.
void attach_tcx(int program, int ifindex, bool ingress, bool first) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = first ? kBefore : kAfter);
  const auto type = static_cast<bpf_attach_type>(ingress ? kTcxIngress : kTcxEgress);
  if (bpf_link_create(program, ifindex, type, &options) < 0) fail("attach a TCX link");
}

struct Filter {
  bpf_tc_hook hook{};
  bpf_tc_opts options{};
};

Filter attach_filter(int program, int ifindex, bool ingress, std::uint32_t priority) {
  Filter filter;
  filter.hook.sz = sizeof filter.hook;
  filter.hook.ifindex = ifindex;
  filter.hook.attach_point = ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS;
  filter.options.sz = sizeof filter.options;
  filter.options.priority = priority;
  filter.options.handle = 1;
  filter.options.prog_fd = program;
  errno = -bpf_tc_attach(&filter.hook, &filter.options);
  if (errno != 0) fail("attach a filter");
  return filter;
}

void detach(Filter& filter) {
  filter.options.prog_fd = 0;
  filter.options.prog_id = 0;
  filter.options.flags = 0;
  errno = -bpf_tc_detach(&filter.hook, &filter.options);
  if (errno != 0) fail("detach the filter");
}

void answer(int map) {
  for (int character = 0; (character = std::getchar()) != EOF;) {
    if (character != '\n') continue;
    const std::uint32_t zero = 0;
    std::uint64_t packets = 0;
    if (bpf_map_lookup_elem(map, &zero, &packets) != 0) fail("read");
    fmt::print("{}\n", packets);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "{}", kUsage);
    return EXIT_FAILURE;
  }
  const auto ifindex = static_cast<int>(::if_nametoindex(argv[1]));
  if (ifindex == 0) fail(argv[1]);
  const bool ingress = std::string_view(argv[2]) == "ingress";
  const std::string_view place = argv[3];
  const int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "foreign", 4, 8, 1, nullptr);
  if (map < 0) fail("make a map");
  const int program = load(map, std::atoi(argv[4]));

  const bool tcx = place == "first" || place == "last";
  Filter filter;
  if (tcx)
    attach_tcx(program, ifindex, ingress, place == "first");
  else
    filter = attach_filter(program, ifindex, ingress, static_cast<std::uint32_t>(std::atoi(argv[3])));
  fmt::print("attached\n");
  std::fflush(stdout);
  answer(map);
  if (!tcx) detach(filter);
  return EXIT_SUCCESS;
}
