// SPDX-License-Identifier: Apache-2.0
#include "export/otlp/span_attributes.h"

#include <memory>
#include <vector>

#include "daemon/base/assert.h"
#include "daemon/model/names.h"
#include "export/flow_text.h"
#include "export/otlp/resource.h"

namespace rheo {
namespace {

constexpr unsigned kAttributesOfSpan = 9;
constexpr unsigned kNameOfSpan = 5;
constexpr unsigned kReverse =
    static_cast<unsigned>(Field::reverse_bytes_delta) - static_cast<unsigned>(Field::bytes_delta);
constexpr unsigned kSpanReverse =
    static_cast<unsigned>(SpanField::reverse_dscp_name) - static_cast<unsigned>(SpanField::dscp_name);

std::string attribute(const OtlpAttribute& one) {
  std::string out;
  wire::append_field(out, kAttributesOfSpan, encode_attribute(one));
  return out;
}

std::string_view name(Field field, unsigned offset = 0) {
  return kFlowFields[static_cast<unsigned>(field) + offset].name;
}
std::string_view name(SpanField field, unsigned offset = 0) {
  return kSpanFields[static_cast<unsigned>(field) + offset].name;
}

/// Nothing for a value without words.
std::string word(std::string_view key, std::string_view text) {
  return text.empty() ? std::string() : text_attribute(key, text);
}

template <class Words>
std::string words(std::string_view key, unsigned bits, const Words& known) {
  std::vector<std::string> found;
  for (std::size_t bit = 0; bit < known.size(); ++bit)
    if ((bits >> bit & 1U) != 0) found.emplace_back(known[bit]);
  return found.empty() ? std::string() : texts_attribute(key, found);
}

/// As JSON has it: an array also where no flag was seen.
std::string flags(unsigned offset, unsigned bits) {
  std::vector<std::string> tags;
  for (unsigned bit = 0; bit < 9; ++bit)
    if ((bits >> bit & 1U) != 0) tags.push_back(tcp_flags_text(static_cast<std::uint16_t>(1U << bit)));
  return integer_attribute(name(Field::tcp_flags_bits, offset), bits) +
         texts_attribute(name(Field::tcp_flags_tags, offset), tags);
}

template <std::size_t size, class Render>
void fill(std::array<std::string, size>& table, Render render) {
  for (unsigned value = 0; value < size; ++value) table[value] = render(value);
}

void fill_direction(DirectionAttributes& d, unsigned offset, unsigned span_offset) {
  fill(d.dscp, [&](unsigned value) {
    return integer_attribute(name(Field::dscp, offset), value) +
           word(name(SpanField::dscp_name, span_offset), dscp_name(static_cast<std::uint8_t>(value)));
  });
  fill(d.ecn, [&](unsigned value) {
    return integer_attribute(name(Field::ecn, offset), value) +
           word(name(SpanField::ecn_name, span_offset), ecn_name(static_cast<std::uint8_t>(value)));
  });
  fill(d.tcp_flags, [&](unsigned bits) { return flags(offset, bits); });
  fill(d.hooks, [&](unsigned bits) { return words(name(Field::observed, offset), bits, kHookNames); });
  fill(d.marks, [&](unsigned bits) { return words(name(Field::marks, offset), bits, kMarkNames); });
  for (const bool icmp6 : {false, true}) {
    fill(d.icmp_type[icmp6 ? 1 : 0], [&](unsigned value) {
      const auto type = static_cast<std::uint8_t>(value);
      return integer_attribute(name(Field::icmp_type, offset), type) +
             word(name(SpanField::icmp_type_name, span_offset), icmp_type_name(icmp6, type));
    });
  }
}

/// Of both families and every protocol: network.type and network.transport, of the flow or of what carried
/// it.
void fill_networks(std::array<std::array<std::string, 256>, 2>& networks, std::string_view type,
                   std::string_view transport) {
  for (const bool ipv6 : {false, true}) {
    fill(networks[ipv6 ? 1 : 0], [&](unsigned protocol) {
      return text_attribute(type, family_name(ipv6)) +
             text_attribute(transport, protocol_name(static_cast<std::uint8_t>(protocol)));
    });
  }
}

void fill_span_names(std::array<std::array<std::string, 256>, 2>& names) {
  for (const bool ipv6 : {false, true}) {
    fill(names[ipv6 ? 1 : 0], [&](unsigned protocol) {
      std::string out;
      wire::append_field(out, kNameOfSpan,
                         "flow_" + std::string(family_name(ipv6)) + "_" +
                             protocol_name(static_cast<std::uint8_t>(protocol)));
      return out;
    });
  }
}

std::string end_of(EndReason reason) {
  std::string out = text_attribute(name(Field::flow_end_reason), end_reason_name(reason));
  if (reason == EndReason::fin) out += text_attribute(name(Field::flow_end_by), "fin");
  if (reason == EndReason::rst) out += text_attribute(name(Field::flow_end_by), "rst");
  return out;
}

std::string initiator(InitiatorBy by) {
  return text_attribute(name(SpanField::flow_direction),
                        by == InitiatorBy::first_packet ? "unknown" : "forward") +
         text_attribute(name(Field::flow_initiator_by), initiator_by_name(by));
}

std::unique_ptr<const SpanAttributes> render() {
  auto all = std::make_unique<SpanAttributes>();
  for (std::size_t i = 0; i < kFieldCount; ++i)
    all->heads[i] = AttributeHead(kFlowFields[i].name, kFlowFields[i].type);
  for (std::size_t i = 0; i < kSpanFieldCount; ++i)
    all->span_heads[i] = AttributeHead(kSpanFields[i].name, kSpanFields[i].type);
  fill(all->end_reason, [](unsigned value) { return end_of(static_cast<EndReason>(value)); });
  fill(all->tcp_state, [](unsigned value) {
    return word(name(Field::flow_connection_state), tcp_state_name(static_cast<TcpState>(value)));
  });
  fill(all->initiator_by, [](unsigned value) { return initiator(static_cast<InitiatorBy>(value)); });
  fill(all->tunnel_type, [](unsigned value) {
    return word(name(Field::tunnel_type), tunnel_type_name(static_cast<TunnelType>(value)));
  });
  fill_span_names(all->span_name);
  fill_networks(all->network, name(Field::network_type), name(Field::network_transport));
  fill_networks(all->tunnel_network, name(Field::tunnel_network_type), name(Field::tunnel_network_transport));
  fill_networks(all->ipip_network, name(SpanField::ipip_network_type),
                name(SpanField::ipip_network_transport));
  fill_direction(all->directions[0], 0, 0);
  fill_direction(all->directions[1], kReverse, kSpanReverse);
  return all;
}

}  // namespace

AttributeHead::AttributeHead(std::string_view name, FieldType type) {
  std::string text;
  wire::append_field(text, 1, name);
  text.push_back(wire::key(2, wire::Type::length));
  any_value_size_at_ = static_cast<std::uint8_t>(2 + text.size());
  const bool integer = type == FieldType::integer;
  text += integer ? std::string{1, wire::key(3, wire::Type::varint)}
                  : std::string{2, wire::key(1, wire::Type::length), 0};
  text = std::string{wire::key(kAttributesOfSpan, wire::Type::length), static_cast<char>(text.size())} + text;
  RHEO_ASSERT(text.size() <= bytes_.size() && text.size() + kMaxAttributeText < 128);
  text.copy(bytes_.data(), text.size());
  size_ = static_cast<std::uint8_t>(text.size());
}

const SpanAttributes& SpanAttributes::get() {
  static const std::unique_ptr<const SpanAttributes> all = render();
  return *all;
}

std::string integer_attribute(std::string_view key, std::uint64_t value) {
  return attribute({.key = std::string(key), .value = static_cast<std::int64_t>(value)});
}

std::string text_attribute(std::string_view key, std::string_view text) {
  return attribute({.key = std::string(key), .value = std::string(text)});
}

std::string texts_attribute(std::string_view key, std::span<const std::string> texts) {
  return attribute({.key = std::string(key), .value = std::vector<std::string>(texts.begin(), texts.end())});
}

}  // namespace rheo
