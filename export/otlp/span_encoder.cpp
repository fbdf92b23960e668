// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/span_encoder.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "daemon/base/assert.h"
#include "daemon/model/byte_order.h"
#include "daemon/model/community_id.h"
#include "daemon/model/protocols.h"
#include "daemon/model/trace_id.h"
#include "export/flow_text.h"
#include "export/otlp/resource.h"
#include "export/otlp/span_attributes.h"
#include "export/otlp/wire.h"

namespace rheo {
namespace {

// More than any span has, and than two octets of a length can say is 16383.
constexpr std::size_t kMaxSpan = 8'192;
constexpr std::size_t kFirstBatch = 256;  // spans that fit before memory grows
constexpr std::size_t kMaxPreludeKeys = 64;

/// Numbers of trace.v1.Span.SpanKind.
enum class SpanKind : std::uint8_t { internal = 1, server = 2, client = 3 };

SpanKind kind_of(const FlowRecord& record, const Listeners& host) {
  const bool initiator_here = host.local_addresses.contains(record.source);
  const bool responder_here = host.local_addresses.contains(record.destination);
  if (initiator_here == responder_here) return SpanKind::internal;
  return initiator_here ? SpanKind::client : SpanKind::server;
}

char* put(char* at, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
  return at + bytes.size();
}

/// Writes the attributes of one record, group by group.
class AttributeWriter {
 public:
  AttributeWriter(char* at, const FlowRecord& record) : at_(at), record_(record) {}

  char* at() const { return at_; }
  void chunk(std::string_view bytes) { at_ = put(at_, bytes); }
  void identity(std::string_view community_id);
  void handshake();
  void tcp_events();
  void end_points();
  void places(const AddressClasses& classes);
  void observation();
  void forward();
  void reverse() { direction(record_.reverse, 1); }
  void tunnel();

 private:
  static constexpr unsigned kReverse =
      static_cast<unsigned>(Field::reverse_bytes_delta) - static_cast<unsigned>(Field::bytes_delta);
  static constexpr unsigned kSpanReverse =
      static_cast<unsigned>(SpanField::reverse_dscp_name) - static_cast<unsigned>(SpanField::dscp_name);

  const AttributeHead& head(Field field, unsigned offset = 0) const {
    return all_.heads[static_cast<unsigned>(field) + offset];
  }
  const AttributeHead& head(SpanField field, unsigned offset = 0) const {
    return all_.span_heads[static_cast<unsigned>(field) + offset];
  }
  void integer(Field field, std::uint64_t value, unsigned offset = 0) {
    at_ = head(field, offset).put_integer(at_, value);
  }
  void integer_unless_0(Field field, std::uint64_t value, unsigned offset = 0) {
    if (value != 0) integer(field, value, offset);
  }
  template <class AnyField>
  void address(AnyField field, const Address& address, bool ipv6) {
    at_ = head(field).put_text(at_, [&](char* at) { return put_address(at, address, ipv6); });
  }
  void mac(Field field, const MacAddress& mac) {
    if (mac == MacAddress{}) return;
    at_ = head(field).put_text(at_, [&](char* at) { return put_mac(at, mac); });
  }
  void place(Field first, const Address& address, const AddressClasses& classes);
  void direction(const FlowDirection& counted, unsigned which);
  void icmp(const FlowDirection& counted, unsigned which);
  void tcp(const TcpSample& sample, unsigned offset);
  void ipip();

