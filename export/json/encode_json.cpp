// SPDX-License-Identifier: Apache-2.0
#include "export/json/encode_json.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/base/assert.h"
#include "daemon/model/byte_order.h"
#include "daemon/model/community_id.h"
#include "daemon/model/names.h"
#include "daemon/model/protocols.h"
#include "export/flow_fields.h"
#include "export/flow_text.h"
#include "export/json/json_text.h"

namespace rheo {
namespace {

/// `,"name":` of every field, rendered once.
struct Key {
  char text[40] = {};
  std::size_t size = 0;
};

std::array<Key, kFieldCount> render_keys() {
  std::array<Key, kFieldCount> keys;
  for (std::size_t i = 0; i < kFieldCount; ++i) {
    const std::string text = ",\"" + std::string(kFlowFields[i].name) + "\":";
    RHEO_ASSERT(text.size() <= sizeof keys[i].text);
    std::ranges::copy(text, keys[i].text);
    keys[i].size = text.size();
  }
  return keys;
}

std::array<std::string, 9> tcp_flag_names() {
  std::array<std::string, 9> names;
  for (unsigned bit = 0; bit < names.size(); ++bit)
    names[bit] = tcp_flags_text(static_cast<std::uint16_t>(1U << bit));
  return names;
}

constexpr std::size_t kMaxNameBytes = 191;  // of an interface; the kernel's own limit is 15
constexpr std::size_t kMaxOtherNameBytes = 63;
constexpr std::size_t kMaxNetnsNameBytes = 63;

/// Writes one record, group by group, in the order of the table.
class RecordWriter {
 public:
  RecordWriter(char* at, const FlowRecord& record) : begin_(at), text_(at), record_(record) {}

  void identity(std::uint16_t community_id_seed);
  void handshake();
  void tcp_events();
  void end_points();
  void places(const AddressClasses& classes);
  void observation(const LinkTable& links);
  void forward();
  void other_links(const LinkTable& links);
  void reverse() { direction(record_.reverse, kReverse); }
  void tunnel();
  void owners(std::string_view text) { text_.raw(text); }

  /// Closes the object; where the line ends.
  char* finish() {
    *begin_ = '{';  // in the place of the first key's comma
    text_.raw("}\n");
    return text_.at();
  }

 private:
  static constexpr unsigned kForward = 0;
  static constexpr unsigned kReverse =
      static_cast<unsigned>(Field::reverse_bytes_delta) - static_cast<unsigned>(Field::bytes_delta);

  void direction(const FlowDirection& counted, unsigned offset);
  void tcp(const TcpSample& sample, unsigned offset);
  void place(Field first, const Address& address, const AddressClasses& classes);
  void end_point(Field first, const Address& address, std::uint16_t port_be, const MacAddress& mac);

  void key(Field field, unsigned offset = 0) {
    static const std::array<Key, kFieldCount> keys = render_keys();
    const Key& key = keys[static_cast<unsigned>(field) + offset];
    text_.raw({key.text, key.size});
  }
  void integer(Field field, std::uint64_t value, unsigned offset = 0) {
    key(field, offset);
    text_.integer(value);
  }
  void integer_unless_0(Field field, std::uint64_t value, unsigned offset = 0) {
    if (value != 0) integer(field, value, offset);
  }
  void word(Field field, std::string_view value) {
    key(field);
    text_.word(value);
  }
  void time(Field field, std::uint64_t ns) {
    key(field);
    text_.time(ns);
  }
  template <class Names>
  void words(Field field, unsigned bits, const Names& names, unsigned offset);

