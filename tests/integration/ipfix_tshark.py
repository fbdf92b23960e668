#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every element of every profile, over TCP and in a file, as tshark decodes it and as the JSON record of the same flow
has it. tshark captures the connections itself. Elements under an enterprise number that it does not know are octets
to it; their numbers and lengths are what is held against rheo-ipfix(5)."""
import calendar
import ipaddress
import pathlib
import re
import signal
import time
import xml.etree.ElementTree

from collectors import TcpSink, sleeps, wait_for
from ipfix_expected import elements, forms
from ipfix_live import FIRST_PORT, VARIANTS, Comparison, meter_every_kind, name_of
from rig import Rig, expect, expect_equal, run

# What tshark calls the elements.
FIELDS = {
    "octetTotalCount": "permanent_octets",
    "packetTotalCount": "permanent_packets",
    "layer2OctetTotalCount": "layer2_octet_total_count",
    "sourceIPv4Address": "srcaddr",
    "destinationIPv4Address": "dstaddr",
    "sourceIPv6Address": "srcaddrv6",
    "destinationIPv6Address": "dstaddrv6",
    "sourceTransportPort": "srcport",
    "destinationTransportPort": "dstport",
    "protocolIdentifier": "protocol",
    "ipVersion": "ip_version",
    "flowStartMilliseconds": "abstimestart",
    "flowEndMilliseconds": "abstimeend",
    "octetDeltaCount": "octets",
    "packetDeltaCount": "packets",
    "layer2OctetDeltaCount": "layer2_octet_delta_count",
    "tcpControlBits": "tcpflags",
    "ipClassOfService": "tos",
    "ipTTL": "ip_ttl",
    "icmpTypeCodeIPv4": "icmp_type_code_ipv4",
    "icmpTypeIPv4": "icmp_ipv4_type",
    "icmpCodeIPv4": "icmp_ipv4_code",
    "dot1qVlanId": "dot1q_vlan_id",
    "vlanId": "vlanid",
    "postDot1qVlanId": "post_dot1q_vlan_id",
    "dot1qCustomerVlanId": "dot1q_customer_vlan_id",
    "sourceMacAddress": "srcmac",
    "destinationMacAddress": "dstmac",
    "ingressInterface": "inputint",
    "egressInterface": "outputint",
    "flowDirection": "direction",
    "flowEndReason": "flow_end_reason",
    "biflowDirection": "biflow_direction",
    "flowLabelIPv6": "ipv6flowlabel",
    "flowId": "flow_id",
    "observationPointId": "observation_point_id",
    "mplsLabelStackDepth": "mpls_label_depth",
    "layer2SegmentId": "layer2_segment_id",
}
ELEMENT_OF = {f"cflow.{field}": name for name, field in FIELDS.items()}
MPLS_SHIFTS = {"cflow.mpls_label": 4, "cflow.mpls_exp": 1, "cflow.mpls_bos": 0}
PRIVATE = "cflow.enterprise_private_entry"
OWNER = "(Example Enterprise Number for Documentation Use) Type"  # what tshark calls the number 32473


def value_of(name, text):
    if name.endswith("Address"):
        return text
    if name.endswith("Milliseconds"):
        seconds, fraction = re.fullmatch(r"(.*)\.(\d{3})000000 UTC", text).groups()
        return calendar.timegm(time.strptime(seconds, "%b %d, %Y %H:%M:%S")) * 1000 + int(fraction)
    return int(text, 0)


def private_entry(field):
    """An element under the private enterprise number."""
    expect(OWNER in field.get("showname"), f"whose element is this: {field.get('showname')}")
    number = int(re.search(r"Type (\d+):", field.get("showname"))[1])
    name = next(name for name, element in elements().items() if element.own and element.number == number & 0x3FFF)
    octets = bytes.fromhex(field.get("value"))
    expect_equal(len(octets), elements()[name].octets, f"octets of {name}")
    if name == "rheoCommunityId":
        value = octets.decode()
    else:
        value = str(ipaddress.ip_address(octets)) if name.endswith("Address") else int.from_bytes(octets, "big")
    return (name, bool(number & 0x4000)), value


def reverse_of(field):
    """The number of the element whose reverse form this is, or 0."""
    found = re.search(r"\(Reverse Type (\d+)", field.get("showname", ""))
    return int(found[1]) if found else 0


class FlowReader:
    """One flow of a data set. Three elements are shown in parts: icmpTypeCodeIPv6 as a type and a code, as
    icmpTypeIPv6 and icmpCodeIPv6 behind it are, and the MPLS label as label, class and end of stack."""

    def __init__(self):
        self.fields = {}
        self._icmp_type = 0
        self._label = 0

    def read(self, field):
        name, text = field.get("name"), field.get("show")
        if name == PRIVATE:
            self._put(*private_entry(field))
        elif name == "cflow.icmp_ipv6_type":
            self._icmp_type = int(text)
        elif name == "cflow.icmp_ipv6_code":
            self._icmp6(int(text), reverse_of(field) != 0)
        elif name in MPLS_SHIFTS:
            value = {"False": 0, "True": 1}.get(text) if text.isalpha() else int(text)  # words since 4.4
            self._label |= value << MPLS_SHIFTS[name]
            if name == "cflow.mpls_bos":
                self._put(("mplsTopLabelStackSection", False), self._label)
        elif name in ELEMENT_OF:
            element, number = ELEMENT_OF[name], reverse_of(field)
            if number:
                expect_equal(number, elements()[element].number, f"number of the reverse {element}")
            self._put((element, number != 0), value_of(element, text))

    def _icmp6(self, code, reverse):
        if ("icmpTypeCodeIPv6", reverse) not in self.fields:
            self._put(("icmpTypeCodeIPv6", reverse), self._icmp_type << 8 | code)
        else:
            self._put(("icmpTypeIPv6", reverse), self._icmp_type)
            self._put(("icmpCodeIPv6", reverse), code)

    def _put(self, form, value):
        expect(form not in self.fields, f"a record has {form} twice")
        self.fields[form] = value


def decoded(*options):
    """The flow records that tshark sees: those in sets of the templates below 512. Its default takes no template of
    more than 60 fields (rheo-ipfix(5) says so)."""
    text = run(["tshark", "-n", *options, "-o", "cflow.max_template_fields:128", "-T", "pdml"], timeout=60)
    records = []
    for messages in xml.etree.ElementTree.fromstring(text).iterfind("packet/proto[@name='cflow']"):
        wrong = [field.get("showname") for field in messages.iter("field") if field.get("name") == "_ws.expert"]
        expect_equal(wrong, [], "what tshark finds wrong")
        for data_set in messages.iterfind("field"):
            number = re.match(r"Set \d+ \[id=(\d+)\]", data_set.get("show", ""))
            if not number or not 256 <= int(number[1]) < 512:
                continue
            for flow in data_set.iterfind("field"):
                if re.match(r"Flow \d+$", flow.get("show", "")):
                    reader = FlowReader()
                    for field in flow.iter("field"):
                        reader.read(field)
                    records.append(reader.fields)
    return records


class Capture:
    """tshark on loopback, into a file."""

    def __init__(self, namespace, file):
        self._file = file
        self._said = open(file.with_suffix(".log"), "w+")
        self._process = namespace.start(["tshark", "-n", "-q", "-i", "lo", "-B", 32, "-w", file, "-f", "tcp"],
                                        stdout=self._said, stderr=self._said)
        wait_for(lambda: self._process.poll() is not None or file.exists() and file.stat().st_size > 0 and
                 "Capturing on" in pathlib.Path(self._said.name).read_text(), "tshark captures")
        expect_equal(self._process.poll(), None, "tshark's exit status")

    def stop(self):
        self._wait_read()
        self._process.send_signal(signal.SIGINT)
        expect_equal(self._process.wait(timeout=60), 0, "tshark's exit status")
        said = pathlib.Path(self._said.name).read_text()
        expect("dropped" not in said, f"tshark's capture is not whole: {said}")

    def _wait_read(self):
        """Until what captures for it sleeps, and has written nothing for half a second: what lies in its ring comes with
        the ring's clock."""
        sizes = []

        def quiet():
            time.sleep(0.1)
            sizes.append(self._file.stat().st_size)
            capturing = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            return len(sizes) > 5 and len(set(sizes[-5:])) == 1 and all(sleeps(child) for child in capturing)
        wait_for(quiet, "tshark has read everything")


