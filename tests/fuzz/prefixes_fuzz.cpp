// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of prefixes and as resolv.conf: prefixes that are written as they were read, and a trie
// that finds each of them, or one sentence; never a crash.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "daemon/base/assert.h"
#include "daemon/enrich/prefix_file.h"
#include "daemon/enrich/resolvers.h"
#include "daemon/model/prefix_trie.h"

namespace {

using namespace rheo;

void expect_found(const std::vector<IpPrefix>& prefixes) {
  std::vector<PrefixTrie::Entry> entries;
  for (const IpPrefix& prefix : prefixes) entries.push_back({prefix, prefix.bits});
  const PrefixTrie trie(entries);
  RHEO_ASSERT(trie.bytes() <= 4'096 + prefixes.size() * 112);
  for (const IpPrefix& prefix : prefixes) {
    const auto found = trie.find(prefix.address);
    // ::/90 begins with an address that is IPv4's.
    if (prefix.bits < kMappedBits && is_mapped_v4(prefix.address)) continue;
    RHEO_ASSERT(found && found->bits >= prefix.bits && found->number == found->bits);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  constexpr std::size_t kMost = 1'000;

  if (const auto prefixes = parse_prefix_lines(text, kMost)) {
    RHEO_ASSERT(prefixes->size() <= kMost);
    for (const IpPrefix& prefix : *prefixes) RHEO_ASSERT(parse_ip_prefix(ip_prefix_text(prefix)) == prefix);
    expect_found(*prefixes);
  } else {
    const std::string& what = prefixes.error().what;
    RHEO_ASSERT(what.size() < 400);
    RHEO_ASSERT(std::ranges::none_of(what, [](unsigned char c) { return c < ' ' || c == 0x7f; }));
  }
  RHEO_ASSERT(parse_resolv_conf(text).size() <= 64);
  return 0;
}
