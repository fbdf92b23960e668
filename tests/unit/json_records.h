// SPDX-License-Identifier: Apache-2.0
// Flow records for the tests of the JSON exporter. Plain values.
#pragma once

#include <arpa/inet.h>

#include <string>

#include "daemon/model/address_classes.h"
#include "daemon/model/flow_record.h"
#include "daemon/model/link.h"

namespace rheo::test {

inline Address address(const std::string& text) {
  Address bytes{};
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
  bytes[10] = bytes[11] = 0xff;
  inet_pton(AF_INET, text.c_str(), bytes.data() + 12);
  return bytes;
}

inline LinkTable links() {
  LinkTable table;
  table[2].name = "eth0";
  table[5].name = "br0";
  Link& elsewhere = table[link_number({.netns = 3, .ifindex = 2})];
  elsewhere.name = "eth0";
  elsewhere.netns_name = "blue";
  return table;
}

/// The record of the example in rheo-flow(5).
inline FlowRecord tcp_record() {
  FlowRecord r;
  r.flow_id = 0x5c2f00000000002aU;
  r.sequence = 1;
  r.protocol = 6;
  r.end_reason = EndReason::fin;
  r.tcp_state = TcpState::time_wait;
  r.source = address("192.0.2.10");
  r.destination = address("198.51.100.7");
  r.source_port_be = htons(43210);
  r.destination_port_be = htons(443);
  r.link = 2;
  r.flow_start_ns = 1'767'323'045'000'000'006;
  r.start_ns = 1'767'323'105'250'000'000;
  r.end_ns = 1'767'323'111'999'999'999;
  r.forward.delta = {.packets = 12, .l3_bytes = 3'456, .l2_bytes = 3'624};
  r.forward.total = {.packets = 40, .l3_bytes = 9'000, .l2_bytes = 9'560};
  r.forward.tcp_flags = 0x19 | kFlagSynOnly;
  r.forward.ttl = 64;
  r.forward.tos = 0xb8;
  r.forward.hooks = kHookEgress;
  r.reverse.delta = {.packets = 10, .l3_bytes = 12'000, .l2_bytes = 12'140};
  r.reverse.total = {.packets = 35, .l3_bytes = 48'000, .l2_bytes = 48'490};
  r.reverse.tcp_flags = 0x11;
  r.reverse.ttl = 57;
  r.reverse.hooks = kHookIngress;
  r.source_mac = {2, 0, 0, 0, 0, 1};
  r.destination_mac = {2, 0, 0, 0, 0, 0xfe};
  r.initiator_by = InitiatorBy::handshake;
  return r;
}

/// IPv6 TCP with everything that a record of TCP can have.
inline FlowRecord fullest_record() {
  FlowRecord r = tcp_record();
  r.ipv6 = true;
  r.source = address("2001:db8::1");
  r.destination = address("2001:db8:1:2:3:4:5:6");
  r.link = 2 | 3U << 24U;
  r.other_links = {5, 9};  // 9 is gone
  r.vlan = 100;
  r.inner_vlan = 200;
  r.mpls_count = 2;
  r.mpls_top_label = 1'048'575;
  r.flow_label = 0xabcde;
  r.tunnel = TunnelType::vxlan;
  r.tunnel_id = 5'000;
  r.outer_protocol = 17;
  r.outer_source = address("2001:db8:ffff::1");
  r.outer_destination = address("2001:db8:ffff::2");
  r.outer_source_port_be = htons(50'000);
  r.outer_destination_port_be = htons(4'789);
  r.forward.marks = r.reverse.marks = 0x0f;
  r.forward.hooks = r.reverse.hooks = kHookIngress | kHookEgress;
  r.forward.tcp_flags = r.reverse.tcp_flags = 0x1ff;
  r.source_owner = 812;
  r.destination_owner = 1'024;
  r.forward.tcp = {.srtt_us = 20'123, .min_rtt_us = 19'800, .retransmits = 3, .congestion_window = 24};
  r.reverse.tcp = {.srtt_us = 210, .min_rtt_us = 95, .retransmits = 2, .congestion_window = 10};
  r.handshake = {.syn_ack_ns = 20'304'050, .ack_ns = 101'007};
  r.tcp_events = kTcpConnect | kTcpAccept | kTcpClose | kTcpFailedConnect;
  return r;
}

/// The host is the initiator of tcp_record() and fullest_record(); both ends are on a list.
inline AddressClasses classes() {
  ConfiguredClasses configured;
  configured.names = {"office"};
  const std::vector<PrefixTrie::Entry> office = {{prefix_of(address("198.51.100.0"), 120), kBuiltInClasses}};
  const std::vector<PrefixTrie::Entry> lists = {{prefix_of(address("198.51.100.7"), 128), 1},
                                                {prefix_of(address("2001:db8:1::"), 48), 1},
                                                {prefix_of(address("2001:db8::"), 48), 2}};
  configured.classes = PrefixTrie(office);
  configured.lists = PrefixTrie(lists);
  const std::vector<PrefixTrie::Entry> own = {{prefix_of(address("192.0.2.10"), 128), 2},
                                              {prefix_of(address("2001:db8::1"), 128), 2}};
  return {std::make_shared<const ConfiguredClasses>(std::move(configured)),
          {.classes = PrefixTrie(own), .own = PrefixTrie(own)}};
}

/// A ping that was answered.
inline FlowRecord icmp_record() {
  FlowRecord r = tcp_record();
  r.protocol = 1;
  r.end_reason = EndReason::idle;
  r.tcp_state = TcpState::none;
  r.source_port_be = r.destination_port_be = 0;
  r.forward.tcp_flags = r.reverse.tcp_flags = 0;
  r.forward.icmp_type = 8;
  r.initiator_by = InitiatorBy::first_packet;
  r.icmp_id_be = htons(77);
  return r;
}

}  // namespace rheo::test
