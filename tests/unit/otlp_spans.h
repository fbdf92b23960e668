// SPDX-License-Identifier: Apache-2.0
// Spans as protobuf reads them from what the encoder wrote, and the records of every kind. Plain values.
#pragma once

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "export/otlp/resource.h"
#include "export/otlp/span_encoder.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"
#include "tests/unit/json_records.h"

namespace rheo::test {

using Request = opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
using Span = opentelemetry::proto::trace::v1::Span;
using AnyValue = opentelemetry::proto::common::v1::AnyValue;

inline constexpr std::uint64_t kMinuteNs = 60'000'000'000;

inline SpanEncoderOptions encoder_options() {
  return {.version = "1.2.3", .host_key = 77, .bucket_ns = kMinuteNs, .community_id_seed = 0};
}

inline LinkTable links_with_mac() {
  LinkTable table = links();
  for (auto& [number, link] : table)
    if (link.name == "eth0") link.mac = {2, 0, 0, 0, 0, 0x99};
  return table;
}

inline Request parse(std::span<const std::byte> bytes) {
  Request request;
  EXPECT_TRUE(request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return request;
}

/// The one span of a request of one record.
inline Span span_of(const FlowRecord& record, const Listeners& host = {},
                    const AddressClasses* classes = nullptr) {
  SpanEncoder encoder(encoder_options());
  const LinkTable table = links_with_mac();
  const Request request =
      parse(encoder.encode(std::span(&record, 1), {.links = table, .host = host, .classes = classes}));
  EXPECT_EQ(request.resource_spans_size(), 1);
  EXPECT_EQ(request.resource_spans(0).scope_spans_size(), 1);
  EXPECT_EQ(request.resource_spans(0).scope_spans(0).spans_size(), 1);
  return request.resource_spans(0).scope_spans(0).spans(0);
}

inline std::map<std::string, AnyValue> attributes_of(const Span& span) {
  std::map<std::string, AnyValue> attributes;
  for (const auto& attribute : span.attributes())
    EXPECT_TRUE(attributes.emplace(attribute.key(), attribute.value()).second) << attribute.key() << " twice";
  return attributes;
}

inline FlowRecord icmp6_record() {
  FlowRecord r = icmp_record();
  r.protocol = 58;
  r.ipv6 = true;
  r.source = address("2001:db8::1");
  r.destination = address("2001:db8::2");
  r.forward.icmp_type = 1;
  r.forward.icmp_code = 4;
  r.reverse = {};
  return r;
}

inline FlowRecord udp_record() {
  FlowRecord r = tcp_record();
  r.protocol = 17;
  r.end_reason = EndReason::idle;
  r.tcp_state = TcpState::none;
  r.forward.tcp_flags = r.reverse.tcp_flags = 0;
  r.initiator_by = InitiatorBy::port;
  r.vlan = 12;
  return r;
}

/// ESP in an IP-in-IP tunnel.
inline FlowRecord ipip_record() {
  FlowRecord r = udp_record();
  r.protocol = 50;
  r.source_port_be = r.destination_port_be = 0;
  r.tunnel = TunnelType::ipip;
  r.outer_protocol = 4;
  r.outer_source = address("203.0.113.1");
  r.outer_destination = address("203.0.113.2");
  r.end_reason = EndReason::rst;
  r.initiator_by = InitiatorBy::first_packet;
  return r;
}

struct Kind {
  const char* name;
  FlowRecord record;
};

inline std::vector<Kind> kinds() {
  return {{"tcp", tcp_record()},   {"tcp6_in_vxlan", fullest_record()},
          {"icmp", icmp_record()}, {"icmp6", icmp6_record()},
          {"udp", udp_record()},   {"esp_in_ipip", ipip_record()}};
}

}  // namespace rheo::test
