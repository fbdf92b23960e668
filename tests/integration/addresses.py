#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Addresses and neighbours of an interface on the bus, as they come and go, and in rheoctl; a flood of them beyond the
room for the kernel's messages leaves what is true."""
import json
import signal

from bus import NAME, answer, get, serve_cases, wait_for
from rheoctl import printed, values
from rig import Rig, expect, expect_equal

INTERFACE = f"{NAME}.Interface"
FLOOD = 20_000  # messages, for which there is no room in 4 MiB


def path():
    return answer("ListInterfaces")[0][0][2]


def own():
    return get(path(), INTERFACE, "Addresses")


def neighbours():
    return get(path(), INTERFACE, "Neighbours")


def shown_by_ip(near):
    """What ip(8) says of the same."""
    link = json.loads(near.run(["ip", "-j", "address", "show", "dev", "east"]))[0]
    return [f"{info['local']}/{info['prefixlen']}" for info in link["addr_info"]]


def add_neighbour(near, address, mac, state="permanent"):
    near.run(["ip", "neighbour", "replace", address, "lladdr", mac, "dev", "east", "nud", state])


def come_and_go(near, rheod):
    expect_equal((own(), neighbours()), ([], []), "addresses and neighbours at first")
    near.set_kernel("ipv6/conf/east/disable_ipv6", 0)
    for address in ("192.0.2.7/24", "10.0.0.9/8", "2001:db8::7/64"):
        near.run(["ip", "address", "add", address, "dev", "east", *(["nodad"] if ":" in address else [])])
    wait_for(lambda: own() == ["10.0.0.9/8", "192.0.2.7/24", "2001:db8::7/64"], "three addresses")
    expect_equal(sorted(own()), sorted(shown_by_ip(near)), "addresses, as ip shows them")
    row = values("interfaces")[0]
    expect_equal(row["addresses"], "10.0.0.9/8 192.0.2.7/24 2001:db8::7/64", "addresses in rheoctl")
    expect("ADDRESSES" in printed("interfaces").splitlines()[0], "no column of addresses")

    add_neighbour(near, "192.0.2.9", "02:00:00:00:00:09")
    add_neighbour(near, "192.0.2.8", "02:00:00:00:00:08", "stale")
    add_neighbour(near, "2001:db8::9", "02:00:00:00:00:09", "reachable")
    wanted = [["192.0.2.8", "02:00:00:00:00:08"], ["192.0.2.9", "02:00:00:00:00:09"], ["2001:db8::9", "02:00:00:00:00:09"]]
    wait_for(lambda: neighbours() == wanted, "three neighbours")
    add_neighbour(near, "192.0.2.9", "02:00:00:00:00:99")
    near.run(["ip", "neighbour", "delete", "192.0.2.8", "dev", "east"])
    near.run(["ip", "address", "delete", "10.0.0.9/8", "dev", "east"])
    wait_for(lambda: neighbours() == [["192.0.2.9", "02:00:00:00:00:99"], wanted[2]], "one that changed, and one less")
    wait_for(lambda: own() == ["192.0.2.7/24", "2001:db8::7/64"], "an address less")
    near.run(["ip", "address", "flush", "dev", "east"])
    wait_for(lambda: own() == [], "no addresses")


def flood(near, rheod):
    """What comes while rheod is stopped is more than there is room for."""
    near.run(["ip", "address", "add", "192.0.2.7/24", "dev", "east"])
    batch = "".join(f"address {verb} 10.{number >> 8}.{number & 255}.1/32 dev east\n"
                    for number in range(FLOOD // 2) for verb in ("add", "delete"))
    rheod.process.send_signal(signal.SIGSTOP)
    near.run(["ip", "-batch", "-"], input=batch, timeout=300)
    rheod.process.send_signal(signal.SIGCONT)
    wait_for(lambda: rheod.counters()["links.watch_overruns"] > 0, "messages that were lost, and counted")
    near.run(["ip", "address", "add", "198.51.100.7/24", "dev", "east"])
    wait_for(lambda: own() == ["192.0.2.7/24", "198.51.100.7/24"], "the addresses that are there")
    for number in range(4):
        near.run(["ip", "-batch", "-"], input="".join(
            f"neighbour replace 192.0.{number}.{host} lladdr 02:00:00:00:00:01 dev east nud permanent\n"
            for host in range(256)))
    near.run(["ip", "neighbour", "replace", "192.0.9.9", "lladdr", "02:00:00:00:00:01", "dev", "east", "nud", "permanent"])
    wait_for(lambda: len(neighbours()) == 1_024, "the first 1024 neighbours")
    expect(["192.0.9.9", "02:00:00:00:00:01"] not in neighbours(), "the last neighbour is not left out")


def main():
    rig = Rig()
    serve_cases(rig, {"addresses and neighbours come and go": come_and_go, "more than there is room for": flood})
    rig.end()


if __name__ == "__main__":
    main()
