# SPDX-License-Identifier: Apache-2.0
"""Captures about files: link types, byte orders, interfaces, and packets that are in no flow."""

import struct

from packets import *  # noqa: F403 - the vocabulary of these files


def exchange(c, wrap, **more):
    """Two packets each way over IPv4 and IPv6, in whatever `wrap` makes of a packet."""
    for a, b in ((A4, B4), (A6, B6)):
        for sent, (source, destination) in enumerate(((a, b), (b, a), (a, b), (b, a))):
            ports = (50000, 53) if source == a else (53, 50000)
            packet = ip(source, destination, UDP, udp(*ports, bytes(16 + sent)))
            c.add(wrap(packet, sent), (source, ports[0], destination, ports[1], UDP), len(packet), **more)


@capture(link_type=101)
def link_raw(c):
    exchange(c, lambda packet, _: packet)


@capture(link_type=12)
def link_raw_12(c):
    exchange(c, lambda packet, _: packet)


@capture(link_type=14)
def link_raw_14(c):
    exchange(c, lambda packet, _: packet)


@capture(link_type=113, pseudo_header=16)
def link_cooked(c):
    exchange(c, lambda packet, sent: sll(packet, 4 if sent % 2 else 0))
    c.add(struct.pack(">HHH8sH", 0, 1, 6, MAC_A + b"\0\0", 0x0806) + bytes(28), "not_ip")


@capture(link_type=276, pseudo_header=20)
def link_cooked_2(c):
    exchange(c, lambda packet, sent: sll2(packet, 4 if sent % 2 else 0))


@capture(link_type=0, pseudo_header=4)
def link_null(c):
    """The address family is in the order of the host that captured, whichever that was."""
    families = {4: (2, 2), 6: (10, 30)}
    exchange(c, lambda packet, sent: struct.pack("<>"[sent % 2] + "I", families[packet[0] >> 4][sent // 2]) + packet)


@capture(link_type=108, pseudo_header=4)
def link_loop(c):
    exchange(c, lambda packet, _: struct.pack(">I", 2 if packet[0] >> 4 == 4 else 24) + packet)


@capture(link_type=228)
def link_ipv4(c):
    packet = ip(A4, B4, UDP, udp(50000, 53))
    c.add(packet, (A4, 50000, B4, 53, UDP), len(packet))


@capture(link_type=229)
def link_ipv6(c):
    packet = ip(A6, B6, UDP, udp(50000, 53))
    c.add(packet, (A6, 50000, B6, 53, UDP), len(packet))


@capture(big_endian=True)
def order_big_micro(c):
    exchange(c, lambda packet, _: eth(packet))


@capture(nanoseconds=True)
def order_little_nano(c):
    exchange(c, lambda packet, _: eth(packet))


@capture(big_endian=True, nanoseconds=True)
def order_big_nano(c):
    exchange(c, lambda packet, _: eth(packet))


@capture(style="pcapng")
def interfaces(c):
    """Two interfaces of different kinds, one without a name, in two sections of different byte order."""
    for order in "<>":
        c.order = order
        c.records.append(c.section())
        c.records.append(c.interface(1, "eth0"))
        c.records.append(c.interface(101))
        c.records.append(c.block(5, bytes(12)))  # statistics: passed over
        exchange(c, lambda packet, _: eth(packet), interface=0, flags=1)
        exchange(c, lambda packet, _: packet, interface=1, flags=2)


@capture(style="pcapng", nanoseconds=True)
def section_nano(c):
    c.records.append(c.section())
    c.records.append(c.interface(113, "any"))
    exchange(c, lambda packet, sent: sll(packet, 4 if sent % 2 else 0), pseudo_header=16)


@capture()
def drops(c):
    """A packet for each reason why one is in no flow."""
    c.add(eth(bytes(28), ethertype=0x0806), "not_ip")  # ARP
    c.add(eth(bytes(46), ethertype=0x88CC), "not_ip")  # LLDP
    c.add(eth(bytes(46), ethertype=38), "not_ip")  # a length: spanning tree
    udp_packet(c, A4, 51000, B4, 53)
    c.add(eth(ip(A4, B4, UDP, udp(1, 2)))[:20], "truncated")
    c.add(bytes(9), "truncated")
    c.add(eth(ip(A6, B6, UDP, udp(1, 2)))[:40], "truncated")
    packet = ip(A4, B4, UDP, udp(1, 2))
    c.add(eth(b"\x44" + packet[1:]), "malformed")  # a header of 16 bytes
    c.add(eth(b"\x65" + packet[1:], ethertype=0x0800), "malformed")  # version 6 in an IPv4 frame
    c.add(eth(packet[:2] + b"\0\x10" + packet[4:]), "malformed")  # total length 16


@capture()
def snap_length(c):
    """A capture that kept only the headers: lengths are the wire's, and nothing is truncated."""
    for size in (0, 100, 1400):
        packet = ip(A4, B4, UDP, udp(51001, 53, bytes(size)))
        c.add(eth(packet), (A4, 51001, B4, 53, UDP), len(packet), captured=54)
        packet = ip(A6, B6, TCP, tcp(51001, 80, ACK, bytes(size)))
        c.add(eth(packet), (A6, 51001, B6, 80, TCP), len(packet), captured=96)
    packet = ip(A4, B4, UDP, udp(51002, 53, bytes(100)))
    # The transport header itself is missing: counted, without ports, and marked.
    c.add(eth(packet), (A4, 0, B4, 0, UDP), len(packet), captured=34)
