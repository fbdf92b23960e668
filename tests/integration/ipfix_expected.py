# SPDX-License-Identifier: Apache-2.0
"""What IPFIX records must say, from two sources that know nothing of the encoder: the tables of rheo-ipfix(5) (which
elements, in which profile, with which numbers) and the JSON records of the same flows (the values). Records are dicts
of (element's name, is it the reverse form) -> value: addresses, MACs and strings as text, times in milliseconds, all
others as integers."""
import calendar
import collections
import dataclasses
import functools
import ipaddress
import re
import sys
import time

from rig import TOP, expect, expect_equal

sys.path.insert(0, str(TOP / "tests" / "golden"))
from replay import PROTOCOLS  # noqa: E402

PROFILES = ("compact", "standard", "full")
BIFLOWS = ("rfc5103", "split")
PEN = 32473
# In no record of these tests other than 0.
ALWAYS_ZERO = {"rheoNetworkNamespace",  # rheod meters in its own namespace
               "rheoSourceAbnormal", "rheoDestinationAbnormal"}  # no address is on a list

Element = collections.namedtuple("Element", "name number own octets reversible profile meaning")


@functools.cache
def elements(profile="full"):
    """Name -> element, as rheo-ipfix(5) has them."""
    page = (TOP / "man" / "rheo-ipfix.5.scd").read_text()
    rows = re.findall(r"^\|  (\w+)\n:  (PEN/)?(\d+)\n:  (\d+|variable)\n:  (yes|no)\n:  (\w+)\n:  (.*)$", page, re.M)
    allowed = PROFILES[:PROFILES.index(profile) + 1]
    found = {name: Element(name, int(number), bool(own), int(octets), reverse == "yes", smallest, meaning)
             for name, own, number, octets, reverse, smallest, meaning in rows if smallest in allowed}
    expect(found, "rheo-ipfix(5) has no table of elements")
    return found


@functools.cache
def number_of(element, word):
    """The number that the meaning of an element gives to a word: "1 closed, 2 listen …"."""
    words = {text.lower().replace("_", " "): int(number)
             for number, text in re.findall(r"(\d+) (\w[\w ]*?)(?=[,;]|$)", elements()[element].meaning)}
    return words[word.lower().replace("_", " ")]


def word_number(element, word):
    """The same, of one that a record may not have."""
    return number_of(element, word) if word else 0


def forms(profile, biflow):
    """Every (name, reverse form) of a profile."""
    both = biflow == "rfc5103"
    return {(name, reverse) for name, element in elements(profile).items()
            for reverse in ((False, True) if both and element.reversible else (False,))}


