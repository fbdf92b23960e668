# SPDX-License-Identifier: Apache-2.0
"""Captures of every header that the parser follows: protocols, tags, options, fragments, tunnels."""

import struct

from packets import *  # noqa: F403 - the vocabulary of these files

OUTER_A4, OUTER_B4 = "192.0.2.1", "192.0.2.2"
OUTER_A6, OUTER_B6 = "2001:db8:ffff::1", "2001:db8:ffff::2"


@capture()
def protocols(c):
    """Every transport, over IPv4 and IPv6, in both directions."""
    for a, b in ((A4, B4), (A6, B6)):
        with_ports = [(UDP, udp), (UDPLITE, lambda s, d: udp(s, d, bytes(4))), (SCTP, sctp), (DCCP, dccp),
                      (TCP, lambda s, d: tcp(s, d, ACK))]
        for protocol, make in with_ports:
            plain(c, ip(a, b, protocol, make(45000, 5000)), (a, 45000, b, 5000, protocol))
            plain(c, ip(b, a, protocol, make(5000, 45000)), (b, 5000, a, 45000, protocol))
        for protocol in (ESP, OSPF, IGMP, 253):
            body = struct.pack(">II", 0x1000, 1) + bytes(16)
            plain(c, ip(a, b, protocol, body), (a, 0, b, 0, protocol))
            plain(c, ip(b, a, protocol, body), (b, 0, a, 0, protocol))
    # AH with nothing behind it that has ports: IPv4 knows it as a protocol only.
    plain(c, ip(A4, B4, AH, ah(ESP) + bytes(16)), (A4, 0, B4, 0, AH))


@capture()
def icmp_messages(c):
    """Echoes by identifier, request and reply one biflow; errors; neighbour discovery."""
    for ident in (7, 8):
        for seq in range(3):
            plain(c, ip(A4, B4, ICMP, icmp(8, 0, ident, bytes(56), seq)), (A4, 0, B4, 0, ICMP))
            plain(c, ip(B4, A4, ICMP, icmp(0, 0, ident, bytes(56), seq)), (B4, 0, A4, 0, ICMP))
            plain(c, ip(A6, B6, ICMPV6, icmp(128, 0, ident, bytes(56), seq)), (A6, 0, B6, 0, ICMPV6))
            plain(c, ip(B6, A6, ICMPV6, icmp(129, 0, ident, bytes(56), seq)), (B6, 0, A6, 0, ICMPV6))
    # A reply whose request was not seen still has its initiator on the other side.
    plain(c, ip(B4, C4, ICMP, icmp(0, 0, 9)), (B4, 0, C4, 0, ICMP))
    plain(c, ip(A4, B4, ICMP, icmp(13, 0, 3, bytes(12))), (A4, 0, B4, 0, ICMP))
    plain(c, ip(B4, A4, ICMP, icmp(14, 0, 3, bytes(12))), (B4, 0, A4, 0, ICMP))
    plain(c, ip(B4, A4, ICMP, icmp(3, 3, 0, bytes(28))), (B4, 0, A4, 0, ICMP))
    plain(c, ip(B4, A4, ICMP, icmp(11, 0, 0, bytes(28))), (B4, 0, A4, 0, ICMP))
    plain(c, ip(A6, B6, ICMPV6, icmp(135, 0, 0, bytes(16))), (A6, 0, B6, 0, ICMPV6))
    plain(c, ip(B6, A6, ICMPV6, icmp(136, 0, 0, bytes(16))), (B6, 0, A6, 0, ICMPV6))
    plain(c, ip(B6, A6, ICMPV6, icmp(1, 4, 0, bytes(40))), (B6, 0, A6, 0, ICMPV6))


@capture()
def vlan_mpls(c):
    """Tags and labels; each VLAN is its own flow."""
    flow = (A4, 46000, B4, 53, UDP)
    packet = ip(A4, B4, UDP, udp(46000, 53, bytes(20)))
    packet6 = ip(A6, B6, UDP, udp(46000, 53, bytes(20)))
    plain(c, packet, flow)
    plain(c, packet, flow, tags=tag(100))
    plain(c, packet, flow, tags=tag(0x6000 | 100))  # priority 3, the same VLAN
    plain(c, packet, flow, tags=tag(0x2000))  # priority only: untagged
    plain(c, packet, flow, tags=tag(200, 0x88A8) + tag(300))
    plain(c, packet6, (A6, 46000, B6, 53, UDP), tags=tag(200, 0x88A8) + tag(300))
    c.add(eth(packet, tags=tag(1, 0x88A8) + tag(2) + tag(3)), "too_deep")
    for count in range(1, 5):
        labels = [1000 * (count + 1) + i for i in range(count)]
        for a, b in ((A4, B4), (A6, B6)):
            labelled = ip(a, b, UDP, udp(46000 + count, 53, bytes(20)))
            c.add(eth(mpls(labels, labelled), ethertype=0x8847), (a, 46000 + count, b, 53, UDP), len(labelled))
    c.add(eth(mpls([1, 2, 3, 4, 5], packet), ethertype=0x8847), "too_deep")
    # Behind a tag, and with padding that layer 3 does not count.
    c.add(eth(mpls([16, 17], packet), ethertype=0x8847, tags=tag(100)), flow, len(packet))
    plain(c, ip(A4, B4, UDP, udp(46000, 53)), flow, pad=18)


