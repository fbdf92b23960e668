# SPDX-License-Identifier: Apache-2.0
"""Packets and capture files as bytes, and what they add up to. Knows nothing of rheo's own code:
the totals kept here are the second judge of what rheod says."""

import ipaddress
import struct

ICMP, IGMP, IPIP, TCP, UDP, DCCP, IPV6, GRE, ESP, AH, ICMPV6 = 1, 2, 4, 6, 17, 33, 41, 47, 50, 51, 58
OSPF, SCTP, UDPLITE = 89, 132, 136
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
MAC_A, MAC_B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


def address(text):
    return ipaddress.ip_address(text).packed


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, destination, protocol, payload, *, options=b"", ident=0, more=False, offset=0, ttl=64, tos=0):
    """offset: of the fragment, in bytes."""
    words = 5 + len(options) // 4
    fragment = (0x2000 if more else 0) | offset // 8
    head = struct.pack(">BBHHHBBH4s4s", 0x40 | words, tos, words * 4 + len(payload), ident, fragment, ttl, protocol, 0,
                       address(source), address(destination)) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv6(source, destination, protocol, payload, *, hops=64, traffic_class=0, label=0):
    return struct.pack(">IHBB16s16s", 6 << 28 | traffic_class << 20 | label, len(payload), protocol, hops,
                       address(source), address(destination)) + payload


def ip(source, destination, protocol, payload, **more):
    make = ipv6 if ":" in source else ipv4
    return make(source, destination, protocol, payload, **more)