  char* const begin_;
  JsonText text_;
  const FlowRecord& record_;
};

template <class Names>
void RecordWriter::words(Field field, unsigned bits, const Names& names, unsigned offset) {
  key(field, offset);
  text_.raw('[');
  bool first = true;
  for (std::size_t bit = 0; bit < names.size(); ++bit) {
    if ((bits >> bit & 1U) == 0) continue;
    if (!std::exchange(first, false)) text_.raw(',');
    text_.word(names[bit]);
  }
  text_.raw(']');
}

void RecordWriter::identity(std::uint16_t community_id_seed) {
  key(Field::flow_id);
  text_.hex(record_.flow_id);
  integer(Field::flow_sequence, record_.sequence);
  std::array<char, kCommunityIdSize> id;
  write_community_id(record_, community_id_seed, id);
  word(Field::flow_community_id, {id.data(), id.size()});
  time(Field::flow_start, record_.flow_start_ns);
  time(Field::start, record_.start_ns);
  time(Field::end, record_.end_ns);
  word(Field::flow_end_reason, end_reason_name(record_.end_reason));
  if (record_.end_reason == EndReason::fin) word(Field::flow_end_by, "fin");
  if (record_.end_reason == EndReason::rst) word(Field::flow_end_by, "rst");
  if (record_.tcp_state != TcpState::none)
    word(Field::flow_connection_state, tcp_state_name(record_.tcp_state));
  word(Field::flow_initiator_by, initiator_by_name(record_.initiator_by));
  handshake();
  tcp_events();
}

void RecordWriter::handshake() {
  const TcpHandshake& took = record_.handshake;
  integer_unless_0(Field::tcp_handshake_latency, took.whole_ns());
  integer_unless_0(Field::tcp_handshake_syn_ack, took.syn_ack_ns);
  integer_unless_0(Field::tcp_handshake_ack, took.ack_ns);
}

void RecordWriter::tcp_events() {
  for (unsigned event = 0; event < kTcpEventCount; ++event)
    integer_unless_0(Field::tcp_connects, record_.tcp_events >> event & 1U, event);
}

void RecordWriter::end_points() {
  word(Field::network_type, family_name(record_.ipv6));
  word(Field::network_transport, protocol_name(record_.protocol));
  end_point(Field::source_address, record_.source, record_.source_port_be, record_.source_mac);
  end_point(Field::destination_address, record_.destination, record_.destination_port_be,
            record_.destination_mac);
}

/// `first` is the address's field; port and MAC follow it in the table.
void RecordWriter::end_point(Field first, const Address& address, std::uint16_t port_be,
                             const MacAddress& mac) {
  key(first);
  text_.address(address, record_.ipv6);
  if (has_ports(record_.protocol)) {
    key(first, 1);
    text_.integer(host_order(port_be));
  }
  if (mac != MacAddress{}) {
    key(first, 2);
    text_.mac(mac);
  }
}

void RecordWriter::places(const AddressClasses& classes) {
  if (link_netns(record_.link) == 0)
    word(Field::network_direction,
         host_direction_name(classes.direction(record_.source, record_.destination)));
  place(Field::source_class, record_.source, classes);
  place(Field::destination_class, record_.destination, classes);
}

/// `first` is the class's field; that of the list follows it in the table.
void RecordWriter::place(Field first, const Address& address, const AddressClasses& classes) {
  word(first, classes.name_of(address));
  const Listed listed = classes.listed(address);
  if (listed == Listed::none) return;
  key(first, 1);
  text_.word(listed_name(listed));
}

void RecordWriter::observation(const LinkTable& links) {
  integer(Field::interface_index, link_ifindex(record_.link));
  const std::string_view name = link_name(links, record_.link);
  if (!name.empty()) {
    key(Field::interface_name);
    text_.text(name.substr(0, kMaxNameBytes));
  }
  if (const std::uint8_t netns = link_netns(record_.link); netns != 0) {
    integer(Field::interface_netns, netns);
    if (const std::string_view space = link_netns_name(links, record_.link); !space.empty()) {
      key(Field::interface_netns_name);
      text_.text(space.substr(0, kMaxNetnsNameBytes));
    }
  }
  if (record_.other_links[0] != 0) other_links(links);
  integer_unless_0(Field::vlan_id, record_.vlan);
  integer_unless_0(Field::inner_vlan_id, record_.inner_vlan);
  if (record_.mpls_count == 0) return;
  integer(Field::mpls_label, record_.mpls_top_label);
  integer(Field::mpls_depth, record_.mpls_count);
}

void RecordWriter::other_links(const LinkTable& links) {
  key(Field::interface_others);
  text_.raw('[');
  bool first = true;
  for (const std::uint32_t link : record_.other_links) {
    const std::string_view name = link_name(links, link);
    if (name.empty()) continue;
    if (!std::exchange(first, false)) text_.raw(',');
    text_.text(name.substr(0, kMaxOtherNameBytes));
  }
  text_.raw(']');
}

void RecordWriter::forward() {
  direction(record_.forward, kForward);
  integer_unless_0(Field::flow_label, record_.flow_label);
  if (is_icmp(record_.protocol)) integer_unless_0(Field::icmp_id, host_order(record_.icmp_id_be));
}

void RecordWriter::direction(const FlowDirection& counted, unsigned offset) {
  static const std::array<std::string, 9> tcp_flags = tcp_flag_names();

  integer(Field::bytes_delta, counted.delta.l3_bytes, offset);
  integer(Field::bytes_total, counted.total.l3_bytes, offset);
  integer(Field::packets_delta, counted.delta.packets, offset);
  integer(Field::packets_total, counted.total.packets, offset);
  integer(Field::layer2_bytes_delta, counted.delta.l2_bytes, offset);
  integer(Field::layer2_bytes_total, counted.total.l2_bytes, offset);
  if (counted.total.packets == 0) return;  // nobody spoke: there was no header to tell of

  integer(Field::dscp, counted.tos >> 2U, offset);
  integer(Field::ecn, counted.tos & 3U, offset);
  integer(Field::ttl, counted.ttl, offset);
  if (record_.protocol == IPPROTO_TCP) {
    const unsigned flags = counted.tcp_flags & kWireTcpFlags;
    integer(Field::tcp_flags_bits, flags, offset);
    words(Field::tcp_flags_tags, flags, tcp_flags, offset);
    if (counted.tcp.congestion_window != 0) tcp(counted.tcp, offset);
  }
  if (is_icmp(record_.protocol)) {
    integer(Field::icmp_type, counted.icmp_type, offset);
    integer(Field::icmp_code, counted.icmp_code, offset);
  }
  if (counted.hooks != 0) words(Field::observed, counted.hooks, kHookNames, offset);
  if (counted.marks != 0) words(Field::marks, counted.marks, kMarkNames, offset);
}

/// Times are in nanoseconds, like all others of a record.
void RecordWriter::tcp(const TcpSample& sample, unsigned offset) {
  integer_unless_0(Field::tcp_rtt, sample.srtt_ns(), offset);
  integer_unless_0(Field::tcp_min_rtt, sample.min_rtt_ns(), offset);
  integer(Field::tcp_retransmits, sample.retransmits, offset);
  integer(Field::tcp_congestion_window, sample.congestion_window, offset);
}

void RecordWriter::tunnel() {
  if (record_.tunnel == TunnelType::none) return;
  const bool outer_ipv6 = holds_ipv6(record_.outer_source);
  word(Field::tunnel_type, tunnel_type_name(record_.tunnel));
  if (record_.tunnel_id != 0 || always_has_id(record_.tunnel)) integer(Field::tunnel_id, record_.tunnel_id);
  word(Field::tunnel_network_type, family_name(outer_ipv6));
  word(Field::tunnel_network_transport, protocol_name(record_.outer_protocol));
  key(Field::tunnel_source_address);
  text_.address(record_.outer_source, outer_ipv6);
  integer_unless_0(Field::tunnel_source_port, host_order(record_.outer_source_port_be));
  key(Field::tunnel_destination_address);
  text_.address(record_.outer_destination, outer_ipv6);
  integer_unless_0(Field::tunnel_destination_port, host_order(record_.outer_destination_port_be));
}

void append_key(std::string& out, Field field) {
  out.append(",\"").append(kFlowFields[static_cast<std::size_t>(field)].name).append("\":");
}

void append_integer(std::string& out, Field field, std::uint64_t value) {
  append_key(out, field);
  out += std::to_string(value);
}

void append_text(std::string& out, Field field, std::string_view value) {
  append_key(out, field);
  char text[6 * kMaxOwnerText + 2];
  JsonText writer(text);
  writer.text(value);
  out.append(text, writer.at());
}

}  // namespace

OwnerFormat json_owner_format() { return {.integer = &append_integer, .text = &append_text}; }

void append_json(std::string& out, const FlowRecord& record, const EncodeContext& context) {
  const std::size_t before = out.size();
  const std::string_view owners = context.owners == nullptr ? std::string_view() : context.owners->of(record);
  out.resize_and_overwrite(before + kMaxJsonLine + owners.size(), [&](char* data, std::size_t) {
    RecordWriter writer(data + before, record);
    writer.identity(context.community_id_seed);
    writer.end_points();
    if (context.classes != nullptr) writer.places(*context.classes);
    writer.observation(context.links);
    writer.forward();
    writer.reverse();
    writer.tunnel();
    writer.owners(owners);
    return static_cast<std::size_t>(writer.finish() - data);
  });
  RHEO_ASSERT(out.size() - before <= kMaxJsonLine + owners.size());
}

}  // namespace rheo
