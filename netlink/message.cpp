// SPDX-License-Identifier: Apache-2.0
#include "netlink/message.h"

#include <linux/netlink.h>

#include <algorithm>

namespace rheo {

// Not libnl's nla_find: it takes pointers of 4-byte alignment, and bytes from a test or a fuzzer have none.
std::optional<std::span<const std::byte>> Attributes::find(std::uint16_t type) const {
  std::optional<std::span<const std::byte>> found;
  auto rest = bytes_;
  nlattr header{};
  while (rest.size() >= sizeof(header)) {
    std::memcpy(&header, rest.data(), sizeof(header));
    if (header.nla_len < sizeof(header) || header.nla_len > rest.size()) break;
    if ((header.nla_type & NLA_TYPE_MASK) == type)
      found = rest.subspan(sizeof(header), header.nla_len - sizeof(header));
    rest = rest.subspan(std::min<std::size_t>(NLA_ALIGN(header.nla_len), rest.size()));
  }
  return found;
}

std::string Attributes::text(std::uint16_t type) const {
  const auto payload = find(type);
  if (!payload || payload->empty()) return {};
  const char* const begin = reinterpret_cast<const char*>(payload->data());
  return {begin, ::strnlen(begin, payload->size())};
}

std::optional<Payload> read_payload(std::span<const std::byte> message) {
  nlmsghdr header{};
  if (message.size() < sizeof(header)) return std::nullopt;
  std::memcpy(&header, message.data(), sizeof(header));
  if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > message.size()) return std::nullopt;
  return Payload{header.nlmsg_type, message.subspan(sizeof(header), header.nlmsg_len - sizeof(header))};
}

}  // namespace rheo
