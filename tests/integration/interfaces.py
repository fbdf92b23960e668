#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Interfaces appear, flap, are renamed, moved and deleted while rheod meters: what is attached is what is wanted, and
every packet that the hooks saw is in a record. In the storm, 1,000 pairs of veth come and go under traffic, and at the
end nothing is left over: no program, link, qdisc, descriptor or memory."""
import collections
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time

from rig import TOP, Rig, expect, expect_conserved, expect_equal, finish_sending, run, sent_by, wait_until
import bpf_objects  # of tests/tools, which rig has put on the path

TCX_PROGRAMS = TOP / "tests" / "tools" / "tcx_programs.py"
FAST = {"deduplicate": "none", "max_record_interval": "1s", "udp_timeout": "1s", "tcp_timeout": "1s"}
HOOKS = ("tcx", "clsact")


def links(namespace):
    return json.loads(namespace.run(["ip", "-j", "-d", "link"]))


def attached(namespace, hook):
    """Names of the interfaces with our programs, with each direction."""
    if hook == "tcx":
        found = [tuple(line.split()) for line in namespace.run([sys.executable, TCX_PROGRAMS]).splitlines()]
    else:
        script = ("for link in $(ls /sys/class/net); do for way in ingress egress; do "
                  "tc filter show dev $link $way 2>/dev/null | grep -q 'handle 0x7268' && echo $link $way; done; done; true")
        names = " ".join(link["ifname"] for link in links(namespace))
        script = script.replace("$(ls /sys/class/net)", names)
        found = [tuple(line.split()) for line in namespace.run(["sh", "-c", script]).splitlines()]
    return sorted(found)


def both(*names):
    return sorted((name, direction) for name in names for direction in ("ingress", "egress"))


def start(rig, near, case, hook, include, **options):
    return rig.rheod(near, case, interfaces={"include": include, **options}, flow=FAST,
                     datapath={"hook": hook, "drain_interval": "50ms"}).start()


def quiet(rig):
    """Two namespaces in which no interface says anything of its own accord, whatever moves there."""
    spaces = rig.namespace("near"), rig.namespace("far")
    for space in spaces:
        space.set_kernel("ipv6/conf/default/disable_ipv6", 1)
        space.set_kernel("ipv6/conf/all/disable_ipv6", 1)
    return spaces


def add_pair(near, far, name):
    run(["ip", "link", "add", "name", name, "netns", near.name, "type", "veth", "peer", "name", name, "netns", far.name])
    for namespace in (near, far):
        namespace.set_kernel(f"ipv6/conf/{name}/disable_ipv6", 1)
        namespace.run(["ip", "link", "set", "dev", name, "addrgenmode", "none"])
    for namespace in (near, far):
        namespace.run(["ip", "link", "set", "dev", name, "up"])


def later(rig, case, hook):
    """There is none at the start; one appears, is renamed, goes down and up, moves away and back, and is deleted."""
    near, far = quiet(rig)
    rheod = start(rig, near, case, hook, ["we*", "other"])
    expect("interface other: there is none now" in rheod.said(), f"nothing about the one that is missing: {rheod.said()}")
    add_pair(near, far, "west")
    wait_until(lambda: attached(near, hook) == both("west"), "attached to the one that appears")
    sent = [near.send("west", "--packets", 5_000, "--flows", 50)]
    near.run(["ip", "link", "set", "dev", "west", "down"])
    wait_until(lambda: attached(near, hook) == [], "detached while it is down")
    near.run(["ip", "link", "set", "dev", "west", "name", "other"])
    wait_until(lambda: attached(near, hook) == both("other"), "attached by name while it is down")
    near.run(["ip", "link", "set", "dev", "other", "up"])
    sent.append(near.send("other", "--packets", 5_000, "--flows", 50))
    near.run(["ip", "link", "set", "dev", "other", "netns", far.name])
    wait_until(lambda: "no longer metered: other" in rheod.said(), "noticed that it has moved")
    expect_equal(attached(far, hook), [], "attached in the namespace that it has moved to")
    far.run(["ip", "link", "set", "dev", "other", "netns", near.name])
    near.run(["ip", "link", "set", "dev", "other", "up"])
    wait_until(lambda: attached(near, hook) == both("other"), "attached to the one that is back")
    sent.append(near.send("other", "--packets", 5_000, "--flows", 50))
    rheod.wait_drained()  # while the interfaces of the flows have names
    near.run(["ip", "link", "delete", "dev", "other"])
    wait_until(lambda: rheod.said().count("no longer metered: other") == 2, "noticed that it is gone")
    add_pair(near, far, "west")
    wait_until(lambda: attached(near, hook) == both("west"), "attached to the next one")
    counters = rheod.stop()
    expect_conserved(sent_by(*sent), rheod.sums(), counters)
    expect_equal(attached(near, hook), [], "attached after the stop")
    names = set(re.findall(r'"rheo.interface.name"\s*:\s*"([^"]*)"', rheod.records.read_text()))
    expect("" not in names, f"names of interfaces in records: {names}")


def same_number(rig, case, hook):
    """Deleted and made again with the same index, faster than anybody can look."""
    near, far = quiet(rig)
    rheod = start(rig, near, case, hook, ["a*"])
    for round_ in range(20):
        commands = []
        for name in ("a1", "b1", "a2", "a3"):  # the last one stays
            commands.append(f"link add {name} index 50000 type veth peer name p{name}")
            commands.append(f"link set {name} up")
            if name != "a3":
                commands.append(f"link delete {name}")
        near.run(["ip", "-batch", "-"], input="\n".join(commands))
        wait_until(lambda: attached(near, hook) == both("a3"), f"attached to the last one of round {round_}")
        near.run(["ip", "link", "delete", "a3"])
    rheod.stop()


def flapping(rig, case, hook):
    """The metered interface of two goes down and up, and is deleted and made again, under traffic on the other."""
    near, far = rig.pair()
    rheod = start(rig, near, case, hook, ["east", "x*"])
    source = near.start_sending("east", "--rate", 30_000, "--flows", 1_000, "--both-directions")
    reports = []
    for _ in range(15):
        add_pair(near, far, "x0")
        wait_until(lambda: ("x0", "egress") in attached(near, hook), "x0 attached")
        reports.append(near.send("x0", "--packets", 500, "--flows", 20))
        near.run(["ip", "link", "set", "dev", "x0", "down"])
        near.run(["ip", "link", "delete", "dev", "x0"])
    reports.append(finish_sending(source))
    counters = rheod.stop()
    expect_conserved(sent_by(*reports), rheod.sums(), counters)


def ports_of_masters(rig, case):
    """By default every packet is counted once: on the master, not on its port; on the port while the master is down."""
    near, far = quiet(rig)
    rheod = start(rig, near, case, "tcx", ["*"])
    add_pair(near, far, "port")
    wait_until(lambda: attached(near, "tcx") == both("port"), "the port alone")
    near.run(["sh", "-c", "ip link add link port name above type vlan id 5; ip link set dev above up || true"])  # where the kernel has VLANs
    near.run(["ip", "link", "add", "br0", "type", "bridge"])
    near.run(["ip", "link", "set", "dev", "br0", "up"])
    near.run(["ip", "link", "set", "dev", "port", "master", "br0"])
    wait_until(lambda: attached(near, "tcx") == both("br0"), "the bridge instead of its port")
    near.run(["ip", "link", "set", "dev", "br0", "down"])
    wait_until(lambda: attached(near, "tcx") == both("port"), "the port while the bridge is down")
    near.run(["ip", "link", "set", "dev", "port", "nomaster"])
    near.run(["ip", "link", "delete", "dev", "br0"])
    time.sleep(0.3)
    expect_equal(attached(near, "tcx"), both("port"), "attached, without a bridge")
    rheod.stop()


def refused(rig, case):
    """An ingress qdisc is in the way of clsact: said once, tried again, metered once it is gone."""
    near, _ = rig.pair()
    near.run(["tc", "qdisc", "add", "dev", "east", "ingress"])
    rheod = start(rig, near, case, "clsact", ["east"])
    wait_until(lambda: rheod.counters()["links.attach_failures"] >= 2, "attempts that fail")
    expect_equal(rheod.said().count("it has an ingress qdisc"), 1, "lines about the refusal")
    near.run(["tc", "qdisc", "del", "dev", "east", "ingress"])
    wait_until(lambda: attached(near, "clsact") == both("east"), "attached by a later attempt")
    sent = near.send("east", "--packets", 1_000, "--flows", 10)
    counters = rheod.stop()
    expect_conserved(sent_by(sent), rheod.sums(), counters)
    expect_equal(counters["links.attached"], 1, "times attached")


def descriptors(process):
    """What its descriptors are, with the number of each kind: sockets and maps by kind, not by number."""
    kinds = collections.Counter()
    for name in os.listdir(f"/proc/{process.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            kinds[re.sub(r"[0-9]+", "", os.readlink(f"/proc/{process.pid}/fd/{name}"))] += 1
    return kinds


def own_kib(process):
    """Memory of its own: of the flow table's file there is the more in memory the longer it was written."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"RssAnon:\s+(\d+)", status.read())[1])


