// SPDX-License-Identifier: Apache-2.0
// What a record says in JSON, held against the table of fields and against rheo-flow(5).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <sstream>

#include "daemon/model/names.h"
#include "export/flow_fields.h"
#include "export/json/encode_json.h"
#include "tests/unit/full_owners.h"
#include "tests/unit/json_records.h"

namespace rheo {
namespace {

std::string json(const FlowRecord& record, const LinkTable& links = test::links(),
                 const AddressClasses* classes = nullptr) {
  test::FullOwners everybody;
  OwnerTexts owners(&everybody, json_owner_format());
  std::string line;
  append_json(line, record, {.links = links, .classes = classes, .owners = &owners});
  return line;
}

std::string json_with_classes(const FlowRecord& record) {
  const AddressClasses classes = test::classes();
  return json(record, test::links(), &classes);
}

bool has(const std::string& line, std::string_view field) {
  return line.find('"' + std::string(field) + "\":") != std::string::npos;
}

/// What follows `"field":` up to the next field.
std::string value(const std::string& line, std::string_view field) {
  const std::string key = '"' + std::string(field) + "\":";
  const std::size_t at = line.find(key);
  if (at == std::string::npos) return "absent";
  const std::size_t begin = at + key.size();
  return line.substr(begin, std::min(line.find(",\"", begin), line.find('}', begin)) - begin);
}

std::string man_page() {
  std::ifstream file(RHEO_SOURCE_DIR "/man/rheo-flow.5.scd");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// clang-format off: one line of output a literal
TEST(EncodeJson, TheFullestRecord) {
  EXPECT_EQ(json(test::fullest_record()),
            R"({"flow.id":"5c2f00000000002a","flow.sequence":1,)"
            R"("flow.community_id":"1:fn1pPRhU3pPoOI5v5qt12zRZqI0=",)"
            R"("flow.start":"2026-01-02T03:04:05.000000006Z","start":"2026-01-02T03:05:05.250000000Z",)"
            R"("end":"2026-01-02T03:05:11.999999999Z","flow.end_reason":"end of Flow detected",)"
            R"("flow.end_by":"fin","flow.connection.state":"time_wait","flow.initiator_by":"handshake",)"
            R"("flow.tcp.handshake.latency":20405057,"flow.tcp.handshake.syn_ack.latency":20304050,)"
            R"("flow.tcp.handshake.ack.latency":101007,)"
            R"("flow.tcp.connects":1,"flow.tcp.accepts":1,"flow.tcp.closes":1,"flow.tcp.failed_connects":1,)"
            R"("network.type":"ipv6","network.transport":"tcp","source.address":"2001:db8::1",)"
            R"("source.port":43210,"source.mac":"02:00:00:00:00:01",)"
            R"("destination.address":"2001:db8:1:2:3:4:5:6","destination.port":443,)"
            R"("destination.mac":"02:00:00:00:00:fe","network.interface.index":2,)"
            R"("network.interface.name":"eth0","network.interface.netns.id":3,"network.interface.netns.name":"blue",)"
            R"("network.interface.others":["br0"],"network.vlan.id":100,)"
            R"("network.vlan.inner.id":200,"network.mpls.label.id":1048575,"network.mpls.depth":2,)"
            R"("flow.bytes.delta":3456,"flow.bytes.total":9000,"flow.packets.delta":12,)"
            R"("flow.packets.total":40,"flow.layer2.bytes.delta":3624,"flow.layer2.bytes.total":9560,)"
            R"("flow.ip.dscp.id":46,"flow.ip.ecn.id":0,"flow.ip.ttl":64,"flow.tcp.flags.bits":511,)"
            R"("flow.tcp.flags.tags":["FIN","SYN","RST","PSH","ACK","URG","ECE","CWR","AE"],)"
            R"("flow.tcp.rtt":20123000,"flow.tcp.min_rtt":19800000,"flow.tcp.retransmits":3,)"
            R"("flow.tcp.congestion_window":24,)"
            R"("flow.observed":["ingress","egress"],"flow.marks":["fragment","truncated","wireguard",)"
            R"("undecoded"],"flow.ip.flow_label":703710,"flow.reverse.bytes.delta":12000,)"
            R"("flow.reverse.bytes.total":48000,"flow.reverse.packets.delta":10,)"
            R"("flow.reverse.packets.total":35,"flow.reverse.layer2.bytes.delta":12140,)"
            R"("flow.reverse.layer2.bytes.total":48490,"flow.reverse.ip.dscp.id":0,)"
            R"("flow.reverse.ip.ecn.id":0,"flow.reverse.ip.ttl":57,"flow.reverse.tcp.flags.bits":511,)"
            R"("flow.reverse.tcp.flags.tags":["FIN","SYN","RST","PSH","ACK","URG","ECE","CWR","AE"],)"
            R"("flow.reverse.tcp.rtt":210000,"flow.reverse.tcp.min_rtt":95000,"flow.reverse.tcp.retransmits":2,)"
            R"("flow.reverse.tcp.congestion_window":10,)"
            R"("flow.reverse.observed":["ingress","egress"],"flow.reverse.marks":["fragment",)"
            R"("truncated","wireguard","undecoded"],"tunnel.type":"vxlan","tunnel.id":5000,)"
            R"("tunnel.network.type":"ipv6","tunnel.network.transport":"udp",)"
            R"("tunnel.source.address":"2001:db8:ffff::1","tunnel.source.port":50000,)"
            R"("tunnel.destination.address":"2001:db8:ffff::2","tunnel.destination.port":4789,)"
            R"("source.process.pid":812,"source.process.executable.name":"nginx",)"
            R"("source.process.executable.path":"/usr/sbin/nginx",)"
            R"("source.process.command_line":"nginx -g x","source.process.owner":"www-data",)"
            R"("source.systemd.unit":"user@33.service","source.systemd.user_unit":"web.service",)"
            R"("source.systemd.slice":"user-33.slice","source.systemd.session":"7",)"
            R"("source.container.id":"web","source.container.name":"front",)"
            R"("source.container.image.name":"nginx:1.27","source.container.runtime":"lxc",)"
            R"("destination.process.pid":1024,"destination.process.executable.name":"nginx",)"
            R"("destination.process.executable.path":"/usr/sbin/nginx",)"
            R"("destination.process.command_line":"nginx -g x","destination.process.owner":"www-data",)"
            R"("destination.systemd.unit":"user@33.service","destination.systemd.user_unit":"web.service",)"
            R"("destination.systemd.slice":"user-33.slice","destination.systemd.session":"7",)"
            R"("destination.container.id":"web","destination.container.name":"front",)"
            R"("destination.container.image.name":"nginx:1.27","destination.container.runtime":"lxc"})"
            "\n");
}

TEST(EncodeJson, APing) {
  EXPECT_EQ(json(test::icmp_record()),
            R"({"flow.id":"5c2f00000000002a","flow.sequence":1,)"
            R"("flow.community_id":"1:GxLFVZJEgibNwDCM1pwM6/RqsY8=",)"
            R"("flow.start":"2026-01-02T03:04:05.000000006Z","start":"2026-01-02T03:05:05.250000000Z",)"
            R"("end":"2026-01-02T03:05:11.999999999Z","flow.end_reason":"idle timeout",)"
            R"("flow.initiator_by":"first_packet","network.type":"ipv4","network.transport":"icmp",)"
            R"("source.address":"192.0.2.10","source.mac":"02:00:00:00:00:01",)"
            R"("destination.address":"198.51.100.7","destination.mac":"02:00:00:00:00:fe",)"
            R"("network.interface.index":2,"network.interface.name":"eth0","flow.bytes.delta":3456,)"
            R"("flow.bytes.total":9000,"flow.packets.delta":12,"flow.packets.total":40,)"
            R"("flow.layer2.bytes.delta":3624,"flow.layer2.bytes.total":9560,"flow.ip.dscp.id":46,)"
            R"("flow.ip.ecn.id":0,"flow.ip.ttl":64,"flow.icmp.type.id":8,"flow.icmp.code.id":0,)"
            R"("flow.observed":["egress"],"flow.icmp.id":77,"flow.reverse.bytes.delta":12000,)"
            R"("flow.reverse.bytes.total":48000,"flow.reverse.packets.delta":10,)"
            R"("flow.reverse.packets.total":35,"flow.reverse.layer2.bytes.delta":12140,)"
            R"("flow.reverse.layer2.bytes.total":48490,"flow.reverse.ip.dscp.id":0,)"
            R"("flow.reverse.ip.ecn.id":0,"flow.reverse.ip.ttl":57,"flow.reverse.icmp.type.id":0,)"
            R"("flow.reverse.icmp.code.id":0,"flow.reverse.observed":["ingress"]})"
            "\n");
}
// clang-format on

TEST(EncodeJson, EveryFieldOfTheTableIsWritten) {
  const std::string tcp = json_with_classes(test::fullest_record());
  FlowRecord ping = test::icmp_record();
  ping.end_reason = EndReason::rst;
  ping.destination_owner = 812;  // one end's alone
  const std::string icmp = json_with_classes(ping);
  for (const FlowField& field : kFlowFields)
    EXPECT_TRUE(has(tcp, field.name) || has(icmp, field.name)) << field.name;
}

TEST(EncodeJson, ValuesHaveTheTypeOfTheTable) {
  const std::string tcp = json(test::fullest_record());
  for (const FlowField& field : kFlowFields) {
    const std::string text = value(tcp, field.name);
    if (text == "absent") continue;
    const char first = text[0];
    switch (field.type) {
      case FieldType::string:
        EXPECT_EQ(first, '"') << field.name;
        break;
      case FieldType::time:
        EXPECT_EQ(text.size(), 32U) << field.name;
        break;
      case FieldType::integer:
        EXPECT_TRUE(first >= '0' && first <= '9') << field.name;
        break;
      case FieldType::strings:
        EXPECT_EQ(first, '[') << field.name;
        break;
    }
  }
}

/// Bytes of a record that say nothing to others.
bool is_internal(std::size_t offset) {
  const auto within = [offset](std::size_t begin, std::size_t end) {
    return offset >= begin && offset < end;
  };
  return within(offsetof(FlowRecord, link) + sizeof(FlowRecord::link), offsetof(FlowRecord, flow_start_ns)) ||
         within(offsetof(FlowRecord, zero), sizeof(FlowRecord));  // the outbox's running sum
}

// A new member of FlowRecord that nobody exports fails here.
TEST(EncodeJson, EverythingThatARecordHoldsIsWritten) {
  for (std::size_t offset = 0; offset < sizeof(FlowRecord); ++offset) {
    if (is_internal(offset)) continue;
    bool seen = false;
    for (const FlowRecord& record : {test::fullest_record(), test::icmp_record()}) {
      std::byte bytes[sizeof(FlowRecord)];
      std::memcpy(bytes, &record, sizeof record);
      bytes[offset] ^= std::byte{1};
      FlowRecord other;
      std::memcpy(static_cast<void*>(&other), bytes, sizeof other);
      seen |= json(other) != json(record);
    }
    EXPECT_TRUE(seen) << "byte " << offset << " of a record makes no difference";
  }
}

TEST(EncodeJson, WhatIsAbsentIsAbsent) {
  FlowRecord r = test::tcp_record();
  r.protocol = 47;
  r.tcp_state = TcpState::none;
  r.reverse = {};
  r.source_mac = r.destination_mac = {};
  r.forward.hooks = 0;
  r.end_reason = EndReason::idle;
  const std::string line = json(r, {});
  for (const char* field : {"source.port",
                            "destination.port",
                            "source.mac",
                            "destination.mac",
                            "flow.connection.state",
                            "flow.end_by",
                            "flow.tcp.flags.bits",
                            "flow.reverse.tcp.flags.bits",
                            "flow.tcp.rtt",
                            "flow.tcp.retransmits",
                            "flow.tcp.handshake.latency",
                            "flow.tcp.connects",
                            "flow.icmp.type.id",
                            "flow.reverse.icmp.type.id",
                            "flow.reverse.ip.ttl",
                            "flow.observed",
                            "flow.reverse.observed",
                            "flow.marks",
                            "network.vlan.id",
                            "network.vlan.inner.id",
                            "network.mpls.depth",
                            "tunnel.type",
                            "tunnel.id",
                            "network.interface.name",
                            "network.interface.netns.id",
                            "network.interface.netns.name",
                            "network.interface.others",
                            "flow.ip.flow_label",
                            "flow.icmp.id"})
    EXPECT_FALSE(has(line, field)) << field << " in " << line;
  EXPECT_EQ(value(line, "flow.reverse.packets.total"), "0");
  EXPECT_EQ(line.find("null"), std::string::npos);
}

TEST(EncodeJson, AHandshakeIsToldAsFarAsItWasSeen) {
  FlowRecord r = test::tcp_record();
  r.handshake = {.syn_ack_ns = 5, .ack_ns = 0};
  EXPECT_EQ(value(json(r), "flow.tcp.handshake.syn_ack.latency"), "5");
  EXPECT_EQ(value(json(r), "flow.tcp.handshake.ack.latency"), "absent");
  EXPECT_EQ(value(json(r), "flow.tcp.handshake.latency"), "absent");
  r.forward.tcp = {.retransmits = 2, .congestion_window = 1};  // SYN that nobody answers
  EXPECT_EQ(value(json(r), "flow.tcp.retransmits"), "2");
  EXPECT_EQ(value(json(r), "flow.tcp.rtt"), "absent");
  EXPECT_EQ(value(json(r), "flow.tcp.min_rtt"), "absent");
}

TEST(EncodeJson, PlacesHaveTheirClass) {
  const std::string line = json_with_classes(test::tcp_record());
  EXPECT_EQ(value(line, "network.direction"), "\"egress\"");
  EXPECT_EQ(value(line, "source.class"), "\"localhost\"");
  EXPECT_EQ(value(line, "source.abnormal"), "absent");
  EXPECT_EQ(value(line, "destination.class"), "\"office\"");
  EXPECT_EQ(value(line, "destination.abnormal"), "\"black\"");
  FlowRecord r = test::tcp_record();
  std::swap(r.source, r.destination);
  EXPECT_EQ(value(json_with_classes(r), "network.direction"), "\"ingress\"");
  r.destination = r.source;
  EXPECT_EQ(value(json_with_classes(r), "network.direction"), "\"forwarded\"");
  r.source = r.destination = test::tcp_record().source;
  EXPECT_EQ(value(json_with_classes(r), "network.direction"), "\"local\"");
  r.link |= 3U << 24U;
  EXPECT_EQ(value(json_with_classes(r), "network.direction"), "absent") << "another namespace's addresses";
}

TEST(EncodeJson, AnUnansweredPingSaysNothingOfItsAnswer) {
  FlowRecord r = test::icmp_record();
  r.reverse = {};
  EXPECT_EQ(value(json(r), "flow.icmp.type.id"), "8");
  EXPECT_FALSE(has(json(r), "flow.reverse.icmp.type.id"));
}

TEST(EncodeJson, EveryEndReason) {
  for (int i = 0; i < kEndReasonCount; ++i) {
    FlowRecord r = test::tcp_record();
    r.end_reason = static_cast<EndReason>(i);
    EXPECT_EQ(value(json(r), "flow.end_reason"), '"' + std::string(end_reason_name(r.end_reason)) + '"');
    const char* by = r.end_reason == EndReason::fin   ? "\"fin\""
                     : r.end_reason == EndReason::rst ? "\"rst\""
                                                      : "absent";
    EXPECT_EQ(value(json(r), "flow.end_by"), by);
  }
}

TEST(EncodeJson, EveryStateTunnelAndInitiator) {
  for (int i = 1; i < kTcpStateCount; ++i) {
    FlowRecord r = test::tcp_record();
    r.tcp_state = static_cast<TcpState>(i);
    EXPECT_EQ(value(json(r), "flow.connection.state"), '"' + std::string(tcp_state_name(r.tcp_state)) + '"');
  }
  for (int i = 1; i < kTunnelTypeCount; ++i) {
    FlowRecord r = test::fullest_record();
    r.tunnel = static_cast<TunnelType>(i);
    EXPECT_EQ(value(json(r), "tunnel.type"), '"' + std::string(tunnel_type_name(r.tunnel)) + '"');
  }
  for (int i = 0; i < kInitiatorByCount; ++i) {
    FlowRecord r = test::tcp_record();
    r.initiator_by = static_cast<InitiatorBy>(i);
    EXPECT_EQ(value(json(r), "flow.initiator_by"),
              '"' + std::string(initiator_by_name(r.initiator_by)) + '"');
  }
}

TEST(EncodeJson, ATunnelsIdIsThereWhereTheTunnelHasOne) {
  FlowRecord r = test::fullest_record();
  r.tunnel_id = 0;
  EXPECT_EQ(value(json(r), "tunnel.id"), "0");
  r.tunnel = TunnelType::ipip;
  EXPECT_EQ(value(json(r), "tunnel.id"), "absent");
  r.outer_source = test::address("192.0.2.1");
  EXPECT_EQ(value(json(r), "tunnel.network.type"), "\"ipv4\"");
}

TEST(EncodeJson, CountersAreWholeNumbersOf64Bits) {
  FlowRecord r = test::tcp_record();
  r.forward.total.l3_bytes = UINT64_MAX;
  EXPECT_EQ(value(json(r), "flow.bytes.total"), "18446744073709551615");
}

TEST(EncodeJson, AHostileInterfaceNameStaysText) {
  LinkTable links;
  links[2].name = "e\",\"flow.id\":\"\xff\n" + std::string(400, '\x01');
  const std::string line = json(test::tcp_record(), links);
  EXPECT_NE(line.find(R"("e\",\"flow.id\":\")"
                      "\xef\xbf\xbd"
                      R"(\u000a\u0001)"),
            std::string::npos)
      << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(EncodeJson, TheLongestLineFits) {
  FlowRecord r = test::fullest_record();
  for (FlowDirection* d : {&r.forward, &r.reverse}) {
    d->delta = d->total = {.packets = UINT64_MAX, .l3_bytes = UINT64_MAX, .l2_bytes = UINT64_MAX};
    d->tos = d->ttl = 255;
    d->tcp = {.srtt_us = UINT32_MAX,
              .min_rtt_us = UINT32_MAX,
              .retransmits = UINT32_MAX,
              .congestion_window = UINT32_MAX};
  }
  r.handshake = {.syn_ack_ns = UINT64_MAX / 2, .ack_ns = UINT64_MAX / 2};
  r.source = r.destination = r.outer_source = r.outer_destination =
      test::address("2001:db8:1111:2222:3333:4444:5555:6666");
  LinkTable links;
  links[r.link].name = links[r.link].netns_name = std::string(400, '\x01');
  r.source_owner = r.destination_owner = 0;  // kMaxJsonLine does without
  EXPECT_LT(json(r, links).size(), kMaxJsonLine / 2);
}

/// "*flow.bytes.delta* (integer, By)", then the meaning.
std::string man_page_entry(const FlowField& field) {
  const std::string unit = field.unit.empty() ? "" : ", " + std::string(field.unit);
  return "\n*" + std::string(field.name) + "* (" + std::string(field_type_name(field.type)) + unit + ")\n\t" +
         std::string(field.meaning) + "\n";
}

TEST(ManPage, HasEveryFieldAsTheTableHasIt) {
  const std::string page = man_page();
  ASSERT_FALSE(page.empty()) << "man/rheo-flow.5.scd cannot be read";
  for (const FlowField& field : kFlowFields)
    EXPECT_NE(page.find(man_page_entry(field)), std::string::npos)
        << "rheo-flow(5) lacks" << man_page_entry(field);
}

TEST(ManPage, HasNoFieldThatIsNotInTheTable) {
  const std::string page = man_page();
  const std::size_t end = page.find("# END REASONS");
  std::size_t fields = 0;
  for (std::size_t at = page.find("# FIELDS"); (at = page.find("\n*", at + 1)) < end;) ++fields;
  EXPECT_EQ(fields, kFieldCount);
}

// The page breaks the line after commas.
TEST(ManPage, ItsExampleIsWhatIsWritten) {
  std::istringstream page(man_page());
  std::string example;
  std::string line;
  while (std::getline(page, line) && line != "# EXAMPLE") {
  }
  while (std::getline(page, line) && line != "```") {
  }
  while (std::getline(page, line) && line != "```") example += line;
  EXPECT_EQ(example + '\n', json(test::tcp_record()));
}

}  // namespace
}  // namespace rheo