  const SpanAttributes& all_ = SpanAttributes::get();
  char* at_;
  const FlowRecord& record_;
};

void AttributeWriter::identity(std::string_view community_id) {
  at_ = head(Field::flow_id).put_text(at_, [&](char* at) { return put_hex(at, record_.flow_id); });
  integer(Field::flow_sequence, record_.sequence);
  at_ = head(Field::flow_community_id).put_text(at_, [&](char* at) { return put(at, community_id); });
  at_ = head(Field::flow_start).put_text(at_, [&](char* at) { return put_time(at, record_.flow_start_ns); });
  chunk(all_.end_reason[static_cast<std::size_t>(record_.end_reason)]);
  chunk(all_.tcp_state[static_cast<std::size_t>(record_.tcp_state)]);
  chunk(all_.initiator_by[static_cast<std::size_t>(record_.initiator_by)]);
  handshake();
  tcp_events();
}

void AttributeWriter::handshake() {
  const TcpHandshake& took = record_.handshake;
  integer_unless_0(Field::tcp_handshake_latency, took.whole_ns());
  integer_unless_0(Field::tcp_handshake_syn_ack, took.syn_ack_ns);
  integer_unless_0(Field::tcp_handshake_ack, took.ack_ns);
}

void AttributeWriter::tcp_events() {
  for (unsigned event = 0; event < kTcpEventCount; ++event)
    integer_unless_0(Field::tcp_connects, record_.tcp_events >> event & 1U, event);
}

void AttributeWriter::end_points() {
  chunk(all_.network[record_.ipv6 ? 1 : 0][record_.protocol]);
  address(Field::source_address, record_.source, record_.ipv6);
  if (has_ports(record_.protocol)) integer(Field::source_port, host_order(record_.source_port_be));
  mac(Field::source_mac, record_.source_mac);
  address(Field::destination_address, record_.destination, record_.ipv6);
  if (has_ports(record_.protocol)) integer(Field::destination_port, host_order(record_.destination_port_be));
  mac(Field::destination_mac, record_.destination_mac);
}

void AttributeWriter::places(const AddressClasses& classes) {
  if (link_netns(record_.link) == 0) {
    const auto direction = host_direction_name(classes.direction(record_.source, record_.destination));
    at_ = head(Field::network_direction).put_text(at_, [&](char* at) { return put(at, direction); });
  }
  place(Field::source_class, record_.source, classes);
  place(Field::destination_class, record_.destination, classes);
}

/// `first` is the class's field; that of the list follows it in the table.
void AttributeWriter::place(Field first, const Address& address, const AddressClasses& classes) {
  const std::string_view name = classes.name_of(address).substr(0, kMaxAttributeText);
  at_ = head(first).put_text(at_, [&](char* at) { return put(at, name); });
  const Listed listed = classes.listed(address);
  if (listed == Listed::none) return;
  at_ = head(first, 1).put_text(at_, [&](char* at) { return put(at, listed_name(listed)); });
}

/// What of the observation point is not the interface's.
void AttributeWriter::observation() {
  integer_unless_0(Field::vlan_id, record_.vlan);
  integer_unless_0(Field::inner_vlan_id, record_.inner_vlan);
  if (record_.mpls_count == 0) return;
  integer(Field::mpls_label, record_.mpls_top_label);
  integer(Field::mpls_depth, record_.mpls_count);
}

void AttributeWriter::forward() {
  direction(record_.forward, 0);
  integer_unless_0(Field::flow_label, record_.flow_label);
  if (is_icmp(record_.protocol)) integer_unless_0(Field::icmp_id, host_order(record_.icmp_id_be));
}

void AttributeWriter::direction(const FlowDirection& counted, unsigned which) {
  const unsigned offset = which * kReverse;
  const DirectionAttributes& words = all_.directions[which];
  integer(Field::bytes_delta, counted.delta.l3_bytes, offset);
  integer(Field::bytes_total, counted.total.l3_bytes, offset);
  integer(Field::packets_delta, counted.delta.packets, offset);
  integer(Field::packets_total, counted.total.packets, offset);
  integer(Field::layer2_bytes_delta, counted.delta.l2_bytes, offset);
  integer(Field::layer2_bytes_total, counted.total.l2_bytes, offset);
  if (counted.total.packets == 0) return;  // nobody spoke: there was no header to tell of

  chunk(words.dscp[counted.tos >> 2U]);
  chunk(words.ecn[counted.tos & 3U]);
  integer(Field::ttl, counted.ttl, offset);
  if (record_.protocol == IPPROTO_TCP) chunk(words.tcp_flags[counted.tcp_flags & kWireTcpFlags]);
  if (counted.tcp.congestion_window != 0) tcp(counted.tcp, offset);
  if (is_icmp(record_.protocol)) icmp(counted, which);
  chunk(words.hooks[counted.hooks & 3U]);
  chunk(words.marks[counted.marks & 15U]);
}

void AttributeWriter::tcp(const TcpSample& sample, unsigned offset) {
  integer_unless_0(Field::tcp_rtt, sample.srtt_ns(), offset);
  integer_unless_0(Field::tcp_min_rtt, sample.min_rtt_ns(), offset);
  integer(Field::tcp_retransmits, sample.retransmits, offset);
  integer(Field::tcp_congestion_window, sample.congestion_window, offset);
}

void AttributeWriter::icmp(const FlowDirection& counted, unsigned which) {
  const bool icmp6 = record_.protocol == IPPROTO_ICMPV6;
  chunk(all_.directions[which].icmp_type[icmp6 ? 1 : 0][counted.icmp_type]);
  integer(Field::icmp_code, counted.icmp_code, which * kReverse);
  const std::string_view code = icmp_code_name(icmp6, counted.icmp_type, counted.icmp_code);
  if (code.empty()) return;
  at_ = head(SpanField::icmp_code_name, which * kSpanReverse).put_text(at_, [&](char* at) {
    return put(at, code);
  });
}

void AttributeWriter::tunnel() {
  if (record_.tunnel == TunnelType::none) return;
  const bool outer_ipv6 = holds_ipv6(record_.outer_source);
  chunk(all_.tunnel_type[static_cast<std::size_t>(record_.tunnel)]);
  if (record_.tunnel_id != 0 || always_has_id(record_.tunnel)) integer(Field::tunnel_id, record_.tunnel_id);
  chunk(all_.tunnel_network[outer_ipv6 ? 1 : 0][record_.outer_protocol]);
  address(Field::tunnel_source_address, record_.outer_source, outer_ipv6);
  integer_unless_0(Field::tunnel_source_port, host_order(record_.outer_source_port_be));
  address(Field::tunnel_destination_address, record_.outer_destination, outer_ipv6);
  integer_unless_0(Field::tunnel_destination_port, host_order(record_.outer_destination_port_be));
  if (record_.tunnel < TunnelType::ipip) return;
  chunk(all_.ipip_network[outer_ipv6 ? 1 : 0][record_.outer_protocol]);
  address(SpanField::ipip_source_address, record_.outer_source, outer_ipv6);
  address(SpanField::ipip_destination_address, record_.outer_destination, outer_ipv6);
}

std::string_view name_of(Field field) { return kFlowFields[static_cast<std::size_t>(field)].name; }

void append_integer(std::string& out, Field field, std::uint64_t value) {
  out += integer_attribute(name_of(field), value);
}

void append_text(std::string& out, Field field, std::string_view value) {
  out += text_attribute(name_of(field), wire::utf8(value, kMaxOwnerText));
}

}  // namespace

/// The attributes of one interface; of a busy one they are the same for many records in a row.
class SpanEncoder::Interface {
 public:
  void forget() { known_ = false; }