def milliseconds(stamp):
    whole, fraction = stamp.removesuffix("Z").split(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1000 + int(fraction[:3])


def text_of_address(text):
    return str(ipaddress.ip_address(text))


@dataclasses.dataclass(frozen=True)
class View:
    """A JSON record, told from one direction: `turned` for the second record of biflow = "split"."""
    record: dict
    reverse: bool = False  # which direction's counts
    turned: bool = False  # whether source and destination have changed places

    def get(self, field, default=0):
        return self.record.get(field, default)

    def counted(self, field, default=0):
        return self.get(("flow.reverse." if self.reverse else "flow.") + field, default)

    def end(self, field, default=0):
        """source.address of a turned record is the destination's."""
        side, _, rest = field.rpartition(".")
        swapped = {"source": "destination", "destination": "source", "tunnel.source": "tunnel.destination",
                   "tunnel.destination": "tunnel.source"}
        return self.get(f"{swapped[side] if self.turned else side}.{rest}", default)

    def bits(self, element, field):
        return sum(number_of(element, word) for word in self.counted(field, []))

    def hooks(self):
        """Those of this direction, or, where it has no packets, what the other's are not."""
        if own := self.counted("observed", []):
            return own
        other = {"ingress": "egress", "egress": "ingress"}
        return [other[hook] for hook in dataclasses.replace(self, reverse=not self.reverse).counted("observed", [])]

    def link(self):
        return self.get("network.interface.index") + (self.get("network.interface.netns.id") << 24)

    def label(self):
        return self.get("network.mpls.label.id") << 4 | (self.get("network.mpls.depth") == 1)

    def segment(self):
        return {"vxlan": 1, "nvgre": 2}.get(self.get("tunnel.type"), 0) << 56 | self.get("tunnel.id")


def protocol_number(name):
    return PROTOCOLS[name] if name in PROTOCOLS else int(name)


def icmp_type_code(view):
    return view.counted("icmp.type.id") << 8 | view.counted("icmp.code.id")


VALUES = {
    "octetTotalCount": lambda v: v.counted("bytes.total"),
    "packetTotalCount": lambda v: v.counted("packets.total"),
    "layer2OctetTotalCount": lambda v: v.counted("layer2.bytes.total"),
    "sourceIPv4Address": lambda v: v.end("source.address"),
    "destinationIPv4Address": lambda v: v.end("destination.address"),
    "sourceIPv6Address": lambda v: v.end("source.address"),
    "destinationIPv6Address": lambda v: v.end("destination.address"),
    "sourceTransportPort": lambda v: v.end("source.port"),
    "destinationTransportPort": lambda v: v.end("destination.port"),
    "protocolIdentifier": lambda v: protocol_number(v.get("network.transport")),
    "ipVersion": lambda v: {"ipv4": 4, "ipv6": 6}[v.get("network.type")],
    "flowStartMilliseconds": lambda v: milliseconds(v.get("start")),
    "flowEndMilliseconds": lambda v: milliseconds(v.get("end")),
    "octetDeltaCount": lambda v: v.counted("bytes.delta"),
    "packetDeltaCount": lambda v: v.counted("packets.delta"),
    "layer2OctetDeltaCount": lambda v: v.counted("layer2.bytes.delta"),
    "tcpControlBits": lambda v: v.counted("tcp.flags.bits") & 0xFF,
    "ipClassOfService": lambda v: v.counted("ip.dscp.id") << 2 | v.counted("ip.ecn.id"),
    "ipTTL": lambda v: v.counted("ip.ttl"),
    "icmpTypeCodeIPv4": icmp_type_code,
    "icmpTypeCodeIPv6": icmp_type_code,
    "icmpTypeIPv4": lambda v: v.counted("icmp.type.id"),
    "icmpCodeIPv4": lambda v: v.counted("icmp.code.id"),
    "icmpTypeIPv6": lambda v: v.counted("icmp.type.id"),
    "icmpCodeIPv6": lambda v: v.counted("icmp.code.id"),
    "dot1qVlanId": lambda v: v.get("network.vlan.id"),
    "vlanId": lambda v: v.get("network.vlan.id"),
    "postDot1qVlanId": lambda v: v.get("network.vlan.id") if v.hooks() == ["egress"] else 0,
    "dot1qCustomerVlanId": lambda v: v.get("network.vlan.inner.id"),
    "sourceMacAddress": lambda v: v.end("source.mac", "00:00:00:00:00:00"),
    "destinationMacAddress": lambda v: v.end("destination.mac", "00:00:00:00:00:00"),
    "ingressInterface": lambda v: v.link() if "ingress" in v.hooks() else 0,
    "egressInterface": lambda v: v.link() if "egress" in v.hooks() else 0,
    "flowDirection": lambda v: 1 if v.hooks() == ["egress"] else 0,
    "flowEndReason": lambda v: number_of("flowEndReason", v.get("flow.end_reason")),
    "biflowDirection": lambda v: 2 if v.turned else 1,
    "flowLabelIPv6": lambda v: v.get("flow.ip.flow_label"),
    "flowId": lambda v: int(v.get("flow.id"), 16),
    "observationPointId": View.link,
    "mplsTopLabelStackSection": View.label,
    "mplsLabelStackDepth": lambda v: v.get("network.mpls.depth"),
    "layer2SegmentId": View.segment,
    "rheoCommunityId": lambda v: v.get("flow.community_id"),
    "rheoFlowSequence": lambda v: v.get("flow.sequence"),
    "rheoFlowFirstMilliseconds": lambda v: milliseconds(v.get("flow.start")),
    "rheoFlowEndedBy": lambda v: number_of("rheoFlowEndedBy", v.get("flow.end_by")) if v.get("flow.end_by") else 0,
    "rheoTcpState": lambda v: number_of("rheoTcpState", v.get("flow.connection.state")),
    "rheoInitiatorBy": lambda v: number_of("rheoInitiatorBy", v.get("flow.initiator_by")),
    "rheoTcpFlags": lambda v: v.counted("tcp.flags.bits"),
    "rheoObserved": lambda v: v.bits("rheoObserved", "observed"),
    "rheoMarks": lambda v: v.bits("rheoMarks", "marks"),
    "rheoIcmpIdentifier": lambda v: v.get("flow.icmp.id"),
    "rheoNetworkNamespace": lambda v: v.get("network.interface.netns.id"),
    "rheoTunnelType": lambda v: number_of("rheoTunnelType", v.get("tunnel.type")),
    "rheoTunnelSourceIPv4Address": lambda v: v.end("tunnel.source.address"),
    "rheoTunnelDestinationIPv4Address": lambda v: v.end("tunnel.destination.address"),
    "rheoTunnelSourceIPv6Address": lambda v: v.end("tunnel.source.address"),
    "rheoTunnelDestinationIPv6Address": lambda v: v.end("tunnel.destination.address"),
    "rheoTunnelSourcePort": lambda v: v.end("tunnel.source.port"),
    "rheoTunnelDestinationPort": lambda v: v.end("tunnel.destination.port"),
    "rheoTunnelProtocol": lambda v: protocol_number(v.get("tunnel.network.transport")),
    "rheoHostDirection": lambda v: word_number("rheoHostDirection", v.get("network.direction")),
    "rheoSourceClass": lambda v: word_number("rheoSourceClass", v.end("source.class")),
    "rheoDestinationClass": lambda v: word_number("rheoSourceClass", v.end("destination.class")),
    "rheoSourceAbnormal": lambda v: word_number("rheoSourceAbnormal", v.end("source.abnormal")),
    "rheoDestinationAbnormal": lambda v: word_number("rheoSourceAbnormal", v.end("destination.abnormal")),
}


def kind_of(record):
    """Family, transport and carrier: what a template is for."""
    transport = {"tcp": "tcp", "icmp": "icmp", "icmpv6": "icmp"}.get(record["network.transport"])
    return (record["network.type"], transport or ("ports" if "source.port" in record else "other"),
            record.get("tunnel.network.type"))


# Elements that only some kinds of record have: of a family, of transports, of carriers.
ONLY_IN = {
    "sourceIPv4Address": {"ipv4"}, "destinationIPv4Address": {"ipv4"},
    "sourceIPv6Address": {"ipv6"}, "destinationIPv6Address": {"ipv6"}, "flowLabelIPv6": {"ipv6"},
    "sourceTransportPort": {"tcp", "ports"}, "destinationTransportPort": {"tcp", "ports"},
    "tcpControlBits": {"tcp"}, "rheoFlowEndedBy": {"tcp"}, "rheoTcpState": {"tcp"}, "rheoTcpFlags": {"tcp"},
    "icmpTypeCodeIPv4": {"icmp", "ipv4"}, "icmpTypeIPv4": {"icmp", "ipv4"}, "icmpCodeIPv4": {"icmp", "ipv4"},
    "icmpTypeCodeIPv6": {"icmp", "ipv6"}, "icmpTypeIPv6": {"icmp", "ipv6"}, "icmpCodeIPv6": {"icmp", "ipv6"},
    "rheoIcmpIdentifier": {"icmp"},
}
FAMILIES = {"ipv4", "ipv6"}
ONLY_IN_TUNNELS = {"layer2SegmentId", *(name for name in VALUES if name.startswith("rheoTunnel"))}


def stands_in(name, kind):
    family, transport, carrier = kind
    wanted = ONLY_IN.get(name, set())
    if wanted & FAMILIES and family not in wanted:
        return False
    if wanted - FAMILIES and transport not in wanted:
        return False
    if name in ONLY_IN_TUNNELS:
        return carrier is not None and ("IPv" not in name or carrier[-1] == name.split("IPv")[1][0])
    return True


def key_of(fields):
    """What tells a record from all others, also in the smallest profile."""
    value = lambda *names: next((fields[name, False] for name in names if (name, False) in fields), 0)  # noqa: E731
    return (value("sourceIPv4Address", "sourceIPv6Address"), value("destinationIPv4Address", "destinationIPv6Address"),
            value("sourceTransportPort"), value("destinationTransportPort"), value("protocolIdentifier"),
            value("flowStartMilliseconds"))


def identity_of(fields):
    """What tells a record from all others of any flow table, in the profiles standard and full."""
    return tuple(fields[name, False] for name in ("flowId", "rheoFlowSequence", "biflowDirection"))


def views_of(record, biflow):
    if biflow == "rfc5103":
        return [View(record)]
    views = [View(record), View(record, reverse=True, turned=True)]
    return [view for view in views if view.counted("packets.delta")]


def expected_records(json_records, biflow, profile, key_of=key_of):
    """Key -> record, of all that the exporter must send."""
    wanted = {}
    for record in json_records:
        for view in views_of(record, biflow):
            opposite = dataclasses.replace(view, reverse=not view.reverse)
            fields = {(name, reverse): VALUES[name](opposite if reverse else view)
                      for name, reverse in forms(profile, biflow) if stands_in(name, kind_of(record))}
            key = key_of(fields)
            expect(key not in wanted, f"two records with the key {key}")
            wanted[key] = fields
    return wanted


def by_key(records, key_of=key_of):
    found = {}
    for fields in records:
        key = key_of(fields)
        expect(key not in found, f"the collector shows two records with the key {key}")
        found[key] = fields
    return found


def described(form):
    return f"reverse {form[0]}" if form[1] else form[0]


def expect_same(wanted, found, shown, exact):
    """Each record of `wanted` is in `found`, with those elements that are among `shown`, and their values. exact: what
    a record does not have, the collector does not show as 0. Returns the forms that had a value other than 0."""
    expect_equal(sorted(wanted.keys() - found.keys())[:3], [], "records that the collector does not show")
    expect_equal(sorted(found.keys() - wanted.keys())[:3], [], "records of the collector that nobody sent")
    differences, told = [], set()
    for key, fields in wanted.items():
        extra = sorted(form for form in found[key].keys() - fields.keys() if exact or found[key][form])
        expect_equal(extra, [], f"elements that the record {key} should not have")
        for form in fields.keys() & shown:
            got = found[key].get(form)
            if got != fields[form]:
                differences.append(f"{described(form)} of {key}: {got!r}, expected {fields[form]!r}")
            if fields[form]:
                told.add(form)
    expect(not differences, f"{len(differences)} values differ: {'; '.join(differences[:6])}")
    return told


def expect_told(shown, told):
    expect_equal(sorted(form for form in shown - told if form[0] not in ALWAYS_ZERO), [],
                 "elements that were compared with nothing but 0")


def expect_every_kind(json_records):
    """Each template's records were met."""
    kinds = {kind_of(record) for record in json_records}
    every = {(family, transport, carrier) for family in FAMILIES for transport in ("tcp", "ports", "icmp", "other")
             for carrier in (None, *FAMILIES)}
    expect_equal(sorted(map(str, every - kinds)), [], "kinds of record that were not sent")
    expect_equal(len({record.get("tunnel.type") for record in json_records}), 9, "types of tunnel, and none")
    expect(any(record["flow.sequence"] for record in json_records), "no flow has a second record")


def shown_forms(shown, not_shown):
    """What a collector shows of a variant, as a function of it. `shown`: forms; `not_shown`: reason -> forms. Together
    they must be all of the profile full, so that what is not compared is said to be."""
    named = [form for forms_of_reason in not_shown.values() for form in forms_of_reason]
    every = forms("full", "rfc5103")
    expect_equal(sorted(every - set(shown) - set(named)), [], "elements of which nobody says whether they are shown")
    expect_equal(sorted(set(shown) & set(named)), [], "elements said to be shown and not shown")
    expect_equal(sorted((set(shown) | set(named)) - every), [], "elements that no profile has")
    return lambda variant: forms(variant[1], variant[0]) & set(shown)


def forward(*names):
    return [(name, False) for name in names]


def reverse(*names):
    return [(name, True) for name in names]
