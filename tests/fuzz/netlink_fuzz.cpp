// SPDX-License-Identifier: Apache-2.0
// Any bytes as a netlink message: a value or nothing, and never a read beyond them. Each input is read as it
// is, and again with a header that fits, so that the fuzzer need not find the length and the type.
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "daemon/base/assert.h"
#include "netlink/addresses.h"
#include "netlink/links.h"
#include "netlink/listeners.h"

namespace {

void read_all(std::span<const std::byte> message) {
  using namespace rheo;
  if (const auto link = read_link_message(message)) {
    RHEO_ASSERT(link->index > 0 && !link->name.empty());
    RHEO_ASSERT(link->lower != link->index);
  }
  if (const auto change = read_link_change(message)) RHEO_ASSERT(change->index > 0);
  if (const auto socket = read_socket_message(message, 6)) {
    RHEO_ASSERT(socket->address.port_be != 0 && socket->address.protocol == 6);
    RHEO_ASSERT(!socket->any_v6_only || socket->address.address == Address{});
  }
  static_cast<void>(read_address_message(message));
  if (const auto change = read_address_change(message))
    RHEO_ASSERT(change->index > 0 && change->address.prefix <= (change->address.ipv6 ? 128 : 32));
  if (const auto change = read_neighbour_change(message)) RHEO_ASSERT(change->index > 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy of exactly the size, so that the sanitizer sees a byte too far.
  const auto copy = std::make_unique<std::byte[]>(size);
  if (size > 0) std::memcpy(copy.get(), data, size);
  read_all({copy.get(), size});

  for (const std::uint16_t type :
       {std::uint16_t{RTM_NEWLINK}, std::uint16_t{RTM_DELLINK}, std::uint16_t{RTM_NEWADDR},
        std::uint16_t{RTM_NEWNEIGH}, std::uint16_t{SOCK_DIAG_BY_FAMILY}}) {
    nlmsghdr header{};
    header.nlmsg_len = static_cast<std::uint32_t>(sizeof(header) + size);
    header.nlmsg_type = type;
    const auto framed = std::make_unique<std::byte[]>(header.nlmsg_len);
    std::memcpy(framed.get(), &header, sizeof(header));
    if (size > 0) std::memcpy(framed.get() + sizeof(header), data, size);
    read_all({framed.get(), header.nlmsg_len});
  }
  return 0;
}
