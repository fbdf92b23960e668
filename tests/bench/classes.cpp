// SPDX-License-Identifier: Apache-2.0
// bench_classes [--short]: nanoseconds for finding the longest prefix of an address among 10, 1,000 and a
// million, by PrefixTrie and by a hash table for each length of prefix, whose answers are compared.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/model/listeners.h"
#include "daemon/model/prefix_trie.h"

namespace rheo {
namespace {

using Random = std::mt19937_64;
using Numbers = std::vector<std::optional<std::uint16_t>>;

/// Three of four are IPv4's.
Address any_address(Random& random) {
  Address address{};
  const std::uint64_t high = random();
  const std::uint64_t low = random();
  std::memcpy(address.data(), &high, 8);
  std::memcpy(address.data() + 8, &low, 8);
  if (random() % 4 != 0) {
    std::fill_n(address.begin(), 10, 0);
    address[10] = address[11] = 0xff;
  } else {
    address[0] = 0x20;  // as all addresses of the internet
    address[1] &= 0x0f;
  }
  return address;
}

/// Of lengths as tables of routes and lists of hosts have them.
std::vector<PrefixTrie::Entry> make_prefixes(Random& random, std::size_t count) {
  constexpr unsigned kV4[] = {8, 16, 20, 22, 24, 24, 24, 32};
  constexpr unsigned kV6[] = {32, 40, 48, 48, 48, 56, 64, 128};
  std::vector<PrefixTrie::Entry> entries;
  for (std::size_t i = 0; i < count; ++i) {
    const Address address = any_address(random);
    const unsigned bits = is_mapped_v4(address) ? kMappedBits + kV4[random() % 8] : kV6[random() % 8];
    entries.push_back({prefix_of(address, bits), static_cast<std::uint16_t>(random() % 100)});
  }
  return entries;
}

/// Every second within one of the prefixes.
std::vector<Address> make_addresses(Random& random, const std::vector<PrefixTrie::Entry>& entries,
                                    std::size_t count) {
  std::vector<Address> addresses;
  for (std::size_t i = 0; i < count; ++i) {
    Address address = any_address(random);
    if (i % 2 == 0) {
      const IpPrefix& within = entries[random() % entries.size()].prefix;
      const IpPrefix front = prefix_of(address, within.bits);
      for (std::size_t at = 0; at < address.size(); ++at)
        address[at] = static_cast<std::uint8_t>(address[at] ^ front.address[at] ^ within.address[at]);
    }
    addresses.push_back(address);
  }
  return addresses;
}

class HashTables {
 public:
  explicit HashTables(const std::vector<PrefixTrie::Entry>& entries) {
    for (const auto& [prefix, number] : entries) {
      const bool v4 = is_mapped_v4(prefix.address) && prefix.bits >= kMappedBits;
      tables_[v4][prefix.bits].emplace(prefix.address, number);
    }
  }

  std::optional<std::uint16_t> find(const Address& address) const {
    for (const auto& [bits, table] : tables_[is_mapped_v4(address)]) {
      const auto found = table.find(prefix_of(address, bits).address);
      if (found != table.end()) return found->second;
    }
    return std::nullopt;
  }

 private:
  using Table = std::unordered_map<Address, std::uint16_t, AddressHash>;
  std::map<unsigned, Table, std::greater<>> tables_[2];  // the longest first
};

template <class Find>
double measure(Numbers& numbers, const std::vector<Address>& addresses, Find find) {
  numbers.clear();
  const std::uint64_t begin = monotonic_ns();
  for (const Address& address : addresses) numbers.push_back(find(address));
  return static_cast<double>(monotonic_ns() - begin) / static_cast<double>(addresses.size());
}

double median(std::vector<double>& values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

bool run(std::size_t prefixes, int rounds, std::string& json) {
  Random random(prefixes);
  const auto entries = make_prefixes(random, prefixes);
  const auto addresses = make_addresses(random, entries, 200'000);
  const std::uint64_t begin = monotonic_ns();
  const PrefixTrie trie(entries);
  const double made_ms = static_cast<double>(monotonic_ns() - begin) / 1e6;
  const HashTables tables(entries);

  Numbers ours;
  Numbers theirs;
  std::vector<double> ours_ns;
  std::vector<double> theirs_ns;
  for (int round = 0; round < rounds; ++round) {
    ours_ns.push_back(measure(ours, addresses, [&](const Address& address) -> std::optional<std::uint16_t> {
      const auto found = trie.find(address);
      return found ? std::optional(found->number) : std::nullopt;
    }));
    theirs_ns.push_back(
        measure(theirs, addresses, [&](const Address& address) { return tables.find(address); }));
  }
  if (ours != theirs) {
    fmt::print(stderr, "bench_classes: the two find different prefixes among {}\n", prefixes);
    return false;
  }
  const double ns = median(ours_ns);
  const double baseline_ns = median(theirs_ns);
  const double mib = static_cast<double>(trie.bytes()) / (1U << 20U);
  fmt::print("{:>10} {:>14.0f} {:>16.0f} {:>12.1f} {:>14.1f}\n", prefixes, ns, baseline_ns, mib, made_ms);
  json += fmt::format("{}\"{}\":{{\"ns\":{:.1f},\"baseline_ns\":{:.1f},\"mib\":{:.2f},\"made_ms\":{:.1f}}}",
                      json.empty() ? "" : ",", prefixes, ns, baseline_ns, mib, made_ms);
  return true;
}

}  // namespace
}  // namespace rheo

int main(int argc, char* argv[]) {
  const bool is_short = argc > 1 && std::strcmp(argv[1], "--short") == 0;
  fmt::print("{:>10} {:>14} {:>16} {:>12} {:>14}\n", "prefixes", "ns a look-up", "hash tables, ns",
             "trie, MiB", "made in, ms");
  std::string json;
  for (const std::size_t prefixes : {10UL, 1'000UL, 1'000'000UL}) {
    if (!rheo::run(prefixes, is_short ? 5 : 51, json)) return 1;
  }
  fmt::print("{{{}}}\n", json);
  return 0;
}
