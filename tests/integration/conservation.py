#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every packet sent at full rate is in a record, to the octet, and nothing is lost: UDP and TCP, IPv4 and
IPv6, both directions, both kinds of hook. With offloads off that is also what the interface counted, less what
is not IP."""
import json

from rig import Rig, arrived, expect, expect_conserved, expect_equal, sent_by

MIXED = ("--protocols", "udp,tcp", "--families", "4,6")


def send_not_ip(namespace, interface, count=10):
    """Broadcast ARP requests of 60 octets, as arping would send."""
    script = ("import socket,sys; s=socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0));"
              "[s.send(b'\\xff'*6 + b'\\x02\\xee\\0\\0\\0\\1' + b'\\x08\\6' + bytes(46)) for _ in range(int(sys.argv[2]))]")
    namespace.run(["python3", "-c", script, interface, count])
    return count


def conserve(rig, case, hook, packets, flows):
    near, far = rig.pair()
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]}, datapath={"hook": hook}).start()
    expect(f"({hook})" in rheod.said(), f"rheod does not say that it uses {hook}: {rheod.said()}")
    before = near.counters("east")

    outward = near.start_sending("east", "--packets", packets // 2, "--flows", flows, *MIXED, "--cpu", 0)
    inward = far.start_sending("west", "--packets", packets // 2, "--flows", flows, *MIXED, "--swap-ends", "--size", 200)
    reports = [json.loads(source.communicate(timeout=300)[0]) for source in (outward, inward)]
    not_ip = send_not_ip(near, "east")

    sent = sent_by(reports[0], arrived(reports[1]))
    after = near.counters("east")
    counters = rheod.stop()
    sums = rheod.sums()
    expect_conserved(sent, sums, counters)
    expect_equal(sums.flows, flows, "biflows in the records")
    expect_equal(counters["datapath.not_ip.packets"], not_ip, "packets that are not IP")
    expect_equal(counters["datapath.seen_packets"], sent["packets"] + not_ip, "packets seen")
    interface = {unit: sum(after[f"{way}_{unit}"] - before[f"{way}_{unit}"] for way in ("rx", "tx"))
                 for unit in ("packets", "bytes")}
    expect_equal(sums.packets, interface["packets"] + after["tx_dropped"] - not_ip, "packets beside the interface's own count")
    if after["tx_dropped"] == 0:
        expect_equal(sums.l2_bytes, interface["bytes"] - 60 * not_ip, "octets beside the interface's own count")


def main():
    rig = Rig(lambda parser: parser.add_argument("--packets", type=int, default=6_000_000))
    packets = rig.arguments.packets
    for hook in ("tcx", "clsact"):
        with rig.case(f"{hook}, {packets} packets, 60000 flows") as case:
            conserve(rig, case, hook, packets, 60_000)
        with rig.case(f"{hook}, one flow") as case:
            conserve(rig, case, hook, packets // 6, 1)
    rig.end()


if __name__ == "__main__":
    main()