@capture()
def header_options(c):
    """IPv4 options and IPv6 extension headers."""
    nops = b"\x01" * 4
    for words in (1, 5, 10):
        udp_packet(c, A4, 47000, B4, 53, options=nops * words)
        tcp_packet(c, A4, 47000, B4, 80, ACK, options=nops * words)
    flow = (A6, 47000, B6, 53, UDP)
    datagram = udp(47000, 53, bytes(8))
    chains = [
        [(HOP_BY_HOP, 8)],
        [(DESTINATION, 16)],
        [(ROUTING, 24)],
        [(HOP_BY_HOP, 8), (DESTINATION, 8), (ROUTING, 8), (DESTINATION, 8)],
    ]
    for chain in chains:
        following, body = UDP, datagram
        for kind, length in reversed(chain):
            body = extension(following, length) + body
            following = kind
        packet = ipv6(A6, B6, following, body)
        plain(c, packet, flow)
    plain(c, ipv6(A6, B6, AH, ah(UDP) + datagram), flow)
    plain(c, ipv6(A6, B6, HOP_BY_HOP, extension(AH) + ah(TCP) + tcp(47000, 80, ACK)), (A6, 47000, B6, 80, TCP))
    plain(c, ipv6(A6, B6, FRAGMENT, fragment6(UDP, 5) + datagram), flow)  # an atomic fragment
    plain(c, ipv6(A6, B6, 59, b""), (A6, 0, B6, 0, 59))  # no next header
    labelled = ipv6(A6, B6, UDP, udp(47001, 53), label=0xBEEF, traffic_class=0xB9)
    plain(c, labelled, (A6, 47001, B6, 53, UDP))
    udp_packet(c, A4, 47001, B4, 53, tos=0xB8, ttl=3)
    chain = b"".join(extension(DESTINATION) for _ in range(12))
    c.add(eth(ipv6(A6, B6, DESTINATION, chain + extension(UDP) + datagram)), "too_deep")


@capture()
def fragments(c):
    """Fragments follow their first one's ports, where that came first; else they are of ports 0/0."""
    flow = (A4, 48000, B4, 5000, UDP)
    data = udp(48000, 5000, bytes(3000))
    pieces = [(0, data[:1480], True), (1480, data[1480:2960], True), (2960, data[2960:], False)]

    def piece4(number, ident, of=flow):
        offset, body, more = pieces[number]
        plain(c, ipv4(A4, B4, UDP, body, ident=ident, offset=offset, more=more), of)

    for number in (0, 1, 2):
        piece4(number, 1)
    for number in (0, 2, 1):
        piece4(number, 2)
    nowhere = (A4, 0, B4, 0, UDP)
    piece4(1, 3, nowhere)
    piece4(0, 3)
    piece4(2, 3)
    piece4(2, 4, nowhere)
    flow6 = (A6, 48000, B6, 5000, UDP)
    data6 = udp(48000, 5000, bytes(2000))
    for ident, order in ((77, (0, 1)), (78, (1, 0))):
        for number in order:
            body = data6[:1232] if number == 0 else data6[1232:]
            packet = ipv6(A6, B6, FRAGMENT, fragment6(UDP, ident, 0 if number == 0 else 1232, number == 0) + body)
            unknown = ident == 78 and number == 1
            plain(c, packet, (A6, 0, B6, 0, UDP) if unknown else flow6)
    # The same identification of other end points is another datagram.
    plain(c, ipv4(C4, B4, UDP, bytes(64), ident=1, offset=1480), (C4, 0, B4, 0, UDP))
    tcp_head = tcp(48001, 80, PSH | ACK, bytes(100))
    plain(c, ipv4(A4, B4, TCP, tcp_head[:32], ident=9, more=True), (A4, 48001, B4, 80, TCP))
    plain(c, ipv4(A4, B4, TCP, tcp_head[32:], ident=9, offset=32), (A4, 48001, B4, 80, TCP))


INNER = (A4, 49000, B4, 80, TCP)
INNER_BACK = (B4, 80, A4, 49000, TCP)
INNER6 = (A6, 49000, B6, 80, TCP)


