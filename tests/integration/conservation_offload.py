#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real TCP streams with tso, gso and gro on: rheod counts the segments that a peer with offloads off sees on
its wire, in packets and octets.

    near (rheod, offloads on) east - inner [bridge, offloads off] outer - west far (offloads off)

Every frame between near and far is a wire segment at `outer`, which counts it in each direction. (The counters of
`inner` leave out 14 octets a frame while its peer has GRO on.)"""
import json
import time

from rig import Rig, expect, expect_conserved, expect_equal

STREAMS = 3
RECEIVE_BUFFER = 40_000  # octets: all streams' windows together fit the 256 places of a veth's ring, so it drops none

SERVER = """
import socket, sys, threading
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
listener = socket.socket(family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(sys.argv[2]))
listener.bind((sys.argv[1], 5001))
listener.listen()
print('listening', flush=True)
def serve(connection):
    give = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), 'big')
    connection.sendall(bytes(give))
    while connection.recv(1 << 20): pass
    connection.close()
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
CLIENT = """
import socket, sys, threading
address, streams, take, give = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ':' in address else socket.AF_INET
def stream(number):
    connection = socket.socket(family)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(sys.argv[5]))
    connection.connect((address, 5001))
    connection.sendall((take + number * 977).to_bytes(8, 'big'))
    left = take + number * 977
    while left > 0: left -= len(connection.recv(1 << 20))
    connection.sendall(bytes(give + number * 1013))
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(1 << 16): pass
    connection.close()
threads = [threading.Thread(target=stream, args=(n,)) for n in range(streams)]
[t.start() for t in threads]; [t.join() for t in threads]
"""

# Counts what the kernel hands around on an interface: packets as big as GSO and GRO make them.
TAP = """
import socket, struct, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
print('ready', flush=True)
sys.stdin.read()
print(struct.unpack('II', tap.getsockopt(263, 6, 8))[0])
"""


def build(rig):
    near, middle, far = (rig.namespace(suffix) for suffix in ("near", "bridge", "far"))
    rig.veth(near, "east", middle, "inner", offloads=True)
    rig.veth(middle, "outer", far, "west")
    near.run(["ethtool", "-K", "east", "tso", "on", "gso", "on", "gro", "on"])
    middle.run(["ethtool", "-K", "inner", "tso", "off", "gso", "off", "gro", "off"])
    middle.run(["ip", "link", "add", "name", "bridge", "type", "bridge", "stp_state", "0", "mcast_snooping", "0"])
    middle.run(["ip", "link", "set", "dev", "bridge", "addrgenmode", "none"])
    middle.set_kernel("ipv6/conf/bridge/disable_ipv6", 1)
    for name in ("inner", "outer"):
        middle.run(["ip", "link", "set", "dev", name, "master", "bridge"])
    middle.run(["ip", "link", "set", "dev", "bridge", "up"])
    macs = {namespace: json.loads(namespace.run(["ip", "-j", "link", "show", "dev", interface]))[0]["address"]
            for namespace, interface in ((near, "east"), (far, "west"))}
    for namespace, other, interface, number in ((near, far, "east", 1), (far, near, "west", 2)):
        namespace.set_kernel(f"ipv6/conf/{interface}/disable_ipv6", 0)
        namespace.run(["ip", "address", "add", f"192.0.2.{number}/24", "dev", interface])
        namespace.run(["ip", "address", "add", f"2001:db8::{number}/64", "dev", interface, "nodad"])
        # Known for good: nobody asks who has an address after the wire's counters were read.
        for address in (f"192.0.2.{3 - number}", f"2001:db8::{3 - number}"):
            namespace.run(["ip", "neighbour", "add", address, "lladdr", macs[other], "dev", interface, "nud", "permanent"])
    return near, middle, far


def wire(middle):
    outer, inner = middle.counters("outer"), middle.counters("inner")
    return {"packets": outer["tx_packets"] + outer["rx_packets"], "bytes": outer["tx_bytes"] + outer["rx_bytes"],
            "dropped": outer["tx_dropped"] + inner["tx_dropped"]}


def quiet(middle, seconds=60):
    """The wire's counters once nothing has passed for 1.5 s."""
    now, since, deadline = wire(middle), time.monotonic(), time.monotonic() + seconds
    while time.monotonic() - since < 1.5:
        expect(time.monotonic() < deadline, f"something still passes after {seconds} s")
        time.sleep(0.1)
        before, now = now, wire(middle)
        if now != before:
            since = time.monotonic()
    return now


def compare(rig, case, hook, address, take, give):
    near, middle, far = build(rig)
    server = far.start(["python3", "-c", SERVER, address, RECEIVE_BUFFER], stdout=-1, text=True)
    tap = near.start(["python3", "-c", TAP], stdin=-1, stdout=-1, text=True)
    try:
        expect_equal(tap.stdout.readline().strip(), "ready", "the tap")
        expect_equal(server.stdout.readline().strip(), "listening", "the server")
        before = quiet(middle)
        rheod = rig.rheod(near, case, interfaces={"include": ["east"]}, datapath={"hook": hook}).start()
        near.run(["python3", "-c", CLIENT, address, STREAMS, take, give, RECEIVE_BUFFER], timeout=300)
        after = quiet(middle)
        unsegmented = int(tap.communicate()[0])
    finally:
        for helper in (server, tap):
            helper.kill()
            helper.wait()
    counters = rheod.stop()
    sums = rheod.sums()
    expect_equal(after["dropped"] - before["dropped"], 0, "frames that the bridge dropped: the wire's count is not whole")
    expect(after["packets"] - before["packets"] > 2 * unsegmented,
           f"{unsegmented} packets in near for {after['packets'] - before['packets']} segments: no offload was at work")
    not_ip = {key: counters[f"datapath.not_ip.{key}"] for key in ("packets", "bytes")}
    sent = {"packets": after["packets"] - before["packets"] - not_ip["packets"],
            "l2_bytes": after["bytes"] - before["bytes"] - not_ip["bytes"]}
    sent["l3_bytes"] = sent["l2_bytes"] - 14 * sent["packets"]
    expect_conserved(sent, sums, counters)


def main():
    rig = Rig()
    for hook in ("tcx", "clsact"):
        for family, address in (("IPv4", "192.0.2.2"), ("IPv6", "2001:db8::2")):
            for way, take, give in (("sending", 0, 20_000_000), ("receiving", 20_000_000, 0)):
                with rig.case(f"{hook}, {family}, {way}") as case:
                    compare(rig, case, hook, address, take, give)
    rig.end()


if __name__ == "__main__":
    main()
