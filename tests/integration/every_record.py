# SPDX-License-Identifier: Apache-2.0
"""Frames whose flows have a record of every kind that an IPFIX template stands for (family, transport, carrier), and
in each direction values other than 0; and what sends them past a rheod. Every flow has addresses of its own, so that
a collector that shows nothing else tells them apart."""
import dataclasses
import struct
import subprocess
import sys

from rig import TOP, expect_equal

sys.path.insert(0, str(TOP / "tests" / "golden"))
from packets import (ACK, ESP, FIN, FRAGMENT, GRE, ICMP, ICMPV6, IPIP, IPV6, PSH, RST, SCTP, SYN, TCP,  # noqa: E402
                     UDP, URG, eth, ethertype_of, fragment6, geneve, gre, icmp, ip, ipv4, ipv6, mpls, sctp, tag, tcp, udp,
                     vxlan)

ECE, CWR, AE = 0x40, 0x80, 0x100
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8:ffff::1", "2001:db8:ffff::2")}
OUTER_HEAD = {4: {"ttl": 40, "tos": 0x50}, 6: {"hops": 41, "traffic_class": 0x54}}

# Sends the frames that it reads, a line of hexadecimal digits each.
SENDER = """import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
    packets.bind((sys.argv[1], 0))
    for line in sys.stdin:
        packets.send(bytes.fromhex(line))
"""


@dataclasses.dataclass
class Flow:
    """Frames from its initiator, then from its responder. The initiator is in the namespace of rheod, or beyond the
    veth pair; rheod sees the one's packets on their way out and the other's on their way in."""
    there: list
    back: list
    from_far: bool = False


class Ends:
    """A flow's addresses: a pair that no other flow has, of different last octets, which are the MACs' too."""
    number = 0

    def __init__(self, family):
        Ends.number += 1
        high, low = divmod(Ends.number, 250)
        self.family = family
        self.pair = ((f"10.1.{high}.{low + 1}", f"10.2.{high}.{(low + 99) % 250 + 1}") if family == 4 else
                     (f"2001:db8:1::{Ends.number:x}", f"2001:db8:2::{Ends.number + 99:x}"))

    def packet(self, back, protocol, body):
        source, destination = reversed(self.pair) if back else self.pair
        if self.family == 4:
            return ipv4(source, destination, protocol, body, ttl=61 if back else 57, tos=0x29 if back else 0xB8)
        return ipv6(source, destination, protocol, body, hops=62 if back else 58, traffic_class=0x2A if back else 0xBA,
                    label=0x2345 if back else 0x12345)


def tcp_body(back, step):
    ports = (443, 40001) if back else (40001, 443)
    flags = ((SYN | ACK, PSH | ACK | ECE, AE | ACK) if back else (SYN, ACK | URG | CWR, PSH | ACK | AE))[step % 3]
    return TCP, tcp(*ports, flags, bytes(30 * step + (7 if back else 3)))


def udp_body(back, step):
    return UDP, udp(*((53, 40002) if back else (40002, 53)), bytes(11 * step + (100 if back else 20)))


def sctp_body(back, step):
    return SCTP, sctp(*((36412, 40003) if back else (40003, 36412)), bytes(16 * (step + 1 + back)))


def icmp_body(back, step):  # timestamps: of an echo, one type is 0
    return ICMP, icmp(14 if back else 13, 0, 77, bytes(12 + step), step)


def icmp6_body(back, step):
    return ICMPV6, icmp(129 if back else 128, 0, 78, bytes(50 + step), step)


def esp_body(back, step):
    return ESP, struct.pack(">II", 0x1000 + back, step) + bytes(40 + 8 * step)


def unreachable_body(family):
    """The same error both ways: a type and a code that are not 0."""
    def body(back, step):
        if family == 4:
            return ICMP, icmp(3, 3, 0, bytes(28 + 4 * step))
        return ICMPV6, icmp(1, 4, 0, bytes(40 + 4 * step))
    return body


def bodies(family):
    return tcp_body, udp_body, icmp_body if family == 4 else icmp6_body, esp_body


def flow_of(family, body, wrap=eth, there=3, back=2, from_far=False):
    """wrap(packet, back) makes the frame of an IP packet."""
    ends = Ends(family)
    framed = [[wrap(ends.packet(way, *body(way, step)), *([way] if wrap is not eth else [])) for step in range(count)]
              for way, count in ((False, there), (True, back))]
    return Flow(*framed, from_far=from_far)


