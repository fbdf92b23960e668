// SPDX-License-Identifier: Apache-2.0
#include "daemon/datapath/filter_dump.h"

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

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

}  // namespace

std::optional<bool> read_filters(Bytes answer, std::vector<TcFilter>& filters) {
  while (!answer.empty()) {
    nlmsghdr header;
    if (answer.size() < sizeof header) return std::nullopt;
    std::memcpy(&header, answer.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > answer.size()) return std::nullopt;
    if (header.nlmsg_type == NLMSG_ERROR) return std::nullopt;
    if (header.nlmsg_type == NLMSG_DONE) return true;
    const Bytes payload = answer.first(header.nlmsg_len).subspan(NLMSG_HDRLEN);
    if (header.nlmsg_type == RTM_NEWTFILTER && payload.size() >= NLMSG_ALIGN(sizeof(tcmsg)))
      filters.push_back(read_filter(payload));
    answer = answer.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), answer.size()));
  }
  return false;
}

std::optional<std::vector<TcFilter>> dump_filters(std::uint32_t ifindex, Direction direction) {
  struct {
    nlmsghdr header;
    tcmsg body;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETTFILTER;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.tcm_ifindex = static_cast<int>(ifindex);
  request.body.tcm_parent =
      TC_H_MAKE(TC_H_CLSACT, direction == Direction::ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);

  const UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket || ::send(socket.get(), &request, sizeof request, 0) < 0) return std::nullopt;
  std::vector<TcFilter> filters;
  std::array<std::byte, 32 * 1024> buffer;  // the kernel's largest part of a dump
  for (;;) {
    const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size <= 0) return std::nullopt;
    const auto last = read_filters(Bytes(buffer).first(static_cast<std::size_t>(size)), filters);
    if (!last) return std::nullopt;
    if (*last) return filters;
  }
}

}  // namespace rheo
