// SPDX-License-Identifier: Apache-2.0
#include "daemon/model/names.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "daemon/base/assert.h"

namespace rheo {
namespace {

template <std::size_t N, class E>
std::string_view name_of(const std::array<std::string_view, N>& names, E value) {
  const auto index = static_cast<std::size_t>(value);
  RHEO_ASSERT(index < N);
  return names[index];
}

constexpr std::array<std::string_view, kEndReasonCount> kEndReasons = {
    "idle timeout",         "active timeout",    "end of Flow detected",
    "end of Flow detected", "lack of resources", "forced end"};
constexpr std::array<std::uint8_t, kEndReasonCount> kIpfixEndReasons = {1, 2, 3, 3, 5, 4};

constexpr std::array<std::string_view, kTcpStateCount> kTcpStates = {
    "",           "closed",     "listen",     "syn_sent", "syn_received", "established",
    "fin_wait_1", "fin_wait_2", "close_wait", "closing",  "last_ack",     "time_wait"};

constexpr std::array<std::string_view, kInitiatorByCount> kInitiatorBy = {"handshake", "listener", "port",
                                                                          "first_packet"};

constexpr std::array<std::string_view, kTunnelTypeCount> kTunnels = {
    "", "vxlan", "geneve", "gre", "nvgre", "ipip", "6in4", "4in6", "6in6"};

struct ProtocolName {
  std::uint8_t number;
  std::string_view name;
};
// IANA protocol numbers, OpenTelemetry's lower-case spelling.
constexpr ProtocolName kProtocols[] = {
    {1, "icmp"},  {2, "igmp"},   {4, "ipip"},   {6, "tcp"},    {17, "udp"},     {33, "dccp"},  {41, "ipv6"},
    {46, "rsvp"}, {47, "gre"},   {50, "esp"},   {51, "ah"},    {58, "icmpv6"},  {88, "eigrp"}, {89, "ospf"},
    {103, "pim"}, {112, "vrrp"}, {115, "l2tp"}, {132, "sctp"}, {136, "udplite"}};

constexpr std::array<std::string_view, 9> kTcpFlags = {"FIN", "SYN", "RST", "PSH", "ACK",
                                                       "URG", "ECE", "CWR", "AE"};

}  // namespace

std::string_view end_reason_name(EndReason reason) { return name_of(kEndReasons, reason); }

std::uint8_t ipfix_end_reason(EndReason reason) {
  return kIpfixEndReasons.at(static_cast<std::size_t>(reason));
}

std::string_view tcp_state_name(TcpState state) { return name_of(kTcpStates, state); }
std::string_view initiator_by_name(InitiatorBy by) { return name_of(kInitiatorBy, by); }
std::string_view tunnel_type_name(TunnelType type) { return name_of(kTunnels, type); }

std::string protocol_name(std::uint8_t protocol) {
  const auto* found = std::ranges::find(kProtocols, protocol, &ProtocolName::number);
  return found == std::end(kProtocols) ? std::to_string(protocol) : std::string(found->name);
}

std::string address_text(const Address& address, bool ipv6) {
  char text[INET6_ADDRSTRLEN] = "";
  if (ipv6)
    ::inet_ntop(AF_INET6, address.data(), text, sizeof text);
  else
    ::inet_ntop(AF_INET, address.data() + 12, text, sizeof text);
  return text;
}

std::string mac_text(const MacAddress& mac) { return fmt::format("{:02x}", fmt::join(mac, ":")); }

std::string tcp_flags_text(std::uint16_t flags) {
  std::string text;
  for (std::size_t bit = 0; bit < kTcpFlags.size(); ++bit) {
    if ((flags >> bit & 1U) == 0) continue;
    if (!text.empty()) text += '|';
    text += kTcpFlags[bit];
  }
  return text;
}

}  // namespace rheo
