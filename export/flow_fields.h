// SPDX-License-Identifier: Apache-2.0
// The one table of what a flow record says: the name of every field in JSON lines and OTLP, its type, its
// unit and its meaning. Names are those of OpenTelemetry where it has one, else in its style; a rename is
// one line here and one in rheo-flow(5). Constants, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rheo {

enum class FieldType : std::uint8_t {
  string,
  integer,
  strings,  // an array
  time,     // RFC 3339, UTC, nanoseconds
};

struct FlowField {
  std::string_view name;
  FieldType type;
  std::string_view unit;     // UCUM, as OpenTelemetry writes it; "" for what has none
  std::string_view meaning;  // rheo-flow(5) has the same words
};

/// In the order in which they are written. From bytes_delta to marks and from reverse_bytes_delta to
/// reverse_marks the same fields follow each other, for the two directions; and from process_pid,
/// source_process_pid and destination_process_pid on, for owners.
enum class Field : std::uint8_t {
  // Identity
  flow_id,
  flow_sequence,
  flow_community_id,
  flow_start,
  start,
  end,
  flow_end_reason,
  flow_end_by,
  flow_connection_state,
  flow_initiator_by,
  tcp_handshake_latency,
  tcp_handshake_syn_ack,
  tcp_handshake_ack,
  tcp_connects,
  tcp_accepts,
  tcp_closes,
  tcp_failed_connects,
  // End points
  network_type,
  network_transport,
  source_address,
  source_port,
  source_mac,
  destination_address,
  destination_port,
  destination_mac,
  // What kind of places these are
  network_direction,
  source_class,
  source_abnormal,
  destination_class,
  destination_abnormal,
  // Where it was seen
  interface_index,
  interface_name,
  interface_netns,
  interface_netns_name,
  interface_others,
  vlan_id,
  inner_vlan_id,
  mpls_label,
  mpls_depth,
  // Initiator to responder
  bytes_delta,
  bytes_total,
  packets_delta,
  packets_total,
  layer2_bytes_delta,
  layer2_bytes_total,
  dscp,
  ecn,
  ttl,
  tcp_flags_bits,
  tcp_flags_tags,
  tcp_rtt,
  tcp_min_rtt,
  tcp_retransmits,
  tcp_congestion_window,
  icmp_type,
  icmp_code,
  observed,
  marks,
  flow_label,
  icmp_id,
  // Responder to initiator
  reverse_bytes_delta,
  reverse_bytes_total,
  reverse_packets_delta,
  reverse_packets_total,
  reverse_layer2_bytes_delta,
  reverse_layer2_bytes_total,
  reverse_dscp,
  reverse_ecn,
  reverse_ttl,
  reverse_tcp_flags_bits,
  reverse_tcp_flags_tags,
  reverse_tcp_rtt,
  reverse_tcp_min_rtt,
  reverse_tcp_retransmits,
  reverse_tcp_congestion_window,
  reverse_icmp_type,
  reverse_icmp_code,
  reverse_observed,
  reverse_marks,
  // What carried it
  tunnel_type,
  tunnel_id,
  tunnel_network_type,
  tunnel_network_transport,
  tunnel_source_address,
  tunnel_source_port,
  tunnel_destination_address,
  tunnel_destination_port,
  // Whose the socket is, where one end's owner is known
  process_pid,
  process_executable_name,
  process_executable_path,
  process_command_line,
  process_owner,
  systemd_unit,
  systemd_user_unit,
  systemd_slice,
  systemd_session,
  container_id,
  container_name,
  container_image_name,
  container_runtime,
  // Where both are: the initiator's
  source_process_pid,
  source_process_executable_name,
  source_process_executable_path,
  source_process_command_line,
  source_process_owner,
  source_systemd_unit,
  source_systemd_user_unit,
  source_systemd_slice,
  source_systemd_session,
  source_container_id,
  source_container_name,
  source_container_image_name,
  source_container_runtime,
  // and the responder's
  destination_process_pid,
  destination_process_executable_name,
  destination_process_executable_path,
  destination_process_command_line,
  destination_process_owner,
  destination_systemd_unit,
  destination_systemd_user_unit,
  destination_systemd_slice,
  destination_systemd_session,
  destination_container_id,
  destination_container_name,
  destination_container_image_name,
  destination_container_runtime,
};
inline constexpr std::size_t kFieldCount = static_cast<std::size_t>(Field::destination_container_runtime) + 1;

/// By Field.
extern const std::array<FlowField, kFieldCount> kFlowFields;

/// "string", "integer", "strings", "time".
std::string_view field_type_name(FieldType type);

}  // namespace rheo
