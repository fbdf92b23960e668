// SPDX-License-Identifier: Apache-2.0
#include "export/ipfix/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <concepts>
#include <cstring>

#include "daemon/base/assert.h"

namespace rheo {
namespace {

constexpr std::size_t kLossReasonSize = 32;
constexpr std::size_t kInterfaceNameSize = 16;
constexpr std::size_t kInterfaceDescriptionSize = 32;
constexpr std::uint64_t kSelector = 1;
constexpr std::uint16_t kSystematicCountBased = 1;  // IANA psamp-parameters

/// Builds a record's fixed part field by field.
class RecordBuilder {
 public:
  template <std::unsigned_integral T>
  RecordBuilder& number(T value) {
    for (std::size_t octet = sizeof value; octet-- > 0;)
      record_.fixed.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (octet * 8)));
    return *this;
  }
  /// Cut, or filled up with zeros.
  RecordBuilder& text(std::string_view text, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i)
      record_.fixed.push_back(static_cast<std::byte>(i < text.size() ? text[i] : '\0'));
    return *this;
  }
  RecordBuilder& variable(std::string_view text) {
    record_.variable.emplace_back(text.substr(0, 254));
    return *this;
  }
  OptionsRecord take() { return std::move(record_); }

 private:
  OptionsRecord record_;
};

using Records = std::vector<OptionsRecord>;

Records exporting_process(const OptionsInput& input) {
  const IpfixStatistics& s = input.statistics;
  std::uint64_t ignored_packets = 0;
  std::uint64_t ignored_octets = 0;
  for (const IpfixLoss& loss : s.losses) {
    if (!loss.is_ip) continue;  // IANA counts IP packets here
    ignored_packets += loss.packets;
    ignored_octets += loss.octets;
  }
  RecordBuilder record;
  record.number(input.settings.observation_domain).number(s.exported_messages).number(s.exported_records);
  record.number(s.exported_octets).number(s.observed_flows).number(ignored_packets).number(ignored_octets);
  record.number(s.not_sent_records).number(s.not_sent_packets).number(s.not_sent_octets);
  return {record.take()};
}

Records metering_losses(const OptionsInput& input) {
  Records records;
  for (const IpfixLoss& loss : input.statistics.losses) {
    RecordBuilder record;
    record.number(input.settings.observation_domain).text(loss.name, kLossReasonSize);
    record.number(loss.packets).number(loss.octets);
    records.push_back(record.take());
  }
  return records;
}

Records sampling(const OptionsInput& input) {
  const std::uint32_t space = input.settings.sample_one_in - 1;
  RecordBuilder record;
  record.number(input.settings.observation_domain).number(kSelector).number(kSystematicCountBased);
  record.number(std::uint32_t{1}).number(space);
  return {record.take()};
}

Records sampling_legacy(const OptionsInput& input) {
  return {
      RecordBuilder().number(input.settings.observation_domain).number(input.settings.sample_one_in).take()};
}

OptionsRecord element_type(const OptionsInput& input, const IpfixElement& element, bool reverse) {
  const auto number = static_cast<std::uint16_t>(reverse ? element.number | kReverseBit : element.number);
  RecordBuilder record;
  record.number(input.settings.pen).number(number);
  record.number(static_cast<std::uint8_t>(element.type)).number(static_cast<std::uint8_t>(element.semantics));
  record.number(static_cast<std::uint16_t>(element.units));
  record.number(std::uint64_t{0}).number(std::uint64_t{0});  // ipfixDump takes no record without a range
  record.variable(reverse ? reverse_element_name(element.name) : element.name).variable(element.meaning);
  return record.take();
}

/// Those of our own that templates of this encoder have.
Records element_types(const OptionsInput& input) {
  const bool both = input.settings.biflow == IpfixBiflow::rfc5103;
  Records records;
  for (const IpfixElement* element : input.elements) {
    if (!element->own) continue;
    records.push_back(element_type(input, *element, false));
    if (both && element->reverse != IpfixReverse::never)
      records.push_back(element_type(input, *element, true));
  }
  for (const IpfixElement& element : ipfix_elements())
    if (element.own && element.set == IpfixSet::options_only)
      records.push_back(element_type(input, element, false));
  return records;
}

std::string_view kind_of(const Link& link) {
  if (!link.kind.empty()) return link.kind;
  return link.loopback ? "loopback" : "physical";
}

/// With the name, since nfdump and others show the description as the interface's name.
std::string description_of(const Link& link) {
  return fmt::format("{} ({})", full_name(link), kind_of(link));
}

Records interfaces(const OptionsInput& input) {
  Records records;
  for (const auto& [index, link] : input.links) {
    RecordBuilder record;
    record.number(input.settings.observation_domain).text(link.name, kInterfaceNameSize);
    record.number(index).text(description_of(link), kInterfaceDescriptionSize);
    records.push_back(record.take());
  }
  return records;
}

Records interfaces_by_scope(const OptionsInput& input) {
  Records records;
  for (const auto& [index, link] : input.links) {
    RecordBuilder record;
    record.number(index).text(link.name, kInterfaceNameSize);
    record.text(description_of(link), kInterfaceDescriptionSize);
    records.push_back(record.take());
  }
  return records;
}

}  // namespace

const std::array<OptionsTemplate, kOptionsKindCount>& options_templates() {
  static const std::array<OptionsTemplate, kOptionsKindCount> templates = {{
      {1,
       {"observationDomainId", "exportedMessageTotalCount", "exportedFlowRecordTotalCount",
        "exportedOctetTotalCount", "observedFlowTotalCount", "ignoredPacketTotalCount",
        "ignoredOctetTotalCount", "notSentFlowTotalCount", "notSentPacketTotalCount",
        "notSentOctetTotalCount"}},
      {2, {"observationDomainId", "rheoLossReason", "ignoredPacketTotalCount", "ignoredOctetTotalCount"}},
      {1,
       {"observationDomainId", "selectorId", "selectorAlgorithm", "samplingPacketInterval",
        "samplingPacketSpace"}},
      {1, {"observationDomainId", "samplingInterval"}},
      {2,
       {"privateEnterpriseNumber", "informationElementId", "informationElementDataType",
        "informationElementSemantics", "informationElementUnits", "informationElementRangeBegin",
        "informationElementRangeEnd", "informationElementName", "informationElementDescription"}},
      // The name is in the scope for nfdump 1.7.1, which takes a record for scope, index and description.
      {2, {"observationDomainId", "interfaceName", "ingressInterface", "interfaceDescription"}},
      {1, {"ingressInterface", "interfaceName", "interfaceDescription"}},
  }};
  return templates;
}

std::size_t OptionsRecord::size() const {
  std::size_t octets = fixed.size();
  for (const std::string& text : variable) octets += 1 + text.size();
  return octets;
}

std::vector<OptionsRecord> options_records(IpfixOptionsKind kind, const OptionsInput& input) {
  switch (kind) {
    case IpfixOptionsKind::exporting_process:
      return exporting_process(input);
    case IpfixOptionsKind::metering_losses:
      return metering_losses(input);
    case IpfixOptionsKind::sampling:
      return sampling(input);
    case IpfixOptionsKind::sampling_legacy:
      return sampling_legacy(input);
    case IpfixOptionsKind::element_types:
      return element_types(input);
    case IpfixOptionsKind::interfaces:
      return interfaces(input);
    case IpfixOptionsKind::interfaces_by_scope:
      return interfaces_by_scope(input);
  }
  RHEO_ASSERT(false);
}

}  // namespace rheo
