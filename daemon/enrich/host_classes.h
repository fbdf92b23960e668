// SPDX-License-Identifier: Apache-2.0
// The classes that a host has by itself: its own addresses, its resolvers, its Docker networks. Pure, any
// thread.
#pragma once

#include <span>
#include <vector>

#include "daemon/model/link.h"
#include "daemon/model/link_addresses.h"
#include "daemon/model/prefix_trie.h"

namespace rheo {

/// What is known of the host, of rheod's own network namespace.
struct HostView {
  const LinkTable& links;
  const AddressTable& addresses;
  std::span<const Address> resolvers;
};

/// The host's own addresses, 127.0.0.0/8 and ::1 among them.
std::vector<PrefixTrie::Entry> own_addresses(const AddressTable& addresses);

/// In the order in which they win where prefixes are equal: dns, localhost (127.0.0.0/8 and ::1 too), docker
/// (the networks of docker0, docker_gwbridge and of bridges br- and 12 hexadecimal digits, but link-local
/// ones, which every link has).
std::vector<PrefixTrie::Entry> host_classes(const HostView& host);

}  // namespace rheo
