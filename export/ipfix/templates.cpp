// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/templates.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>

#include "daemon/base/assert.h"

namespace rheo {
namespace {

constexpr std::size_t kTransports = 4;
constexpr std::size_t kCarriers = 3;
static_assert(2 * kTransports * kCarriers == kRecordKindCount);

IpfixProtocol transport_of(const FlowRecord& record) {
  switch (record.protocol) {
    case IPPROTO_TCP:
      return IpfixProtocol::tcp;
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
    case IPPROTO_SCTP:
    case IPPROTO_DCCP:
      return IpfixProtocol::ports;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return IpfixProtocol::icmp;
    default:
      return IpfixProtocol::other;
  }
}

/// Address holds both families; a mapped one is IPv4's.
bool holds_ipv4(const Address& address) {
  constexpr std::array<std::uint8_t, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(mapped.begin(), mapped.end(), address.begin());
}

IpfixCarrier carrier_of(const FlowRecord& record) {
  if (record.tunnel == TunnelType::none) return IpfixCarrier::none;
  return holds_ipv4(record.outer_source) ? IpfixCarrier::ipv4 : IpfixCarrier::ipv6;
}

}  // namespace

RecordKind kind_of(const FlowRecord& record) {
  return {.ipv6 = record.ipv6, .transport = transport_of(record), .carrier = carrier_of(record)};
}

std::size_t index_of(RecordKind kind) {
  return (static_cast<std::size_t>(kind.carrier) * kTransports + static_cast<std::size_t>(kind.transport)) *
             2 +
         (kind.ipv6 ? 1 : 0);
}

RecordKind kind_at(std::size_t index) {
  return {.ipv6 = index % 2 == 1,
          .transport = static_cast<IpfixProtocol>(index / 2 % kTransports),
          .carrier = static_cast<IpfixCarrier>(index / 2 / kTransports)};
}

std::vector<TemplateField> fields_of(std::span<const IpfixElement* const> chosen, RecordKind kind,
                                     IpfixBiflow biflow) {
  const bool both = biflow == IpfixBiflow::rfc5103;
  std::vector<TemplateField> fields;
  for (const IpfixElement* element : chosen)
    if (both && element->reverse == IpfixReverse::in_front && element->stands_in(kind))
      fields.push_back({element, true});
  std::vector<TemplateField> beside;  // follow the run of forward ones that they belong to
  for (const IpfixElement* element : chosen) {
    if (!element->stands_in(kind)) continue;
    if (element->reverse != IpfixReverse::beside) {
      fields.insert(fields.end(), beside.begin(), beside.end());
      beside.clear();
    }
    fields.push_back({element, false});
    if (both && element->reverse == IpfixReverse::beside) beside.push_back({element, true});
  }
  fields.insert(fields.end(), beside.begin(), beside.end());
  return fields;
}

std::vector<TemplateField> fields_named(std::span<const std::string_view> names) {
  std::vector<TemplateField> fields;
  for (const std::string_view name : names) {
    const IpfixElement* element = find_ipfix_element(name);
    RHEO_ASSERT(element != nullptr);
    fields.push_back({element, false});
  }
  return fields;
}

std::size_t record_size(std::span<const TemplateField> fields) {
  std::size_t size = 0;
  for (const TemplateField& field : fields)
    if (field.element->source.length != kVariableLength) size += field.element->source.length;
  return size;
}

std::size_t template_size(std::span<const TemplateField> fields) {
  std::size_t size = 4;
  for (const TemplateField& field : fields) size += field.element->own || field.reverse ? 8 : 4;
  return size;
}

}  // namespace rheo