def storm_commands(first, count):
    """Made, up, renamed, half of them moved away, all but a few deleted."""
    for number in range(first, first + count):
        yield f"link add v{number} type veth peer name p{number}"
        yield f"link set v{number} up"
        yield f"link set p{number} up"
        if number % 3 == 0:
            yield f"link set p{number} name q{number}"
    for number in range(first, first + count):
        if number % 5 == 1:
            yield f"link set v{number} netns rheo-interfaces-far"
        elif number % 50:
            yield f"link delete v{number}"


def storm(rig, case, hook):
    pairs = rig.arguments.pairs
    near, far = quiet(rig)
    add_pair(near, far, "east")
    for space in (near, far):
        space.run(["ethtool", "-K", "east", "tso", "off", "gso", "off", "gro", "off"])
    rheod = start(rig, near, case, hook, ["*"])
    source = near.start_sending("east", "--rate", 20_000, "--flows", 500, "--both-directions")
    wait_until(lambda: rheod.records.exists() and rheod.sums().records >= 1_000, "two records of each flow")
    before, own = descriptors(rheod.process), own_kib(rheod.process)
    objects = bpf_objects.held_by(rheod.process.pid)

    def batch(first):
        near.run(["ip", "-batch", "-"], input="\n".join(storm_commands(first, pairs // 4)), timeout=300)
    threads = [threading.Thread(target=batch, args=(part * (pairs // 4),)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def wanted():
        return both(*(link["ifname"] for link in links(near) if "UP" in link["flags"] and link["ifname"] != "lo"))
    wait_until(lambda: attached(near, hook) == wanted(), "attached = wanted after the storm", 240)
    left = [link["ifname"] for link in links(near) if link["ifname"][0] in "vpq"]
    expect(len(left) >= pairs // 50, f"links that stayed: {len(left)}")
    expect_equal(attached(far, hook), [], "attached in the namespace that half of them moved to")
    near.run(["ip", "-batch", "-", ], input="\n".join(f"link delete {name}" for name in left if name[0] == "v"))
    for link in links(near):
        if link["ifname"] not in ("lo", "east"):
            near.run(["ip", "link", "delete", "dev", link["ifname"]])
    wait_until(lambda: attached(near, hook) == both("east"), "attached to what is left", 240)
    # A dump's socket may be open at one moment.
    wait_until(lambda: descriptors(rheod.process) == before,
               f"descriptors {before - descriptors(rheod.process)} {descriptors(rheod.process) - before}")
    grown = own_kib(rheod.process) - own
    expect(grown < 8_192, f"KiB of memory more than before: {grown}")
    pins = subprocess.run(["find", rheod.folder / "bpf", "-name", "link_*", "-o", "-name", "qdisc_*"], check=True,
                          capture_output=True, text=True).stdout.split()
    expect_equal(len(pins), 2 if hook == "tcx" else 1, f"pins {pins}")
    expect_equal(bpf_objects.held_by(rheod.process.pid), objects, "programs, maps and links that it holds")
    sent = sent_by(finish_sending(source))
    counters = rheod.stop()
    wait_until(lambda: not [found for found in objects if bpf_objects.exists(*found)], "programs, maps and links freed")
    kinds = [qdisc["kind"] for qdisc in json.loads(near.run(["tc", "-j", "qdisc"]))]
    expect("clsact" not in kinds, f"a qdisc is left after the stop: {kinds}")
    expect_equal(counters["links.metered"], 1, "metered, by its own count")
    expect_equal(counters["links.failing"], 0, "failing, by its own count")
    expect(counters["links.attached"] > pairs // 20, f"it saw little of the storm: {counters['links.attached']}")
    expect_conserved(sent, rheod.sums(), counters)


def main():
    rig = Rig(lambda parser: parser.add_argument("--pairs", type=int, default=1_000, help="of the storm (default 1000)"),
              choose=True)
    cases = {"ports of masters": ports_of_masters, "refused, then not": refused}
    for hook in HOOKS:
        for name, action in {"appear, flap, move, go": later, "another one of the same number": same_number,
                             "flapping under traffic": flapping, "storm": storm}.items():
            cases[f"{name}, by {hook}"] = lambda rig, case, hook=hook, action=action: action(rig, case, hook)
    rig.run_cases(cases)
    rig.end()


if __name__ == "__main__":
    main()