def udp(source_port, destination_port, payload=b""):
    return struct.pack(">HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def tcp(source_port, destination_port, flags, payload=b"", seq=0, ack=0, options=b""):
    return struct.pack(">HHIIHHHH", source_port, destination_port, seq, ack, (5 + len(options) // 4) << 12 | flags,
                       65535, 0, 0) + options + payload


def sctp(source_port, destination_port, payload=b"\x01\0\0\x04"):
    return struct.pack(">HHII", source_port, destination_port, 0x1234, 0) + payload


def dccp(source_port, destination_port):
    return struct.pack(">HHBBHBBHII", source_port, destination_port, 5, 0, 0, 1, 0, 0, 1, 0)


def icmp(kind, code, ident=0, payload=b"", seq=1):
    body = struct.pack(">BBHHH", kind, code, 0, ident, seq) + payload
    return body[:2] + struct.pack(">H", checksum(body)) + body[4:]


def extension(following, body_length=8):
    """A hop-by-hop, routing or destination header of padding."""
    return bytes([following, body_length // 8 - 1, 1, body_length - 4]) + b"\0" * (body_length - 4)


def fragment6(following, ident, offset=0, more=False):
    return struct.pack(">BBHI", following, 0, offset | (1 if more else 0), ident)


def ah(following, spi=0x100):
    return struct.pack(">BBHII", following, 4, 0, spi, 1) + b"\0" * 12


def tag(vlan, kind=0x8100):
    return struct.pack(">HH", kind, vlan)


def ethertype_of(packet):
    return 0x0800 if packet[0] >> 4 == 4 else 0x86DD


def mac_of(ip_address):
    return b"\x02\0\0\0\0" + ip_address[-1:]


def eth(packet, *, ethertype=None, tags=b"", pad=0):
    """MACs end like the IP addresses. pad: bytes behind the packet, as a switch adds them up to 60."""
    source, destination = MAC_A, MAC_B
    if ethertype is None:
        ethertype = ethertype_of(packet)
        ends = (packet[12:16], packet[16:20]) if ethertype == 0x0800 else (packet[8:24], packet[24:40])
        source, destination = map(mac_of, ends)
    return destination + source + tags + struct.pack(">H", ethertype) + packet + b"\0" * pad


def mpls(labels, packet):
    entries = [label << 12 | (0x100 if i == len(labels) - 1 else 0) | 64 for i, label in enumerate(labels)]
    return struct.pack(f">{len(entries)}I", *entries) + packet


def vxlan(vni, frame):
    return struct.pack(">BBHI", 8, 0, 0, vni << 8) + frame


def geneve(vni, frame, options=b"", protocol=0x6558):
    return struct.pack(">BBHI", len(options) // 4, 0, protocol, vni << 8) + options + frame


def gre(protocol, payload, *, key=None, check=False, sequence=None):
    flags = (0x8000 if check else 0) | (0x2000 if key is not None else 0) | (0x1000 if sequence is not None else 0)
    head = struct.pack(">HH", flags, protocol)
    if check:
        head += struct.pack(">HH", 0, 0)
    if key is not None:
        head += struct.pack(">I", key)
    if sequence is not None:
        head += struct.pack(">I", sequence)
    return head + payload


def sll(packet, packet_type=0):
    return struct.pack(">HHH8sH", packet_type, 1, 6, MAC_A + b"\0\0", ethertype_of(packet)) + packet


def sll2(packet, packet_type=0, ifindex=3):
    return struct.pack(">HHIHBB8s", ethertype_of(packet), 0, ifindex, 1, packet_type, 6, MAC_A + b"\0\0") + packet


SECOND = 1_000_000_000


class Capture:
    """Packets in order, and the totals they add up to by direction of a 5-tuple."""

    def __init__(self, name, *, link_type=1, style="pcap", big_endian=False, nanoseconds=False, pseudo_header=0,
                 start=1_700_000_000):
        self.name, self.link_type, self.style = name, link_type, style
        self.order = ">" if big_endian else "<"
        self.nanoseconds, self.pseudo_header = nanoseconds, pseudo_header
        self.time_ns = start * SECOND
        self.records = []  # bytes, each one packet of the file, or one block of a pcapng
        self.packet_numbers = []  # which of them are packets
        self.totals = {}
        self.dropped = {}

    def add(self, frame, flow, l3=0, *, after=0.001, captured=None, interface=0, pseudo_header=None, flags=None):
        """flow: (source, source port, destination, destination port, protocol), or the name of a drop reason.
        l3: octets of the outermost IP packet. after: seconds since the packet before. captured: a shorter snap length.
        interface, flags: of a pcapng packet. pseudo_header: octets in front that were on no wire."""
        self.time_ns += round(after * 1e6) * 1000
        octets = len(frame) - (self.pseudo_header if pseudo_header is None else pseudo_header)
        table, key = (self.dropped, flow) if isinstance(flow, str) else (self.totals, flow)
        packets, l3_sum, l2_sum = table.get(key, (0, 0, 0))
        table[key] = (packets + 1, l3_sum + l3, l2_sum + octets)
        self.packet_numbers.append(len(self.records))
        self.records.append(self.record(frame, captured, interface, flags))

    def record(self, frame, captured, interface, flags):
        data = frame if captured is None else frame[:captured]
        if self.style == "pcapng":
            options = b"" if flags is None else struct.pack(self.order + "HHIHH", 2, 4, flags, 0, 0)
            stamp = self.time_ns // (1 if self.nanoseconds else 1000)
            body = struct.pack(self.order + "IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(data), len(frame))
            return self.block(6, body + data + b"\0" * (-len(data) % 4) + options)
        fraction = self.time_ns % SECOND // (1 if self.nanoseconds else 1000)
        return struct.pack(self.order + "IIII", self.time_ns // SECOND, fraction, len(data), len(frame)) + data

    def block(self, kind, body):
        return struct.pack(self.order + "II", kind, len(body) + 12) + body + struct.pack(self.order + "I", len(body) + 12)

    def section(self):
        return self.block(0x0A0D0D0A, struct.pack(self.order + "IHHq", 0x1A2B3C4D, 1, 0, -1))

    def interface(self, link_type, name=None):
        options = b""
        for code, value in ((2, name.encode() if name else b""), (9, b"\x09" if self.nanoseconds else b"\x06")):
            if value:
                options += struct.pack(self.order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)
        return self.block(1, struct.pack(self.order + "HHI", link_type, 0, 0) + options + b"\0\0\0\0")

    def header(self):
        """pcapng captures begin their sections and interfaces themselves."""
        if self.style == "pcapng":
            return b""
        magic = 0xA1B23C4D if self.nanoseconds else 0xA1B2C3D4
        return struct.pack(self.order + "IHHIIII", magic, 2, 4, 0, 0, 262144, self.link_type)

    def file_name(self):
        return f"{self.name}.{self.style}"

    def contents(self):
        return self.header() + b"".join(self.records)


A4, B4, C4 = "10.0.0.1", "10.0.0.2", "10.0.0.3"
A6, B6 = "2001:db8::1", "2001:db8::2"
CAPTURES = []


def capture(**options):
    """A function that fills a capture of its own name."""

    def register(fill):
        CAPTURES.append((fill, options))
        return fill

    return register


def plain(c, packet, flow, *, after=0.001, **framing):
    """An IP packet in an Ethernet frame."""
    c.add(eth(packet, **framing), flow, len(packet), after=after)


def udp_packet(c, source, source_port, destination, destination_port, size=10, *, after=0.001, **more):
    packet = ip(source, destination, UDP, udp(source_port, destination_port, bytes(size)), **more)
    plain(c, packet, (source, source_port, destination, destination_port, UDP), after=after)


def tcp_packet(c, source, source_port, destination, destination_port, flags, size=0, *, after=0.001, **more):
    packet = ip(source, destination, TCP, tcp(source_port, destination_port, flags, bytes(size)), **more)
    plain(c, packet, (source, source_port, destination, destination_port, TCP), after=after)