  std::string_view attributes(const FlowRecord& record, const LinkTable& links) {
    if (!known_ || record.link != link_ || record.other_links != others_) {
      render(record.link, links);
      render_others(record.other_links, links);
    }
    return text_;
  }

 private:
  void render(std::uint32_t link, const LinkTable& links) {
    const auto name = [](Field field) { return kFlowFields[static_cast<std::size_t>(field)].name; };
    known_ = true;
    link_ = link;
    text_ = integer_attribute(name(Field::interface_index), link_ifindex(link));
    const std::uint8_t netns = link_netns(link);
    if (netns != 0) text_ += integer_attribute(name(Field::interface_netns), netns);
    const auto found = links.find(link);
    if (found == links.end()) return;
    const std::string space = wire::utf8(found->second.netns_name, kMaxAttributeText);
    if (!space.empty()) text_ += text_attribute(name(Field::interface_netns_name), space);
    const std::string shown = wire::utf8(found->second.name, kMaxAttributeText);
    if (!shown.empty()) text_ += text_attribute(name(Field::interface_name), shown);
    if (found->second.mac != MacAddress{})
      text_ += text_attribute(kSpanFields[static_cast<std::size_t>(SpanField::interface_mac)].name,
                              mac_of(found->second.mac));
  }
  void render_others(const OtherLinks& others, const LinkTable& links) {
    constexpr std::size_t kLongestName = 15;  // so that three fit into an attribute
    others_ = others;
    std::vector<std::string> names;
    for (const std::uint32_t link : others) {
      std::string shown = wire::utf8(link_name(links, link), kLongestName);
      if (!shown.empty()) names.push_back(std::move(shown));
    }
    if (names.empty()) return;
    const FlowField& field = kFlowFields[static_cast<std::size_t>(Field::interface_others)];
    text_ += texts_attribute(field.name, names);
  }
  static std::string mac_of(const MacAddress& mac) {
    char text[17];
    return {text, put_mac(text, mac)};
  }

