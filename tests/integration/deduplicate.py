#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A flow that passes several metered interfaces: with deduplicate = "first-interface" the host's total is what was
sent, to the octet; with "none" it is that times the interfaces. Over a bridge, in a VXLAN tunnel over veth, and routed from
veth into a tun device; through kills; when the interface that reports falls silent; and on both sides of a NAT, where it is
two flows."""
import json
import shutil
import subprocess
import sys
import time

from rig import Rig, Skipped, arrived, expect, expect_conserved, expect_equal, finish_sending, losses, sent_by

FAST = {"max_record_interval": "1s", "udp_timeout": "3s", "tcp_timeout": "3s"}
LASTING = {"max_record_interval": "1s"}  # flows last for as long as it takes to send them
MIXED = ("--protocols", "udp,tcp", "--families", "4,6")
# So few flows that no set of the flow cache overflows: rows that were evicted come out of turn, and then another interface
# than the first may report, whose octets of a tunnelled packet are others.
PACKETS, FLOWS = 200_000, 200


def quiet(namespace):
    for which in ("all", "default"):
        namespace.set_kernel(f"ipv6/conf/{which}/disable_ipv6", 1)


def up(namespace, interface):
    namespace.run(["ip", "link", "set", "dev", interface, "addrgenmode", "none"])
    namespace.run(["ethtool", "-K", interface, "tso", "off", "gso", "off", "gro", "off"])
    namespace.run(["ip", "link", "set", "dev", interface, "up"])


def bridge(rig):
    """Two ports and a bridge that sees what it forwards; frames from one port leave by the other."""
    host, left, right = rig.namespace("host"), rig.namespace("left"), rig.namespace("right")
    quiet(host)
    rig.veth(host, "a", left, "west")
    rig.veth(host, "b", right, "east")
    host.run(["ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0"])
    host.run(["ip", "link", "set", "dev", "br0", "promisc", "on"])
    for port in ("a", "b"):
        host.run(["ip", "link", "set", "dev", port, "master", "br0"])
    up(host, "br0")
    return host, left, "west"


def vxlan(rig):
    """A tunnel over the pair east - west; what is sent through it is seen on it, and inside of frames of east."""
    near, far = rig.pair()
    for number, (namespace, link) in enumerate(((near, "east"), (far, "west")), 1):
        quiet(namespace)
        other = 3 - number
        namespace.run(["ip", "address", "add", f"192.0.2.{number}/24", "dev", link])
        namespace.run(["ip", "neighbour", "add", f"192.0.2.{other}", "lladdr", f"02:00:00:00:00:0{other}", "dev", link])
        namespace.run(["ip", "link", "set", "dev", link, "address", f"02:00:00:00:00:0{number}"])
        namespace.run(["ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", "4789", "nolearning",
                       "local", f"192.0.2.{number}", "remote", f"192.0.2.{other}", "dev", link])
        up(namespace, "vx0")
    return near, near, "vx0"


# How it is made, and the interfaces that each packet passes there.
TOPOLOGIES = {"bridge": (bridge, ("a", "br0", "b")), "VXLAN over veth": (vxlan, ("vx0", "east"))}


def start(rig, host, case, interfaces, deduplicate, timeouts=FAST, **datapath):
    return rig.rheod(host, case, interfaces={"include": list(interfaces)}, datapath={"drain_interval": "50ms", **datapath},
                     flow={**timeouts, "deduplicate": deduplicate}).start()


def records_of(rheod):
    """Those that are whole: it may be writing another."""
    return [json.loads(line) for line in rheod.records.read_text().split("\n")[:-1]]


def once(rig, case, topology):
    make, interfaces = TOPOLOGIES[topology]
    host, sender, link = make(rig)
    rheod = start(rig, host, case, interfaces, "first-interface", timeouts=LASTING)
    report = sender.send(link, "--packets", PACKETS, "--flows", FLOWS, *MIXED)
    sent = sent_by(report if sender is host else arrived(report))
    counters = rheod.stop()
    expect_equal(counters["table.duplicate.packets"], (len(interfaces) - 1) * PACKETS, "duplicates")
    expect_conserved(sent, rheod.sums(), counters, several_links=True)
    expect_equal(rheod.sums().flows, FLOWS, "flows")
    seen = {(record["network.interface.name"], *record.get("network.interface.others", [])) for record in records_of(rheod)}
    expect(all(places[0] == interfaces[0] and set(places) <= set(interfaces) for places in seen),
           f"a record of another than {interfaces[0]}: {seen}")
    expect(any(set(places) == set(interfaces) for places in seen), f"no record names all of {interfaces}: {seen}")


def each_time(rig, case, topology):
    make, interfaces = TOPOLOGIES[topology]
    host, sender, link = make(rig)
    rheod = start(rig, host, case, interfaces, "none", timeouts=LASTING)
    report = sender.send(link, "--packets", PACKETS, "--flows", FLOWS, *MIXED)
    sent = sent_by(report if sender is host else arrived(report))
    counters = rheod.stop()
    sums = rheod.sums()
    expect_equal(losses(counters)["packets"], 0, "packets lost")
    expect_equal(counters["table.duplicate.packets"], 0, "duplicates")
    expect_equal(sums.packets, len(interfaces) * sent["packets"], "packets in records")
    expect_equal(sums.flows, len(interfaces) * FLOWS, "flows")
    named = {record["network.interface.name"] for record in records_of(rheod)}
    expect_equal(named, set(interfaces), "interfaces in records")
    expect(not any("network.interface.others" in record for record in records_of(rheod)), "a record names others")


def killed(rig, case):
    """Each packet of three interfaces is in a record, a duplicate or a named loss, whenever rheod dies."""
    host, left, link = bridge(rig)
    rheod = start(rig, host, case, ("a", "br0", "b"), "first-interface", flow_cache_rows=1024)
    source = left.start_sending(link, "--rate", 10_000, "--flows", 3_000, "--seed", 7, *MIXED, "--both-directions")
    points = ("journal-written", "journal-committed", "entry-copied", "record-offered", "source-released", "journal-empty")
    for passage, point in enumerate(points):
        time.sleep(0.2)
        rheod.kill()
        rheod.start(wait=False, environment={"RHEO_FAULT": f"{point}:{100 + 77 * passage}"})
        expect(rheod.wait_killed(60), f"rheod did not die at {point}")
        rheod.start()
    time.sleep(0.3)
    finish_sending(source)
    counters = rheod.stop()
    sums, lost = rheod.sums(), losses(counters)
    expect(counters["table.duplicate.packets"] > 0, "nothing was a duplicate")
    expect_equal(sums.packets + counters["table.duplicate.packets"] + lost["packets"], counters["datapath.seen_packets"],
                 "packets in records, duplicates and losses")
    expect_equal(sums.l2_bytes + counters["table.duplicate.l2_bytes"] + lost["l2_bytes"], counters["datapath.seen_bytes"],
                 "octets in records, duplicates and losses")
    expect_equal(sums.duplicates, 0, "records that are in the file twice")


def fallen_silent(rig, case):
    """The flow comes over another port: a port that still sees it reports after two seconds, and nothing is in both."""
    host, left, link = bridge(rig)
    third = rig.namespace("third")
    rig.veth(host, "c", third, "north")
    host.run(["ip", "link", "set", "dev", "c", "master", "br0"])
    host.run(["ip", "link", "set", "dev", "a", "type", "bridge_slave", "flood", "off"])  # nor sent what c brings
    rheod = start(rig, host, case, ("a", "b"), "first-interface")
    reports = [arrived(left.send(link, "--packets", 2_000, "--rate", 2_000, "--flows", 5))]
    before = len(records_of(rheod)) if rheod.records.exists() else 0
    reports.append(arrived(third.send("north", "--packets", 10_000, "--rate", 2_000, "--flows", 5)))
    counters = rheod.stop()
    sums, sent = rheod.sums(), sent_by(*reports)["packets"]
    expect_equal(sums.packets + counters["table.duplicate.packets"] + losses(counters)["packets"],
                 counters["datapath.seen_packets"], "packets in records, duplicates and losses")
    names = {record["network.interface.name"] for record in records_of(rheod)[before:]}
    expect("b" in names, f"interfaces that reported: {names}")
    expect(2_000 + 2_000 < sums.packets <= sent, f"{sums.packets} packets in records, {sent} were sent")


CLIENT, GATEWAY, OUTSIDE, SERVER = "192.0.2.2", "192.0.2.1", "198.51.100.1", "198.51.100.2"
SOCKETS, DATAGRAMS, DATA_OCTETS = 10, 50, 100  # fewer packets than any queue on their way takes
DATAGRAM_OCTETS = 20 + 8 + DATA_OCTETS
# On one CPU both ways: where several count a flow, another interface than the first may report it.
ONE_CPU = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
# As an application sends: datagrams on each of some sockets; "answered" waits for the answer to each.
SEND = ONE_CPU + """import socket, sys
host, sockets, datagrams, octets, answered = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5] == "answered"
for _ in range(sockets):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(60)
        sender.connect((host, 7000))
        for _ in range(datagrams):
            sender.send(bytes(octets))
            if answered and len(sender.recv(65536)) != octets:
                sys.exit("another answer")