def inner_packet(flow):
    source, source_port, destination, destination_port, _ = flow
    return ip(source, destination, TCP, tcp(source_port, destination_port, PSH | ACK, bytes(30)))


def outer_of(flow, source, destination):
    """The tunnel's end points for the direction of an inner flow."""
    return (destination, source) if flow[0] in (B4, B6) else (source, destination)


def tunnel_pairs():
    for ends in ((OUTER_A4, OUTER_B4), (OUTER_A6, OUTER_B6)):
        for flow in (INNER, INNER_BACK, INNER6):
            yield (*outer_of(flow, *ends), flow)


@capture()
def tunnels_udp(c):
    """VXLAN on both ports and Geneve with options: the inner flow is the record."""
    for port, vni in ((4789, 100), (8472, 101)):
        for source, destination, flow in tunnel_pairs():
            body = vxlan(vni, eth(inner_packet(flow)))
            plain(c, ip(source, destination, UDP, udp(55555, port, body)), flow)
    for options in (b"", struct.pack(">HBB", 0x0102, 0x80, 1) + bytes(4), struct.pack(">HBB", 0x0102, 0, 10) + bytes(40)):
        for source, destination, flow in tunnel_pairs():
            body = geneve(200, eth(inner_packet(flow)), options)
            plain(c, ip(source, destination, UDP, udp(55556, 6081, body)), flow)
    # A VLAN inside, and a Geneve payload without a frame.
    plain(c, ip(OUTER_A4, OUTER_B4, UDP, udp(55557, 4789, vxlan(102, eth(inner_packet(INNER), tags=tag(7))))), INNER)
    plain(c, ip(OUTER_A4, OUTER_B4, UDP, udp(55557, 6081, geneve(201, inner_packet(INNER), protocol=0x0800))), INNER)


@capture()
def tunnels_ip(c):
    """GRE with and without a key, NVGRE, IPIP, 6in4, 4in6, 6in6."""
    for source, destination, flow in tunnel_pairs():
        packet = inner_packet(flow)
        kind = ethertype_of(packet)
        plain(c, ip(source, destination, GRE, gre(kind, packet)), flow)
        plain(c, ip(source, destination, GRE, gre(kind, packet, key=0xABCDEF01)), flow)
        plain(c, ip(source, destination, GRE, gre(kind, packet, key=5, check=True, sequence=9)), flow)
        plain(c, ip(source, destination, GRE, gre(0x6558, eth(packet), key=0x01020304)), flow)
        plain(c, ip(source, destination, IPIP if kind == 0x0800 else IPV6, packet), flow)


@capture()
def tunnels_undecoded(c):
    """What is inside cannot be followed: the packet is its outer flow's."""
    outer = (OUTER_A4, 55000, OUTER_B4, 4789, UDP)
    inner_tunnel = ip(A4, B4, GRE, gre(0x0800, ip(C4, A4, UDP, udp(1, 2))))
    bodies = [
        (UDP, udp(55000, 4789, vxlan(1, b"")), outer),
        (UDP, udp(55000, 4789, vxlan(1, eth(b"\0" * 28, ethertype=0x0806))), outer),
        (UDP, udp(55000, 4789, b"\0" * 4), outer),
        (UDP, udp(55000, 6081, geneve(1, b"\x45", protocol=0x0800)), (OUTER_A4, 55000, OUTER_B4, 6081, UDP)),
        (GRE, gre(0x880B, bytes(20)), (OUTER_A4, 0, OUTER_B4, 0, GRE)),  # PPTP's payload
        (GRE, gre(0x0800, b"\x45\0"), (OUTER_A4, 0, OUTER_B4, 0, GRE)),
        (IPIP, b"\x65" + bytes(30), (OUTER_A4, 0, OUTER_B4, 0, IPIP)),
        # One level: the inner tunnel is a flow by itself.
        (UDP, udp(55000, 4789, vxlan(1, eth(inner_tunnel))), (A4, 0, B4, 0, GRE)),
    ]
    for protocol, body, flow in bodies:
        plain(c, ip(OUTER_A4, OUTER_B4, protocol, body), flow)


@capture()
def wireguard(c):
    """One flow, recognised by port and message type; other datagrams on the port are not."""
    messages = [(0, struct.pack("<I", 1) + bytes(144)), (1, struct.pack("<I", 2) + bytes(88)),
                (0, struct.pack("<I", 4) + bytes(28)), (1, struct.pack("<I", 3) + bytes(60))]
    for back, message in messages:
        a, b = ((B4, 51820), (A4, 51821)) if back else ((A4, 51821), (B4, 51820))
        plain(c, ip(a[0], b[0], UDP, udp(a[1], b[1], message)), (*a, *b, UDP))
    plain(c, ip(C4, B4, UDP, udp(55000, 51820, b"\x09" + bytes(40))), (C4, 55000, B4, 51820, UDP))
