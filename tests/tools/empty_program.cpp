// SPDX-License-Identifier: Apache-2.0
// empty_program: has a program that does nothing run on every packet that leaves an interface (TCX), until
// its standard input ends: what any program there costs, whatever it does. Prints "attached". One thread.
#include <bpf/bpf.h>
#include <fmt/core.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace {

constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);  // libbpf 1.1 has no name for it

[[noreturn]] void fail(const char* doing) {
  fmt::print(stderr, "empty_program: {}: {}\n", doing, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "Usage: empty_program INTERFACE\n");
    return EXIT_FAILURE;
  }
  const unsigned index = ::if_nametoindex(argv[1]);
  if (index == 0) fail(argv[1]);
  // return TCX_NEXT
  const bpf_insn program[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = -1},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  const int loaded =
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "empty", "GPL", program, std::size(program), nullptr);
  if (loaded < 0) fail("load");
  if (bpf_link_create(loaded, static_cast<int>(index), kTcxEgress, nullptr) < 0) fail("attach");
  fmt::print("attached\n");
  std::fflush(stdout);
  char end = 0;
  return ::read(STDIN_FILENO, &end, 1) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
