// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/flow_text.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>
#include <vector>

#include "daemon/model/byte_order.h"
#include "daemon/model/names.h"
#include "daemon/model/protocols.h"

namespace rheo::ctl {
namespace {

/// Grows a table of one row.
class OneRow {
 public:
  OneRow() { table_.rows.emplace_back(); }

  void add(std::string title, std::string key, Cell cell) {
    table_.columns.push_back({.title = std::move(title), .key = std::move(key)});
    table_.rows[0].push_back(std::move(cell));
  }
  Table take() && { return std::move(table_); }

 private:
  Table table_;
};

std::string hooks_text(std::uint8_t hooks) {
  const bool in = (hooks & kHookIngress) != 0;
  const bool out = (hooks & kHookEgress) != 0;
  if (in && out) return "ingress and egress";
  return in ? "ingress" : out ? "egress" : "";
}

std::string marks_text(std::uint8_t marks) {
  std::string text;
  constexpr std::pair<std::uint8_t, const char*> kMarks[] = {{kMarkFragment, "fragments"},
                                                             {kMarkTruncated, "truncated"},
                                                             {kMarkWireGuard, "WireGuard"},
                                                             {kMarkUndecoded, "undecoded"}};
  for (const auto& [mark, name] : kMarks) {
    if ((marks & mark) != 0) text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text;
}

bool is_tcp(const FlowRecord& record) { return record.protocol == 6; }

/// What the TCP socket that sends says, if it is one of this host.
template <class Add>
void add_tcp(const TcpSample& sample, const Add& add) {
  if (sample.congestion_window == 0) return;
  if (sample.srtt_us != 0) add("Round-trip time in microseconds", "tcp_rtt_us", number_cell(sample.srtt_us));
  if (sample.min_rtt_us != 0)
    add("Least round-trip time in microseconds", "tcp_min_rtt_us", number_cell(sample.min_rtt_us));
  add("Segments sent again", "tcp_retransmits", number_cell(sample.retransmits));
  add("Congestion window in segments", "tcp_congestion_window", number_cell(sample.congestion_window));
}

void add_direction(OneRow& row, const FlowRecord& record, bool forward) {
  const FlowDirection& direction = forward ? record.forward : record.reverse;
  const std::string title = forward ? "" : "Reply ";
  const std::string key = forward ? "" : "reverse_";
  const auto add = [&](const char* what, const char* name, Cell cell) {
    std::string text = title + what;
    if (!forward) text[title.size()] = static_cast<char>(std::tolower(text[title.size()]));
    row.add(std::move(text), key + name, std::move(cell));
  };
  add("Packets", "packets", number_cell(direction.total.packets));
  add("Octets", "bytes", bytes_cell(direction.total.l3_bytes));
  add("Octets of layer 2", "l2_bytes", bytes_cell(direction.total.l2_bytes));
  add("Packets not in a record yet", "packets_since_record", number_cell(direction.delta.packets));
  add("Octets not in a record yet", "bytes_since_record", bytes_cell(direction.delta.l3_bytes));
  if (is_tcp(record))
    add("Flags since the last record", "tcp_flags", text_cell(tcp_flags_text(direction.tcp_flags)));
  add_tcp(direction.tcp, add);
  if (is_icmp(record.protocol)) {
    add("Type", "icmp_type", number_cell(direction.icmp_type));
    add("Code", "icmp_code", number_cell(direction.icmp_code));
  }
  add("Time to live", "ttl", number_cell(direction.ttl));
  add("Traffic class", "tos", number_cell(direction.tos));
  add("Hook", "hooks", text_cell(hooks_text(direction.hooks)));
  add("Marks", "marks", text_cell(marks_text(direction.marks)));
}

void add_tunnel(OneRow& row, const FlowRecord& record) {
  if (record.tunnel == TunnelType::none) return;
  bool ipv6 = false;  // of the outer addresses
  for (std::size_t i = 0; i < 10; ++i) ipv6 = ipv6 || record.outer_source[i] != 0;
  const auto outer = [&](const Address& address, std::uint16_t port_be) {
    return text_cell(end_point_text(address_text(address, ipv6), host_order(port_be)));
  };
  row.add("Tunnel", "tunnel", text_cell(tunnel_type_name(record.tunnel)));
  row.add("Tunnel's number", "tunnel_id", number_cell(record.tunnel_id));
  row.add("Tunnel's source", "outer_source", outer(record.outer_source, record.outer_source_port_be));
  row.add("Tunnel's destination", "outer_destination",
          outer(record.outer_destination, record.outer_destination_port_be));
  row.add("Tunnel's protocol", "outer_protocol", text_cell(protocol_name(record.outer_protocol)));
}

void add_link(OneRow& row, const FlowRecord& record, const LinkTable& links) {
  row.add("Interface", "interface", text_cell(link_name(links, record.link)));
  row.add("Index", "interface_index", number_cell(link_ifindex(record.link)));
  row.add("VLAN", "vlan", number_cell(record.vlan));
  row.add("Inner VLAN", "inner_vlan", number_cell(record.inner_vlan));
  row.add("MAC", "source_mac", text_cell(mac_text(record.source_mac)));
  row.add("Responder's MAC", "destination_mac", text_cell(mac_text(record.destination_mac)));
  row.add("Flow label", "flow_label", number_cell(record.flow_label));
  row.add("MPLS labels", "mpls_count", number_cell(record.mpls_count));
  if (record.mpls_count > 0) row.add("Top label", "mpls_top_label", number_cell(record.mpls_top_label));
}

}  // namespace

std::string end_point_text(const std::string& address, std::uint16_t port) {
  if (port == 0) return address;
  const bool ipv6 = address.find(':') != std::string::npos;
  return (ipv6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

std::string end_point_text(const FlowRecord& record, bool initiator) {
  return end_point_text(address_text(initiator ? record.source : record.destination, record.ipv6),
                        host_order(initiator ? record.source_port_be : record.destination_port_be));
}

std::string flow_id_text(std::uint64_t flow_id) { return fmt::format("{:016x}", flow_id); }

std::optional<std::uint64_t> flow_id(std::string_view text) {
  std::uint64_t id = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (fault != std::errc() || end != text.data() + text.size() || text.size() > 16) return std::nullopt;
  return id;
}

Table flow_details(const FlowRecord& record, const LinkTable& links) {
  OneRow row;
  row.add("Flow", "flow_id", text_cell(flow_id_text(record.flow_id)));
  row.add("Protocol", "protocol", text_cell(protocol_name(record.protocol)));
  row.add("Initiator", "source", text_cell(end_point_text(record, true)));
  row.add("Responder", "destination", text_cell(end_point_text(record, false)));
  row.add("Initiator known by", "initiator_by", text_cell(initiator_by_name(record.initiator_by)));
  if (is_tcp(record)) row.add("State", "tcp_state", text_cell(tcp_state_name(record.tcp_state)));
  if (is_icmp(record.protocol)) row.add("Identifier", "icmp_id", number_cell(host_order(record.icmp_id_be)));
  row.add("Started", "started_at", time_cell(record.flow_start_ns));
  row.add("Last packet", "last_packet_at", time_cell(record.end_ns));
  row.add("Records so far", "records", number_cell(record.sequence));
  add_direction(row, record, true);
  add_direction(row, record, false);
  add_link(row, record, links);
  add_tunnel(row, record);
  return std::move(row).take();
}

}  // namespace rheo::ctl
