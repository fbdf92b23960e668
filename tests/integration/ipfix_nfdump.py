#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What nfcapd stores of messages over UDP and nfdump shows is what the JSON records of the same flows have, element by
element, in every profile and with both kinds of biflow; and its sums are the packets and octets that were sent."""
import json
import re

from collectors import Nfcapd
from ipfix_expected import expected_records, forward, milliseconds, reverse, shown_forms, text_of_address
from ipfix_live import FIRST_PORT, VARIANTS, Comparison, meter_every_kind, name_of
from rig import Rig, expect, expect_equal

FLAGS = "FSRPAUEC"  # from bit 0


def icmp_type_code(flow):
    return flow["icmp_type"] << 8 | flow["icmp_code"]


def top_label(flow):
    label, experimental, bottom = map(int, flow["mpls_1"].split("-"))
    return label << 4 | experimental << 1 | bottom


def tcp_flags(flow):
    return sum(1 << FLAGS.index(letter) for letter in flow["tcp_flags"] if letter != ".")


ICMP, ICMPV6, TCP = 1, 58, 6
# Form -> where nfdump shows it: in which flows, and how. "raw" has what its JSON has not.
SHOWN = {
    ("sourceIPv4Address", False): ("src4_addr", lambda flow: flow["src4_addr"]),
    ("destinationIPv4Address", False): ("dst4_addr", lambda flow: flow["dst4_addr"]),
    ("sourceIPv6Address", False): ("src6_addr", lambda flow: text_of_address(flow["src6_addr"])),
    ("destinationIPv6Address", False): ("dst6_addr", lambda flow: text_of_address(flow["dst6_addr"])),
    ("sourceTransportPort", False): ("src_port", lambda flow: flow["src_port"]),
    ("destinationTransportPort", False): ("dst_port", lambda flow: flow["dst_port"]),
    ("protocolIdentifier", False): ("proto", lambda flow: flow["proto"]),
    ("flowStartMilliseconds", False): ("first", lambda flow: milliseconds(flow["first"])),
    ("flowEndMilliseconds", False): ("last", lambda flow: milliseconds(flow["last"])),
    ("octetDeltaCount", False): ("in_bytes", lambda flow: flow["in_bytes"]),
    ("octetDeltaCount", True): ("out_bytes", lambda flow: flow["out_bytes"]),
    ("packetDeltaCount", False): ("in_packets", lambda flow: flow["in_packets"]),
    ("packetDeltaCount", True): ("out_packets", lambda flow: flow["out_packets"]),
    ("tcpControlBits", False): (TCP, tcp_flags),
    ("ipClassOfService", False): ("src_tos", lambda flow: flow["src_tos"]),
    ("icmpTypeCodeIPv4", False): (ICMP, icmp_type_code),
    ("icmpTypeCodeIPv6", False): (ICMPV6, icmp_type_code),
    ("vlanId", False): ("src_vlan", lambda flow: flow["src_vlan"]),
    ("sourceMacAddress", False): ("in_src_mac", lambda flow: flow["in_src_mac"]),
    ("destinationMacAddress", False): ("in_dst_mac", lambda flow: flow["in_dst_mac"]),
    ("ingressInterface", False): ("input_snmp", lambda flow: flow["input_snmp"]),
    ("egressInterface", False): ("output_snmp", lambda flow: flow["output_snmp"]),
    ("flowDirection", False): ("direction", lambda flow: flow["direction"]),
    ("flowEndReason", False): ("raw end reason", lambda flow: flow["raw end reason"]),
    ("biflowDirection", False): ("raw biFlow Dir", lambda flow: flow["raw biFlow Dir"]),
    ("observationPointId", False): ("observationPointID", lambda flow: flow["observationPointID"]),
    ("mplsTopLabelStackSection", False): ("mpls_1", top_label),
}
NOT_SHOWN = {
    "totals and deltas have one place, which the deltas take, since they stand later":
        forward("octetTotalCount", "packetTotalCount") + reverse("octetTotalCount", "packetTotalCount"),
    "a reverse element that is no counter is taken for its forward one, which then overwrites it":
        reverse("tcpControlBits", "ipClassOfService", "icmpTypeCodeIPv4", "icmpTypeCodeIPv6"),
    "nfdump 1.7.1 has no place for layer-2 octets":
        [*forward("layer2OctetTotalCount", "layer2OctetDeltaCount"),
         *reverse("layer2OctetTotalCount", "layer2OctetDeltaCount")],
    "nfdump 1.7.1 ignores it":
        [*forward("ipTTL", "dot1qVlanId", "postDot1qVlanId", "dot1qCustomerVlanId", "flowLabelIPv6", "flowId",
                  "mplsLabelStackDepth", "layer2SegmentId"), *reverse("ipTTL")],
    "the family shows in the addresses": forward("ipVersion"),
    "nfdump reads type and code from icmpTypeCode":
        [*forward("icmpTypeIPv4", "icmpCodeIPv4", "icmpTypeIPv6", "icmpCodeIPv6"),
         *reverse("icmpTypeIPv4", "icmpCodeIPv4", "icmpTypeIPv6", "icmpCodeIPv6")],
    "nfdump skips enterprise numbers that it does not know":
        [*forward("rheoCommunityId", "rheoFlowSequence", "rheoFlowFirstMilliseconds", "rheoFlowEndedBy", "rheoTcpState",
                  "rheoInitiatorBy", "rheoTcpFlags", "rheoObserved", "rheoMarks", "rheoIcmpIdentifier",
                  "rheoNetworkNamespace", "rheoTunnelType", "rheoTunnelSourceIPv4Address",
                  "rheoTunnelDestinationIPv4Address", "rheoTunnelSourceIPv6Address", "rheoTunnelDestinationIPv6Address",
                  "rheoTunnelSourcePort", "rheoTunnelDestinationPort", "rheoTunnelProtocol", "rheoHostDirection",
                  "rheoSourceClass", "rheoDestinationClass", "rheoSourceAbnormal", "rheoDestinationAbnormal"),
         *reverse("rheoTcpFlags", "rheoObserved", "rheoMarks")],
}


def json_objects(text):
    """nfdump's JSON is a list, or what stands in one, or an object a line: by version and options."""
    decoder, at = json.JSONDecoder(), 0
    while match := re.compile(r"[\s,\[\]]*(?=\{)").match(text, at):
        found, at = decoder.raw_decode(text, match.end())
        yield found