def run_over_tcp(rig, case, comparison):
    near, far = rig.pair()
    folder = rig.case_folder(case)
    folder.mkdir()
    ports = {variant: FIRST_PORT + number for number, variant in enumerate(VARIANTS)}
    sinks = [TcpSink(near, "/dev/null", port) for port in ports.values()]
    file = folder / "loopback.pcapng"
    capture = Capture(near, file)
    endpoints = {variant: f"tcp://127.0.0.1:{port}" for variant, port in ports.items()}
    records = meter_every_kind(rig, f"{case} rheod", near, far, endpoints)
    for sink in sinks:
        sink.wait()
    capture.stop()
    comparison.remember(records, {
        variant: lambda port=port: decoded("-r", file, "-d", f"tcp.port=={port},cflow", "-Y", f"tcp.dstport=={port}")
        for variant, port in ports.items()})


def run_into_files(rig, case, comparison):
    near, far = rig.pair()
    folder = rig.case_folder(case)
    folder.mkdir()
    files = {variant: folder / f"{name_of(variant)}.ipfix" for variant in VARIANTS}
    endpoints = {variant: f"file:{file}" for variant, file in files.items()}
    records = meter_every_kind(rig, f"{case} rheod", near, far, endpoints)
    comparison.remember(records, {variant: lambda file=file: decoded("-r", file) for variant, file in files.items()})


def main():
    rig = Rig()
    for scheme, run_one in (("tcp", run_over_tcp), ("file", run_into_files)):
        comparison = Comparison(rig, "tshark")
        with rig.case(f"{scheme}, flows of every kind") as case:
            comparison.need_programs()
            run_one(rig, case, comparison)
        comparison.cases(lambda variant: forms(variant[1], variant[0]), scheme, exact=True)
    rig.end()


if __name__ == "__main__":
    main()
