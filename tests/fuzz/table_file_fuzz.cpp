// SPDX-License-Identifier: Apache-2.0
// The flow table's file, damaged in any way: it is set aside with a reason, or everything works with it. The
// input is a file, or, after a first byte that is odd, patches of a good one: offset (3 bytes), length (1),
// bytes.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "daemon/flow/flow_table.h"
#include "tests/tools/tables.h"

namespace rheo {
namespace {

using testing::add_packets;
using testing::kSecond;

constexpr std::uint64_t kStart = 1'000 * kSecond;

FlowTableOptions table_options(const std::string& path) {
  return testing::table_cut_often({.path = path, .max_flows = 64, .outbox_records = 16});
}

void merge(FlowTable& table, std::uint16_t port, std::uint64_t at_ns, RowOwner& owner) {
  testing::TestRow row = testing::make_row(IPPROTO_TCP, port, 443);
  add_packets(row, port % 2, 3, at_ns, port % 5 == 0 ? abi::FLAG_FIN : abi::FLAG_ACK);
  const Row one{
      .hot = &row.hot, .cold = &row.cold, .place = {.kind = RowPlace::Kind::cache, .position = port}};
  table.merge({&one, 1}, owner);
}

/// Everything that a process does with a table.
void use(FlowTable& table) {
  testing::NoOwner owner;
  table.recover(owner, kStart);
  auto cursor = table.outbox().open_cursor("lane");
  for (std::uint16_t port = 0; port < 100; ++port) merge(table, port, kStart + port * kSecond / 4, owner);
  table.expire(kStart + 30 * kSecond);
  static_cast<void>(table.busiest(5));
  static_cast<void>(table.counters());
  FlowBatch batch;
  const auto deliver = [&] {
    while (cursor && (*cursor)->next(batch, 7, 0, {})) (*cursor)->acknowledge(batch.end_position(), {});
  };
  deliver();
  while (table.close_some(8) > 0) deliver();
}

std::vector<char> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A file with flows, records, a lane and a committed journal.
std::vector<char> make_good_file(const std::string& path) {
  testing::NoOwner owner;
  auto table = FlowTable::open(table_options(path));
  if (!table) std::abort();
  (*table)->recover(owner, kStart);
  if (!(*table)->outbox().open_cursor("lane")) std::abort();
  for (std::uint16_t port = 0; port < 50; ++port) merge(**table, port, kStart + port * kSecond / 4, owner);
  (*table)->expire(kStart + 20 * kSecond);
  (*table)->file().journal().committed = 1;
  return read_file(path);
}

std::vector<char> patched(std::vector<char> file, const std::uint8_t* data, std::size_t size) {
  while (size > 4) {
    const std::size_t offset = (data[0] | data[1] << 8U | data[2] << 16U) % file.size();
    const std::size_t length = std::min({std::size_t{data[3]}, size - 4, file.size() - offset});
    std::copy_n(data + 4, length, file.begin() + static_cast<std::ptrdiff_t>(offset));
    data += 4 + length;
    size -= 4 + length;
  }
  return file;
}

}  // namespace
}  // namespace rheo

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rheo;
  static const std::string path = "/dev/shm/rheo-table-fuzz-" + std::to_string(::getpid());
  static const std::vector<char> good = make_good_file(path);
  if (size == 0) return 0;

  const std::vector<char> file =
      data[0] % 2 == 1 ? patched(good, data + 1, size - 1) : std::vector<char>(data + 1, data + size);
  std::ofstream(path, std::ios::binary).write(file.data(), static_cast<std::streamsize>(file.size()));
  auto table = FlowTable::open(table_options(path));
  if (!table) std::abort();
  use(**table);
  ::unlink(path.c_str());
  ::unlink((path + ".rejected").c_str());
  return 0;
}
