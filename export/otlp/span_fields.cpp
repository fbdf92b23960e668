// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/span_fields.h"

#include <algorithm>

namespace rheo {
namespace {

struct NumberName {
  std::uint8_t number;
  std::string_view name;
};

struct CodeName {
  std::uint8_t type;
  std::uint8_t code;
  std::string_view name;
};

// IANA dscp-registry; "df" is its CS0.
constexpr NumberName kDscp[] = {{0, "df"},    {1, "le"},    {8, "cs1"},   {10, "af11"}, {12, "af12"},
                                {14, "af13"}, {16, "cs2"},  {18, "af21"}, {20, "af22"}, {22, "af23"},
                                {24, "cs3"},  {26, "af31"}, {28, "af32"}, {30, "af33"}, {32, "cs4"},
                                {34, "af41"}, {36, "af42"}, {38, "af43"}, {40, "cs5"},  {44, "voice-admit"},
                                {46, "ef"},   {48, "cs6"},  {56, "cs7"}};

// IANA icmp-parameters and icmpv6-parameters.
constexpr NumberName kIcmpTypes[] = {{0, "echo_reply"},
                                     {3, "destination_unreachable"},
                                     {4, "source_quench"},
                                     {5, "redirect"},
                                     {8, "echo"},
                                     {9, "router_advertisement"},
                                     {10, "router_solicitation"},
                                     {11, "time_exceeded"},
                                     {12, "parameter_problem"},
                                     {13, "timestamp"},
                                     {14, "timestamp_reply"},
                                     {15, "information_request"},
                                     {16, "information_reply"},
                                     {17, "address_mask_request"},
                                     {18, "address_mask_reply"},
                                     {40, "photuris"},
                                     {42, "extended_echo_request"},
                                     {43, "extended_echo_reply"}};
constexpr NumberName kIcmp6Types[] = {{1, "destination_unreachable"},
                                      {2, "packet_too_big"},
                                      {3, "time_exceeded"},
                                      {4, "parameter_problem"},
                                      {128, "echo_request"},
                                      {129, "echo_reply"},
                                      {130, "multicast_listener_query"},
                                      {131, "multicast_listener_report"},
                                      {132, "multicast_listener_done"},
                                      {133, "router_solicitation"},
                                      {134, "router_advertisement"},
                                      {135, "neighbor_solicitation"},
                                      {136, "neighbor_advertisement"},
                                      {137, "redirect_message"},
                                      {138, "router_renumbering"},
                                      {143, "multicast_listener_report_v2"},
                                      {160, "extended_echo_request"},
                                      {161, "extended_echo_reply"}};

constexpr CodeName kIcmpCodes[] = {{3, 0, "net_unreachable"},
                                   {3, 1, "host_unreachable"},
                                   {3, 2, "protocol_unreachable"},
                                   {3, 3, "port_unreachable"},
                                   {3, 4, "fragmentation_needed"},
                                   {3, 5, "source_route_failed"},
                                   {3, 6, "destination_network_unknown"},
                                   {3, 7, "destination_host_unknown"},
                                   {3, 8, "source_host_isolated"},
                                   {3, 9, "network_prohibited"},
                                   {3, 10, "host_prohibited"},
                                   {3, 11, "network_unreachable_for_tos"},
                                   {3, 12, "host_unreachable_for_tos"},
                                   {3, 13, "communication_prohibited"},
                                   {3, 14, "host_precedence_violation"},
                                   {3, 15, "precedence_cutoff"},
                                   {5, 0, "redirect_for_network"},
                                   {5, 1, "redirect_for_host"},
                                   {5, 2, "redirect_for_tos_and_network"},
                                   {5, 3, "redirect_for_tos_and_host"},
                                   {11, 0, "ttl_exceeded"},
                                   {11, 1, "fragment_reassembly_exceeded"},
                                   {12, 0, "pointer_indicates_error"},
                                   {12, 1, "missing_option"},
                                   {12, 2, "bad_length"}};
constexpr CodeName kIcmp6Codes[] = {{1, 0, "no_route"},
                                    {1, 1, "communication_prohibited"},
                                    {1, 2, "beyond_scope"},
                                    {1, 3, "address_unreachable"},
                                    {1, 4, "port_unreachable"},
                                    {1, 5, "source_address_failed_policy"},
                                    {1, 6, "reject_route"},
                                    {1, 7, "source_routing_header_error"},
                                    {3, 0, "hop_limit_exceeded"},
                                    {3, 1, "fragment_reassembly_exceeded"},
                                    {4, 0, "erroneous_header_field"},
                                    {4, 1, "unrecognized_next_header"},
                                    {4, 2, "unrecognized_option"}};

template <std::size_t size>
std::string_view find(const NumberName (&names)[size], std::uint8_t number) {
  const auto* found = std::ranges::find(names, number, &NumberName::number);
  return found == std::end(names) ? std::string_view() : found->name;
}

template <std::size_t size>
std::string_view find(const CodeName (&names)[size], std::uint8_t type, std::uint8_t code) {
  const auto* found = std::ranges::find_if(
      names, [&](const CodeName& name) { return name.type == type && name.code == code; });
  return found == std::end(names) ? std::string_view() : found->name;
}

using enum FieldType;

}  // namespace

constinit const std::array<FlowField, kSpanFieldCount> kSpanFields = {{
    {"flow.direction", string, "",
     "forward where the source is known to have begun, unknown where it is only who was seen first"},
    {"network.interface.mac", string, "", "the interface's own link-layer address"},
    {"flow.ip.dscp.name", string, "", "name of flow.ip.dscp.id, where it has one: df, cs1, af11, ef, …"},
    {"flow.ip.ecn.name", string, "", "name of flow.ip.ecn.id: non-ect, ect(1), ect(0) or ce"},
    {"flow.icmp.type.name", string, "", "name of flow.icmp.type.id, where it has one: echo, …"},
    {"flow.icmp.code.name", string, "",
     "name of flow.icmp.code.id, where the type's codes have names: port_unreachable, …"},
    {"flow.reverse.ip.dscp.name", string, "", "name of flow.reverse.ip.dscp.id, likewise"},
    {"flow.reverse.ip.ecn.name", string, "", "name of flow.reverse.ip.ecn.id"},
    {"flow.reverse.icmp.type.name", string, "", "name of flow.reverse.icmp.type.id, likewise"},
    {"flow.reverse.icmp.code.name", string, "", "name of flow.reverse.icmp.code.id, likewise"},
    {"ipip.network.type", string, "", "tunnel.network.type, where an IP packet carried the flow's"},
    {"ipip.network.transport", string, "", "tunnel.network.transport, likewise"},
    {"ipip.source.address", string, "", "tunnel.source.address, likewise"},
    {"ipip.destination.address", string, "", "tunnel.destination.address, likewise"},
}};

std::string_view dscp_name(std::uint8_t dscp) { return find(kDscp, dscp); }

std::string_view ecn_name(std::uint8_t ecn) {
  constexpr std::array<std::string_view, 4> names = {"non-ect", "ect(1)", "ect(0)", "ce"};
  return names[ecn & 3U];
}

std::string_view icmp_type_name(bool icmp6, std::uint8_t type) {
  return icmp6 ? find(kIcmp6Types, type) : find(kIcmpTypes, type);
}

std::string_view icmp_code_name(bool icmp6, std::uint8_t type, std::uint8_t code) {
  return icmp6 ? find(kIcmp6Codes, type, code) : find(kIcmpCodes, type, code);
}

}  // namespace rheo
