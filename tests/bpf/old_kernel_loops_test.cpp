// SPDX-License-Identifier: Apache-2.0
// What check_cfg() of kernels before 6.6 refuses, which today's kernel takes: a loop that is closed by
// falling through to an instruction on the way to itself. clang lays loops out so now and then.
#include <elf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bpf/abi.h"

using rheo::abi::meter_settings;  // the skeleton names it
#include "flow.skel.h"

namespace rheo {
namespace {

struct Edge {
  std::size_t to;
  bool may_close_a_loop;
};

bool is_wide(const bpf_insn& insn) { return insn.code == (BPF_LD | BPF_IMM | BPF_DW); }

/// Where control goes from an instruction; calls return, so they fall through.
std::vector<Edge> edges_from(std::span<const bpf_insn> insns, std::size_t at) {
  const bpf_insn& insn = insns[at];
  const int kind = BPF_CLASS(insn.code);
  const std::size_t next = at + (is_wide(insn) ? 2 : 1);
  if ((kind != BPF_JMP && kind != BPF_JMP32) || BPF_OP(insn.code) == BPF_CALL) return {{next, false}};
  if (BPF_OP(insn.code) == BPF_EXIT) return {};
  const std::size_t target = at + 1 + static_cast<std::size_t>(static_cast<std::ptrdiff_t>(insn.off));
  if (BPF_OP(insn.code) == BPF_JA) return {{target, true}};
  return {{next, true}, {target, true}};
}

/// The refused edges of a function.
std::vector<std::pair<std::size_t, std::size_t>> find_refused(std::span<const bpf_insn> insns) {
  enum State : char { unseen, open, done };
  std::vector<State> states(insns.size(), unseen);
  std::vector<std::pair<std::size_t, std::size_t>> refused;
  std::vector<std::pair<std::size_t, std::vector<Edge>>> path = {{0, edges_from(insns, 0)}};
  states[0] = open;
  while (!path.empty()) {
    auto& [at, edges] = path.back();
    if (edges.empty()) {
      states[at] = done;
      path.pop_back();
      continue;
    }
    const Edge edge = edges.back();
    edges.pop_back();
    if (edge.to >= insns.size()) continue;
    if (states[edge.to] == open && !edge.may_close_a_loop) refused.emplace_back(at, edge.to);
    if (states[edge.to] != unseen) continue;
    states[edge.to] = open;
    path.emplace_back(edge.to, edges_from(insns, edge.to));
  }
  return refused;
}

struct Function {
  std::string name;
  std::span<const bpf_insn> insns;
};

/// Every function of the compiled object, those that programs call included.
std::vector<Function> read_functions(const char* elf) {
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(elf);
  const std::span sections(reinterpret_cast<const Elf64_Shdr*>(elf + header->e_shoff), header->e_shnum);
  std::vector<Function> functions;
  for (const Elf64_Shdr& table : sections) {
    if (table.sh_type != SHT_SYMTAB) continue;
    const char* names = elf + sections[table.sh_link].sh_offset;
    const std::span symbols(reinterpret_cast<const Elf64_Sym*>(elf + table.sh_offset),
                            table.sh_size / sizeof(Elf64_Sym));
    for (const Elf64_Sym& symbol : symbols) {
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC) continue;
      const char* code = elf + sections[symbol.st_shndx].sh_offset + symbol.st_value;
      functions.push_back({names + symbol.st_name,
                           {reinterpret_cast<const bpf_insn*>(code), symbol.st_size / sizeof(bpf_insn)}});
    }
  }
  return functions;
}

TEST(OldKernelLoops, AFallThroughLoopIsFound) {
  const bpf_insn insns[] = {{.code = BPF_JMP | BPF_JA, .dst_reg = 0, .src_reg = 0, .off = 2, .imm = 0},
                            {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
                            {.code = BPF_ALU64 | BPF_MOV, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 1},
                            {.code = BPF_JMP | BPF_JEQ, .dst_reg = 0, .src_reg = 0, .off = -3, .imm = 0},
                            {.code = BPF_JMP | BPF_JA, .dst_reg = 0, .src_reg = 0, .off = -3, .imm = 0}};
  EXPECT_EQ(find_refused(insns).size(), 1U);
}

TEST(OldKernelLoops, NoFunctionHasOne) {
  std::size_t size = 0;
  const auto* elf = static_cast<const char*>(flow_bpf__elf_bytes(&size));
  const auto functions = read_functions(elf);
  EXPECT_GE(functions.size(), 7U);
  for (const Function& function : functions) {
    for (const auto& [from, to] : find_refused(function.insns))
      ADD_FAILURE() << function.name << ": falls back from instruction " << from << " to " << to;
  }
}

}  // namespace
}  // namespace rheo