  bool known_ = false;
  std::uint32_t link_ = 0;
  OtherLinks others_{};
  std::string text_;
};

SpanEncoder::SpanEncoder(const SpanEncoderOptions& options)
    : options_(options),
      scope_(encode_scope(options.version)),
      interface_(std::make_unique<Interface>()),
      owners_(options.owners, {.integer = &append_integer, .text = &append_text}) {
  RHEO_ASSERT(options_.bucket_ns != 0);
}

SpanEncoder::~SpanEncoder() = default;

/// For one more span behind `used` octets.
void SpanEncoder::make_room(std::size_t used) {
  if (size_ >= used + kMaxSpan) return;
  const std::size_t larger = std::max(size_ * 2, used + kMaxSpan * kFirstBatch);
  auto memory = std::make_unique_for_overwrite<char[]>(larger);
  if (size_ > 0) std::memcpy(memory.get(), memory_.get(), std::min(used, size_));
  memory_ = std::move(memory);
  size_ = larger;
}

std::span<const std::byte> SpanEncoder::encode(std::span<const FlowRecord> records,
                                               const SpanContext& context) {
  interface_->forget();  // its name may have changed
  const std::size_t begin = kMaxPreludeKeys + context.resource.size() + scope_.size();
  std::size_t end = begin;
  make_room(end);
  for (encoded_ = 0; encoded_ < records.size(); ++encoded_) {
    char* const at = put_span(memory_.get() + end, records[encoded_], context);
    const auto longer = static_cast<std::size_t>(at - memory_.get());
    if (longer > context.limit && encoded_ > 0) break;
    end = longer;
    make_room(end);
  }
  return put_prelude(begin, end, context.resource);
}

char* SpanEncoder::put_span(char* at, const FlowRecord& record, const SpanContext& context) {
  std::array<char, kCommunityIdSize> community;
  write_community_id(record, options_.community_id_seed, community);
  const TraceId trace = trace_id(community, record.flow_start_ns, options_.bucket_ns);
  const SpanAttributes& all = SpanAttributes::get();

  char* const begin = at;
  *at = wire::key(2, wire::Type::length);  // ScopeSpans.spans; its length takes two octets
  at += 3;
  *at++ = wire::key(1, wire::Type::length);
  *at++ = static_cast<char>(trace.size());
  at = put(at, {reinterpret_cast<const char*>(trace.data()), trace.size()});
  *at++ = wire::key(2, wire::Type::length);
  *at++ = 8;
  at = wire::put_fixed64(at, span_id(trace, options_.host_key, record));
  at = put(at, all.span_name[record.ipv6 ? 1 : 0][record.protocol]);
  *at++ = wire::key(6, wire::Type::varint);
  *at++ = static_cast<char>(kind_of(record, context.host));
  *at++ = wire::key(7, wire::Type::fixed64);
  at = wire::put_fixed64(at, record.start_ns);
  *at++ = wire::key(8, wire::Type::fixed64);
  at = wire::put_fixed64(at, record.end_ns);

  AttributeWriter attributes(at, record);
  attributes.identity({community.data(), community.size()});
  attributes.end_points();
  if (context.classes != nullptr) attributes.places(*context.classes);
  attributes.chunk(interface_->attributes(record, context.links));
  attributes.observation();
  attributes.forward();
  attributes.reverse();
  attributes.tunnel();
  attributes.chunk(owners_.of(record));

  const auto size = static_cast<std::size_t>(attributes.at() - begin) - 3;
  RHEO_ASSERT(size >= 128 && size < kMaxSpan);
  begin[1] = static_cast<char>(size | 0x80U);
  begin[2] = static_cast<char>(size >> 7U);
  return attributes.at();
}

/// What stands before the spans, so that it ends where they begin.
std::span<const std::byte> SpanEncoder::put_prelude(std::size_t begin, std::size_t end,
                                                    std::string_view resource) {
  const auto field_size = [](std::size_t size) { return 1 + wire::varint_size(size) + size; };
  const auto put_head = [](char* at, unsigned field, std::size_t size) {
    *at++ = wire::key(field, wire::Type::length);
    return wire::put_varint(at, size);
  };
  const std::size_t scope_spans = field_size(scope_.size()) + (end - begin);
  const std::size_t resource_spans = field_size(resource.size()) + field_size(scope_spans);
  const std::size_t prelude = field_size(resource_spans) - (end - begin);
  RHEO_ASSERT(prelude <= begin);

  char* const start = memory_.get() + begin - prelude;
  char* at = put_head(start, 1, resource_spans);  // ExportTraceServiceRequest.resource_spans
  at = put(put_head(at, 1, resource.size()), resource);
  at = put_head(at, 2, scope_spans);
  at = put(put_head(at, 1, scope_.size()), scope_);
  RHEO_ASSERT(at == memory_.get() + begin);
  return std::as_bytes(std::span<const char>(start, memory_.get() + end));
}

}  // namespace rheo
