# SPDX-License-Identifier: Apache-2.0
"""Captures about a flow's life: who began it, when it ends, when it gives a record."""

from packets import *  # noqa: F403 - the vocabulary of these files


@capture()
def tcp_handshakes(c):
    """Connections seen whole, from the second packet on, and from the middle on: who is the initiator?"""
    for a, b in ((A4, B4), (A6, B6)):
        steps = [(1, SYN, 0), (0, SYN | ACK, 0), (1, ACK, 0), (1, PSH | ACK, 100), (0, PSH | ACK, 1400), (1, ACK, 0),
                 (1, FIN | ACK, 0), (0, FIN | ACK, 0), (1, ACK, 0)]
        for forward, flags, size in steps:
            tcp_packet(c, *((a, 40000, b, 443) if forward else (b, 443, a, 40000)), flags, size)
    # The request of this one was lost: still port 40001 began. Its server has the higher number.
    tcp_packet(c, B4, 50443, A4, 40001, SYN | ACK)
    tcp_packet(c, A4, 40001, B4, 50443, ACK)
    # From the middle, the server first: the lower port responds.
    tcp_packet(c, B4, 80, A4, 40002, PSH | ACK, 500)
    tcp_packet(c, A4, 40002, B4, 80, ACK)
    # The SYN after the SYN-ACK, as a capture with several queues has it.
    tcp_packet(c, B4, 443, A4, 40003, SYN | ACK)
    tcp_packet(c, A4, 40003, B4, 443, SYN)
    tcp_packet(c, A4, 40003, B4, 443, ACK)
    # Neither flags nor ports decide: who was first.
    tcp_packet(c, C4, 40004, B4, 40004, ACK, 10)
    tcp_packet(c, B4, 40004, C4, 40004, ACK, 10)


@capture()
def tcp_reuse(c):
    """The same 5-tuple again within one drain: a SYN after FIN or RST is a new flow."""
    for last in (FIN | ACK, RST | ACK):
        port = 41000 if last & FIN else 41001
        for _ in range(3):
            tcp_packet(c, A4, port, B4, 80, SYN)
            tcp_packet(c, B4, 80, A4, port, SYN | ACK)
            tcp_packet(c, A4, port, B4, 80, ACK)
            tcp_packet(c, A4, port, B4, 80, last)
            if last & FIN:
                tcp_packet(c, B4, 80, A4, port, FIN | ACK)
                tcp_packet(c, A4, port, B4, 80, ACK)


@capture()
def tcp_ends(c):
    """FIN and RST end a flow after their own timeouts; a late packet before that still belongs to it."""
    tcp_packet(c, A4, 42000, B4, 80, SYN)
    tcp_packet(c, B4, 80, A4, 42000, SYN | ACK)
    tcp_packet(c, A4, 42000, B4, 80, FIN | ACK)
    tcp_packet(c, B4, 80, A4, 42000, FIN | ACK)
    tcp_packet(c, A4, 42001, B4, 80, SYN)
    tcp_packet(c, B4, 80, A4, 42001, RST | ACK)
    tcp_packet(c, A4, 42000, B4, 80, ACK, after=3)  # late: the same flow
    udp_packet(c, A4, 9, B4, 9, after=20)  # only time passes
    tcp_packet(c, A4, 42000, B4, 80, ACK)  # too late: another one
    # Refused at once, then silence.
    tcp_packet(c, A4, 42002, B4, 81, SYN)
    tcp_packet(c, B4, 81, A4, 42002, RST | ACK)
    udp_packet(c, A4, 9, B4, 9, after=12)


@capture()
def long_lived(c):
    """A busy flow gives a record every max_record_interval, and is never called idle."""
    for second in range(40):
        after = 5 if second else 0.001
        udp_packet(c, A4, 52000, B4, 5000, second, after=after)
        udp_packet(c, B4, 5000, A4, 52000, 2 * second, after=0.01)


@capture()
def idle_timeouts(c):
    """Silence of each protocol's timeout, and a second flow of the same end points after it."""
    for _ in range(2):
        udp_packet(c, A4, 52001, B4, 53)
        tcp_packet(c, A4, 52001, B4, 80, ACK, 10)
        plain(c, ip(A4, B4, ICMP, icmp(8, 0, 1)), (A4, 0, B4, 0, ICMP))
        plain(c, ip(A4, B4, OSPF, bytes(20)), (A4, 0, B4, 0, OSPF))
        for _ in range(9):
            udp_packet(c, C4, 52002, B4, 53, after=10)


@capture()
def clock_back(c):
    """Stamps that step back, as on a host whose clock was set."""
    for after in (0.001, 1, -0.5, 2, -10, 0.5, 30):
        udp_packet(c, A4, 52003, B4, 53, after=after)
        udp_packet(c, B4, 53, A4, 52003, after=0.001)
