// SPDX-License-Identifier: Apache-2.0
#include "daemon/enrich/host_classes.h"

#include <algorithm>
#include <utility>

#include "daemon/model/address_classes.h"

namespace rheo {
namespace {

constexpr auto kDns = std::to_underlying(AddressClass::dns);
constexpr auto kLocalhost = std::to_underlying(AddressClass::localhost);
constexpr auto kDocker = std::to_underlying(AddressClass::docker);

constexpr Address kLoopbackV4 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
constexpr Address kLoopbackV6 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

bool is_docker_bridge(const Link& link) {
  constexpr std::string_view kBegin = "br-";
  constexpr std::size_t kDigits = 12;  // of the network's id
  if (link.kind != "bridge" || link.gone) return false;
  const std::string_view name = link.name;
  if (name == "docker0" || name == "docker_gwbridge") return true;
  return name.size() == kBegin.size() + kDigits && name.starts_with(kBegin) &&
         std::ranges::all_of(name.substr(kBegin.size()),
                             [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_link_local(const LinkAddress& own) {
  const Address& a = own.address;
  return own.ipv6 ? a[0] == 0xfe && (a[1] & 0xc0U) == 0x80 : a[12] == 169 && a[13] == 254;
}

}  // namespace

std::vector<PrefixTrie::Entry> own_addresses(const AddressTable& addresses) {
  std::vector<PrefixTrie::Entry> entries = {{prefix_of(kLoopbackV4, kMappedBits + 8), kLocalhost},
                                            {prefix_of(kLoopbackV6, 128), kLocalhost}};
  for (const auto& [index, of_link] : addresses) {
    for (const LinkAddress& own : of_link->own) entries.push_back({prefix_of(own.address, 128), kLocalhost});
  }
  return entries;
}

std::vector<PrefixTrie::Entry> host_classes(const HostView& host) {
  std::vector<PrefixTrie::Entry> entries;
  for (const Address& address : host.resolvers) entries.push_back({prefix_of(address, 128), kDns});
  const auto own_ones = own_addresses(host.addresses);
  entries.insert(entries.end(), own_ones.begin(), own_ones.end());
  for (const auto& [index, addresses] : host.addresses) {
    const auto link = host.links.find(index);
    if (link == host.links.end() || !is_docker_bridge(link->second)) continue;
    for (const LinkAddress& own : addresses->own) {
      if (is_link_local(own)) continue;
      const unsigned before = own.ipv6 ? 0 : kMappedBits;
      entries.push_back({prefix_of(own.address, before + own.prefix), kDocker});
    }
  }
  return entries;
}

}  // namespace rheo