"""
ECHO = ONE_CPU + """import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 7000))
print("bound", flush=True)
while True:
    server.sendto(*server.recvfrom(65536))
"""
# Whoever has a tun device open takes what is routed into it.
TUN = """import fcntl, os, struct
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x0001 | 0x1000))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
print("open", flush=True)
while os.read(tun, 65536):
    pass
"""


def run_beside(rig, namespace, program):
    """Starts the program, which says a word when it is ready; it ends with the case."""
    beside = namespace.start([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end():
        beside.kill()
        beside.communicate(timeout=20)
    rig.at_end_of_case(end)
    if not beside.stdout.readline():
        raise Skipped(beside.communicate(timeout=20)[1].strip().splitlines()[-1])


def connect(near, near_link, near_address, far, far_link, far_address):
    """Addresses for both ends of a pair, which need not ask for each other."""
    for number, (namespace, link, address) in enumerate(((near, near_link, near_address), (far, far_link, far_address)), 1):
        quiet(namespace)
        namespace.run(["ip", "link", "set", "dev", link, "address", f"02:00:00:00:00:0{number}"])
        namespace.run(["ip", "address", "add", f"{address}/24", "dev", link])
    near.run(["ip", "neighbour", "replace", far_address, "lladdr", "02:00:00:00:00:02", "dev", near_link])
    far.run(["ip", "neighbour", "replace", near_address, "lladdr", "02:00:00:00:00:01", "dev", far_link])
    far.run(["ip", "route", "add", "default", "via", near_address])


def router(rig):
    """A host that forwards what comes by a."""
    host, client = rig.namespace("host"), rig.namespace("client")
    rig.veth(host, "a", client, "east")
    connect(host, "a", GATEWAY, client, "east", CLIENT)
    host.set_kernel("ipv4/ip_forward", 1)
    return host, client


def send_datagrams(client, answered=""):
    client.run([sys.executable, "-c", SEND, SERVER, SOCKETS, DATAGRAMS, DATA_OCTETS, answered], timeout=300)


def tun(rig, case, deduplicate):
    """Packets with a link-layer header on a, and without one on tun0."""
    host, client = router(rig)
    run_beside(rig, host, TUN)
    up(host, "tun0")
    host.run(["ip", "route", "add", SERVER, "dev", "tun0"])
    rheod = start(rig, host, case, ("a", "tun0"), deduplicate, timeouts=LASTING)
    send_datagrams(client)
    counters, sent = rheod.stop(), SOCKETS * DATAGRAMS
    sums, times = rheod.sums(), 1 if deduplicate == "first-interface" else 2
    expect_equal(counters["datapath.seen_packets"] - counters["datapath.not_ip.packets"], 2 * sent, "packets seen")
    expect_equal(counters["table.duplicate.packets"], (2 - times) * sent, "duplicates")
    expect_equal((sums.flows, sums.packets, sums.l3_bytes),
                 (times * SOCKETS, times * sent, times * sent * DATAGRAM_OCTETS), "flows, packets and octets in records")
    named = {record["network.interface.name"] for record in records_of(rheod)}
    expect_equal(named, {"a"} if times == 1 else {"a", "tun0"}, "interfaces that reported")


def nat(rig, case, translated):
    """What is forwarded from a to b with another source address is two flows; with the same, it is one."""
    if not shutil.which("nft"):
        raise Skipped("nft is not installed")
    host, client = router(rig)
    server = rig.namespace("server")
    rig.veth(host, "b", server, "west")
    connect(host, "b", OUTSIDE, server, "west", SERVER)
    if translated:
        host.run(["nft", "add table ip t; add chain ip t c { type nat hook postrouting priority 100; }; "
                  "add rule ip t c oifname b masquerade"])
    run_beside(rig, server, ECHO)
    rheod = start(rig, host, case, ("a", "b"), "first-interface", timeouts=LASTING)
    send_datagrams(client, "answered")
    counters, both_ways = rheod.stop(), 2 * SOCKETS * DATAGRAMS
    sums, times = rheod.sums(), 2 if translated else 1
    expect_equal(counters["table.duplicate.packets"], (2 - times) * both_ways, "duplicates")
    expect_equal((sums.flows, sums.packets, sums.l3_bytes),
                 (times * SOCKETS, times * both_ways, times * both_ways * DATAGRAM_OCTETS), "flows, packets and octets in records")
    sides = {(record["network.interface.name"], record["source.address"]) for record in records_of(rheod)}
    expect_equal(sides, {("a", CLIENT), ("b", OUTSIDE)} if translated else {("a", CLIENT)}, "interfaces and sources")


def main():
    rig = Rig(choose=True)
    cases = {"kill -9 in each step": killed, "the reporter falls silent": fallen_silent}
    for name in TOPOLOGIES:
        cases[f"{name}, first-interface"] = lambda rig, case, name=name: once(rig, case, name)
        cases[f"{name}, none"] = lambda rig, case, name=name: each_time(rig, case, name)
    for deduplicate in ("first-interface", "none"):
        cases[f"routed into tun, {deduplicate}"] = lambda rig, case, how=deduplicate: tun(rig, case, how)
    cases["both sides of a NAT"] = lambda rig, case: nat(rig, case, translated=True)
    cases["routed without NAT"] = lambda rig, case: nat(rig, case, translated=False)
    rig.run_cases(cases)
    rig.end()


if __name__ == "__main__":
    main()
