// SPDX-License-Identifier: Apache-2.0
// An encoder and a decoder of IPFIX back to back, and records of every kind that a template is for.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "export/ipfix/encoder.h"
#include "export/ipfix/templates.h"
#include "tests/tools/ipfix_decoder.h"
#include "tests/unit/json_records.h"

namespace rheo::test {

inline const Snapshot<LinkTable>& no_links() {
  static const Snapshot<LinkTable> links;
  return links;
}

inline const Snapshot<AddressClasses>& known_classes() {
  static const Snapshot<AddressClasses> known(classes());
  return known;
}

/// Every message goes to the decoder; whatever that complains of fails the test.
class IpfixSession {
 public:
  explicit IpfixSession(const IpfixEncoderOptions& options) {
    Result<std::unique_ptr<IpfixEncoder>> made = IpfixEncoder::create(options);
    EXPECT_TRUE(made) << made.error().what;
    encoder = *std::move(made);
  }

  /// All messages are taken.
  void encode(std::span<const FlowRecord> records, const IpfixStatistics& statistics = {}) {
    std::size_t taken = 0;
    const Status status = encoder->encode(records, statistics, sink(), taken);
    EXPECT_TRUE(status) << status.error().what;
    EXPECT_EQ(taken, records.size());
  }

  IpfixSink sink() {
    return [this](std::span<const std::byte> message, std::uint32_t /*data_records*/) -> Status {
      if (messages_to_take == 0) return failure("the collector is away", std::errc::not_connected);
      --messages_to_take;
      ++messages;
      longest_message = std::max(longest_message, message.size());
      EXPECT_EQ(decoder.decode(message), "");
      return Done{};
    };
  }

  std::vector<DecodedRecord> flow_records() const {
    std::vector<DecodedRecord> found;
    for (const DecodedRecord& record : decoder.records)
      if (!record.options) found.push_back(record);
    return found;
  }
  std::vector<DecodedRecord> option_records(std::size_t kind) const {
    std::vector<DecodedRecord> found;
    for (const DecodedRecord& record : decoder.records)
      if (record.template_id == kFirstOptionsTemplate + kind) found.push_back(record);
    return found;
  }

  /// The data record of this kind, where there is one record a kind.
  const DecodedRecord* find(const FlowRecord& record) const {
    for (const DecodedRecord& read : decoder.records)
      if (read.template_id == kFirstRecordTemplate + index_of(kind_of(record))) return &read;
    return nullptr;
  }

  std::unique_ptr<IpfixEncoder> encoder;
  IpfixDecoder decoder;
  std::size_t longest_message = 0;
  std::size_t messages = 0;
  std::size_t messages_to_take = 1'000'000;
};

/// One of each family, transport and carrier, with different numbers in every field.
inline std::vector<FlowRecord> records_of_every_kind() {
  std::vector<FlowRecord> records;
  for (std::size_t i = 0; i < kRecordKindCount; ++i) {
    const RecordKind kind = kind_at(i);
    FlowRecord r = fullest_record();
    r.flow_id += i << 32U;
    r.ipv6 = kind.ipv6;
    r.source = address(kind.ipv6 ? "2001:db8::1" : "192.0.2.10");
    r.destination = address(kind.ipv6 ? "2001:db8:1:2:3:4:5:6" : "198.51.100.7");
    r.mpls_count = static_cast<std::uint8_t>(i % 3);
    r.forward.marks = 1;
    r.reverse.marks = 6;
    r.forward.hooks = i % 2 == 0 ? kHookIngress : 0;
    r.reverse.hooks = i % 3 == 0 ? kHookIngress : kHookEgress;
    r.forward.tcp_flags = r.reverse.tcp_flags = 0;
    r.tcp_state = TcpState::none;
    r.reverse.tos = 0x2a;
    r.end_reason = static_cast<EndReason>(i % kEndReasonCount);
    switch (kind.transport) {
      case IpfixProtocol::tcp:
        r.tcp_state = TcpState::time_wait;
        r.forward.tcp_flags = 0x103 | kFlagSynOnly;
        r.reverse.tcp_flags = 0x012;
        break;
      case IpfixProtocol::ports:
        r.protocol = 17;
        break;
      case IpfixProtocol::icmp:
        r.protocol = kind.ipv6 ? 58 : 1;
        r.source_port_be = r.destination_port_be = 0;
        r.icmp_id_be = htons(77);
        r.forward.icmp_type = kind.ipv6 ? 128 : 8;
        r.reverse.icmp_type = kind.ipv6 ? 129 : 0;
        r.reverse.icmp_code = 3;
        break;
      case IpfixProtocol::other:
        r.protocol = 47;
        break;
    }
    const bool over_ipv6 = kind.carrier == IpfixCarrier::ipv6;
    r.tunnel = over_ipv6 ? TunnelType::nvgre : TunnelType::vxlan;
    r.outer_source = address(over_ipv6 ? "2001:db8:ffff::1" : "203.0.113.1");
    r.outer_destination = address(over_ipv6 ? "2001:db8:ffff::2" : "203.0.113.2");
    if (kind.carrier == IpfixCarrier::none) r.tunnel = TunnelType::none;
    records.push_back(r);
  }
  return records;
}

}  // namespace rheo::test
