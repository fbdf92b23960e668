#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What nfacctd of pmacct takes from messages over UDP is what the JSON records of the same flows have, element by
element, in every profile and with both kinds of biflow: by its own primitives, which know neither RFC 5103 nor rheo's
elements, and for all else by primitives made for the test, as its users make them (aggregate_primitives)."""
import json
import signal

from collectors import udp_socket, wait_for, wait_read
from ipfix_expected import PEN, elements, expected_records, forms, protocol_number, shown_forms, text_of_address
from ipfix_live import FIRST_PORT, VARIANTS, Comparison, meter_every_kind, name_of
from rig import Rig, expect_equal

REVERSE_PEN = 29305


def milliseconds(text):
    return round(float(text) * 1000)


def protocol(text):
    """A name of /etc/protocols, or a number."""
    return int(text) if text.isdigit() else protocol_number({"ipv6-icmp": "icmpv6"}.get(text, text))


# Form -> nfacctd's own primitive, what its JSON calls that, and how the value is read.
OWN = {
    ("sourceIPv4Address", False): ("src_host", "ip_src", text_of_address),
    ("destinationIPv4Address", False): ("dst_host", "ip_dst", text_of_address),
    ("sourceIPv6Address", False): ("src_host", "ip_src", text_of_address),
    ("destinationIPv6Address", False): ("dst_host", "ip_dst", text_of_address),
    ("sourceTransportPort", False): ("src_port", "port_src", int),
    ("destinationTransportPort", False): ("dst_port", "port_dst", int),
    ("protocolIdentifier", False): ("proto", "ip_proto", protocol),
    ("flowStartMilliseconds", False): ("timestamp_start", "timestamp_start", milliseconds),
    ("flowEndMilliseconds", False): ("timestamp_end", "timestamp_end", milliseconds),
    ("octetDeltaCount", False): (None, "bytes", int),
    ("packetDeltaCount", False): (None, "packets", int),
    ("tcpControlBits", False): ("tcpflags", "tcp_flags", int),
    ("ipClassOfService", False): ("tos", "tos", int),
    # The VLAN is this one's with flowDirection 0, and postDot1qVlanId's with 1.
    ("vlanId", False): ("vlan", "vlan", int),
    ("sourceMacAddress", False): ("src_mac", "mac_src", str),
    ("destinationMacAddress", False): ("dst_mac", "mac_dst", str),
    ("ingressInterface", False): ("in_iface", "iface_in", int),
    ("egressInterface", False): ("out_iface", "iface_out", int),
}
ALL_FORMS = forms("full", "rfc5103")
NOT_SHOWN = {"nfacctd ends where there are 64 primitives": [
    ("rheoSourceAbnormal", False), ("rheoDestinationAbnormal", False), ("rheoHostDirection", False)]}
SHOWN = ALL_FORMS - {form for forms_of_reason in NOT_SHOWN.values() for form in forms_of_reason}


def primitive(form):
    """The line of aggregate_primitives for a form, and how its value is read."""
    name, reverse = form
    element = elements()[name]
    number = element.number | (0x4000 if element.own and reverse else 0)
    owner = f"{PEN}:" if element.own else f"{REVERSE_PEN}:" if reverse else ""
    if name == "rheoCommunityId":
        semantics, read = "str", str
    elif name.endswith("Address"):
        semantics, read = "ip", text_of_address
    elif element.octets in (1, 2, 4, 8):
        semantics, read = "u_int", int
    else:
        semantics, read = "raw", lambda text: int(text.replace("-", ""), 16)
    line = f"name={label(form)} field_type={owner}{number} len={element.octets} semantics={semantics}\n"
    return line, read


def label(form):
    return ("r_" if form[1] else "") + form[0].lower()


# nfacctd takes a string to end with a zero, and finds it where the next primitive's value begins.
STRING_AND_ZERO = (("rheoCommunityId", False), ("rheoFlowSequence", False))
MADE = {form: primitive(form) for form in (*sorted(SHOWN - OWN.keys() - set(STRING_AND_ZERO)), *STRING_AND_ZERO)}
SHOWN_OF = shown_forms(SHOWN, NOT_SHOWN)


class Nfacctd:
    """Listens on loopback of a namespace and prints every flow record by itself: its start and end points are keys."""

    def __init__(self, namespace, folder, port, variant):
        self.namespace, self.port, self.variant = namespace, port, variant
        self.printed = folder / "printed.json"
        folder.mkdir(parents=True)
        made = [form for form in MADE if form in SHOWN_OF(variant)]
        (folder / "primitives").write_text("".join(MADE[form][0] for form in made))
        own = {OWN[form][0] for form in OWN if form in SHOWN_OF(variant)} - {None}
        settings = {"nfacctd_ip": "127.0.0.1", "nfacctd_port": port, "plugins": "print", "print_output": "json",
                    "aggregate": ",".join([*sorted(own), *map(label, made)]),
                    "print_output_file": self.printed, "print_output_file_append": "true", "print_refresh_time": 1,
                    "timestamps_since_epoch": "true", "plugin_pipe_size": 16 << 20}
        if made:
            settings["aggregate_primitives"] = folder / "primitives"
        (folder / "nfacctd.conf").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        self.log = folder.parent / f"stderr.nfacctd-{folder.name}"
        with open(self.log, "wb") as log:
            self.process = namespace.start(["nfacctd", "-f", folder / "nfacctd.conf"], stdout=log, stderr=log)
        wait_for(lambda: self.process.poll() is not None or udp_socket(namespace, port), "nfacctd listens")
        expect_equal(self.process.poll(), None, f"nfacctd's exit status, {self.log.read_text()[-300:]}")

    def stop_when_printed(self, flows):
        wait_read(self.namespace, self.port)
        wait_for(lambda: self.printed.exists() and self.printed.read_bytes().count(b"\n") >= flows,
                 f"nfacctd prints {flows} flows of {name_of(self.variant)}")
        self.process.send_signal(signal.SIGINT)

    def wait(self):
        expect_equal(self.process.wait(timeout=60), 0, "nfacctd's exit status")

    def records(self):
        shown = SHOWN_OF(self.variant)
        for flow in map(json.loads, self.printed.read_text().splitlines()):
            flow.setdefault("vlan", flow.get("vlan_in"))  # the name since 1.7.8
            fields = {form: read(flow[where]) for form, (_, where, read) in OWN.items()
                      if form in shown and of_family(form, flow)}
            fields.update((form, read(flow[label(form)])) for form, (_, read) in MADE.items() if form in shown)
            yield {form: 0 if value in ("::", "0.0.0.0", "") else value for form, value in fields.items()}


def of_family(form, flow):
    """nfacctd has one place for addresses of both families."""
    return "IPv" not in form[0] or ("IPv6" in form[0]) == (":" in flow["ip_src"])


def main():
    rig = Rig()
    comparison = Comparison(rig, "nfacctd")
    with rig.case("udp, flows of every kind") as case:
        comparison.need_programs()
        near, far = rig.pair()
        collectors = {variant: Nfacctd(near, rig.case_folder(case) / name_of(variant), FIRST_PORT + number, variant)
                      for number, variant in enumerate(VARIANTS)}
        endpoints = {variant: f"udp://127.0.0.1:{collector.port}" for variant, collector in collectors.items()}
        records = meter_every_kind(rig, f"{case} rheod", near, far, endpoints)
        for variant, collector in collectors.items():
            collector.stop_when_printed(len(expected_records(records, *variant)))
        for collector in collectors.values():
            collector.wait()
        comparison.remember(records, {variant: collector.records for variant, collector in collectors.items()})
    comparison.cases(SHOWN_OF, "udp")
    rig.end()


if __name__ == "__main__":
    main()
