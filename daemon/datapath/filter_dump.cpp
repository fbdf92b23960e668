// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/filter_dump.h"

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "daemon/base/unique_fd.h"

namespace rheo {
namespace {

using Bytes = std::span<const std::byte>;

/// The payload of the first attribute of that type, empty where there is none.
Bytes attribute(Bytes attributes, unsigned short type) {
  while (attributes.size() >= sizeof(rtattr)) {
    rtattr header;
    std::memcpy(&header, attributes.data(), sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > attributes.size()) break;
    if ((header.rta_type & NLA_TYPE_MASK) == type)
      return attributes.subspan(RTA_LENGTH(0), header.rta_len - RTA_LENGTH(0));
    attributes = attributes.subspan(std::min<std::size_t>(RTA_ALIGN(header.rta_len), attributes.size()));
  }
  return {};
}

TcFilter read_filter(Bytes payload) {
  tcmsg message;
  std::memcpy(&message, payload.data(), sizeof message);
  const Bytes attributes = payload.subspan(NLMSG_ALIGN(sizeof message));
  TcFilter filter{
      .priority = TC_H_MAJ(message.tcm_info) >> 16U, .handle = message.tcm_handle, .bpf_name = {}};
  const Bytes kind = attribute(attributes, TCA_KIND);
  if (kind.size() != sizeof "bpf" || std::memcmp(kind.data(), "bpf", sizeof "bpf") != 0) return filter;
  const Bytes name = attribute(attribute(attributes, TCA_OPTIONS), TCA_BPF_NAME);
  if (name.empty()) return filter;
  const auto* text = reinterpret_cast<const char*>(name.data());
  filter.bpf_name.assign(text, ::strnlen(text, name.size()));
  return filter;
}

/// Gives every message of that type, whose payload begins with a tcmsg, to `take`. True: it was the last
/// part; an error message, or bytes that are no messages, are Nothing.
template <class Take>
std::optional<bool> read_messages(Bytes answer, std::uint16_t type, Take&& take) {
  while (!answer.empty()) {
    nlmsghdr header;
    if (answer.size() < sizeof header) return std::nullopt;
    std::memcpy(&header, answer.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > answer.size()) return std::nullopt;
    if (header.nlmsg_type == NLMSG_ERROR) return std::nullopt;
    if (header.nlmsg_type == NLMSG_DONE) return true;
    const Bytes payload = answer.first(header.nlmsg_len).subspan(NLMSG_HDRLEN);
    if (header.nlmsg_type == type && payload.size() >= NLMSG_ALIGN(sizeof(tcmsg))) take(payload);
    answer = answer.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), answer.size()));
  }
  return false;
}

/// Asks for all of a kind and gives each part of the answer to `read`, until that says that it was the last.
/// False: there was no whole answer.
template <class Read>
bool dump(std::uint16_t type, std::uint32_t ifindex, std::uint32_t parent, Read&& read) {
  struct {
    nlmsghdr header;
    tcmsg body;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.tcm_ifindex = static_cast<int>(ifindex);
  request.body.tcm_parent = parent;

  const UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  constexpr timeval kPatience{.tv_sec = 5, .tv_usec = 0};
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience) != 0)
    return false;
  if (::send(socket.get(), &request, sizeof request, 0) < 0) return false;
  std::array<std::byte, 32 * 1024> buffer;  // the kernel's largest part of a dump
  for (;;) {
    const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size <= 0) return false;
    const std::optional<bool> last = read(Bytes(buffer).first(static_cast<std::size_t>(size)));
    if (!last) return false;
    if (*last) return true;
  }
}

}  // namespace

std::optional<bool> read_filters(Bytes answer, std::vector<TcFilter>& filters) {
  return read_messages(answer, RTM_NEWTFILTER,
                       [&](Bytes payload) { filters.push_back(read_filter(payload)); });
}

std::optional<std::vector<TcFilter>> dump_filters(std::uint32_t ifindex, Direction direction) {
  const std::uint32_t hook =
      TC_H_MAKE(TC_H_CLSACT, direction == Direction::ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
  std::vector<TcFilter> filters;
  if (!dump(RTM_GETTFILTER, ifindex, hook, [&](Bytes part) { return read_filters(part, filters); }))
    return std::nullopt;
  return filters;
}

std::optional<std::string> dump_ingress_qdisc_kind(std::uint32_t ifindex) {
  std::optional<std::string> found;
  const auto look = [&](Bytes payload) {  // the kernel tells of every interface's
    tcmsg message;
    std::memcpy(&message, payload.data(), sizeof message);
    if (message.tcm_ifindex != static_cast<int>(ifindex) || message.tcm_parent != TC_H_INGRESS) return;
    const Bytes kind = attribute(payload.subspan(NLMSG_ALIGN(sizeof message)), TCA_KIND);
    const auto* text = reinterpret_cast<const char*>(kind.data());
    found.emplace(text, ::strnlen(text, kind.size()));
  };
  if (!dump(RTM_GETQDISC, ifindex, 0, [&](Bytes part) { return read_messages(part, RTM_NEWQDISC, look); }))
    return std::nullopt;
  return found;
}

}  // namespace rheo