def carried_by(outer_family, protocol, around):
    """A wrap: around(packet) in an IP packet between the tunnel's end points."""
    def wrap(packet, back):
        ends = reversed(OUTER[outer_family]) if back else OUTER[outer_family]
        return eth(ip(*ends, protocol, around(packet, back), **OUTER_HEAD[outer_family]))
    return wrap


def datagram(port, around):
    """A tunnel's datagrams come from ports of both kernels' own choice."""
    return UDP, lambda packet, back: udp(55002 if back else 55001, port, around(packet))


TUNNELS = (
    datagram(4789, lambda packet: vxlan(0x123456, eth(packet))),
    datagram(6081, lambda packet: geneve(0x654321, eth(packet))),
    (GRE, lambda packet, back: gre(ethertype_of(packet), packet, key=0xABCDEF01)),
    (GRE, lambda packet, back: gre(0x6558, eth(packet), key=0x01020304)),  # NVGRE
    (None, lambda packet, back: packet),  # IPIP, 6in4, 4in6, 6in6
)


def tunnelled():
    """Each tunnel over each family, each transport in each; every tunnel type with both families inside."""
    for outer in (4, 6):
        for family in (4, 6):
            for body in bodies(family):
                for protocol, around in TUNNELS:
                    yield flow_of(family, body, carried_by(outer, protocol or (IPIP if family == 4 else IPV6), around))


def tagged():
    """VLAN, two VLANs, MPLS with one label and with two."""
    wraps = (lambda packet, back: eth(packet, tags=tag(0x6000 | 100)),
             lambda packet, back: eth(packet, tags=tag(300, 0x88A8) + tag(400)),
             lambda packet, back: eth(mpls([70_001], packet), ethertype=0x8847),
             lambda packet, back: eth(mpls([70_002, 80_002], packet), ethertype=0x8847))
    for family in (4, 6):
        for body in bodies(family):
            for wrap in wraps:
                yield flow_of(family, body, wrap)


def plain():
    """Both ways and one way, begun on either side."""
    for family in (4, 6):
        for body in (*bodies(family), sctp_body, unreachable_body(family)):
            for from_far in (False, True):
                for back in (2, 0):
                    yield flow_of(family, body, back=back, from_far=from_far)


def marked():
    """First fragments, WireGuard, a tunnel that cannot be decoded."""
    def fragment(ends, way):
        data = udp(40005, 53, bytes(1024))
        if ends.family == 4:
            source, destination = reversed(ends.pair) if way else ends.pair
            return eth(ipv4(source, destination, UDP, data, ident=5, more=True, ttl=33))
        return eth(ends.packet(way, FRAGMENT, fragment6(UDP, 5, 0, True) + data))

    def wireguard(ends, way):
        return eth(ends.packet(way, UDP, udp(*((51820, 40006) if way else (40006, 51820)), b"\4\0\0\0" + bytes(28))))

    def undecoded(ends, way):
        return eth(ends.packet(way, UDP, udp(55003, 4789, bytes(12))))

    for family in (4, 6):
        for make in (fragment, wireguard, undecoded):
            ends = Ends(family)
            yield Flow([make(ends, False)] * 2, [make(ends, True)])


def closing_flows():
    """Connections that end, by FIN and by RST."""
    for family in (4, 6):
        for last in (FIN | ACK, RST | ACK):
            def body(back, step, last=last):
                flags = (SYN | (ACK if back else 0), last)[min(step, 1)]
                return TCP, tcp(*((443, 40004) if back else (40004, 443)), flags)
            yield flow_of(family, body, there=2, back=2 if last & FIN else 1)


def lasting_flows():
    """Those that can go on for a second record."""
    Ends.number = 0
    return [*plain(), *tagged(), *tunnelled(), *marked()]


def send_frames(namespace, interface, frames):
    sender = namespace.start([sys.executable, "-c", SENDER, interface], stdin=subprocess.PIPE, text=True)
    sender.communicate("\n".join(frame.hex() for frame in frames), timeout=30)
    expect_equal(sender.returncode, 0, "exit status of the sender of frames")


def send_flows(near, far, flows):
    """Returns packets and layer-2 octets that went past the interface of `near`."""
    def frames(way, from_far):
        return [frame for flow in flows if flow.from_far == from_far for frame in getattr(flow, way)]

    for namespace, interface, sent in ((near, "east", frames("there", False)),
                                       (far, "west", frames("back", False) + frames("there", True)),
                                       (near, "east", frames("back", True))):
        send_frames(namespace, interface, sent)
    every = [frame for flow in flows for frame in flow.there + flow.back]
    return {"packets": len(every), "l2_bytes": sum(map(len, every))}