def raw_flows(text):
    """Numbers of the raw form, "name = 0x03 words"."""
    for flow in text.split("Flow Record:")[1:]:
        found = re.findall(r"^ +(end reason|biFlow Dir) += +(0x[0-9a-f]+)", flow, re.M)
        yield {f"raw {name}": int(value, 16) for name, value in found}


def there(flow, where):
    return flow["proto"] == where if isinstance(where, int) else where in flow


def stored(collector, variant):
    """The flows, each with the elements that nfdump shows of this variant."""
    flows, raw = list(json_objects(collector.shown("json"))), list(raw_flows(collector.shown("raw")))
    expect(flows, "nfdump shows nothing")
    expect_equal(len(raw), len(flows), "flows that nfdump shows in raw form")
    shown = SHOWN_OF(variant)
    for flow, more in zip(flows, raw):
        flow.update(more)
        yield {form: read(flow) for form, (where, read) in SHOWN.items() if form in shown and there(flow, where)}


SHOWN_OF = shown_forms(SHOWN, NOT_SHOWN)


def conserve(collector, json_records, variant):
    """Octets and packets that nfdump sums are those of all records."""
    wanted = expected_records(json_records, *variant).values()
    sums = collector.sums()
    for unit, name in (("packets", "packetDeltaCount"), ("l3_bytes", "octetDeltaCount")):
        sent = sum(fields[name, False] + fields.get((name, True), 0) for fields in wanted)
        expect_equal(sums[unit], sent, f"{unit} that nfdump sums")


def name_interfaces(collector):
    """By what the options tell; 0 is no interface."""
    numbers = re.findall(r"^ +(?:input|output) += +(\d+) *(.*)$", collector.shown("raw"), re.M)
    expect_equal({name for number, name in numbers if int(number)}, {"east (veth)"}, "interface names of nfdump")


def main():
    rig = Rig()
    comparison = Comparison(rig, "nfcapd", "nfdump")
    collectors = {}
    with rig.case("udp, flows of every kind") as case:
        comparison.need_programs()
        near, far = rig.pair()
        for number, variant in enumerate(VARIANTS):
            folder = rig.case_folder(case) / name_of(variant)
            collectors[variant] = Nfcapd(near, folder, FIRST_PORT + number)
        endpoints = {variant: f"udp://127.0.0.1:{collector.port}" for variant, collector in collectors.items()}
        records = meter_every_kind(rig, f"{case} rheod", near, far, endpoints)
        for variant, collector in collectors.items():
            collector.stop()
            conserve(collector, records, variant)
            name_interfaces(collector)
        comparison.remember(records, {variant: lambda of=variant: stored(collectors[of], of) for variant in VARIANTS})
    comparison.cases(SHOWN_OF, "udp")
    rig.end()


if __name__ == "__main__":
    main()
