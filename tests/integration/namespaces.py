#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Named network namespaces: rheod meters interfaces in them without living there. Every packet is counted once or as a
duplicate, each record names its namespace, namespaces come and go under traffic, and nothing is left behind. Names are
those of the test's own /run/netns; `auto` sees no other."""
import collections
import json
import os
import subprocess

from rig import Rig, expect, expect_conserved, expect_equal, finish_sending, losses, run, sent_by
from interfaces import HOOKS, attached, both, wait_until
import bpf_objects  # of tests/tools, which rig has put on the path

FAST = {"max_record_interval": "1s", "udp_timeout": "1s", "tcp_timeout": "1s"}
DROP_IN = "/usr/share/rheo/rheod-netns.conf"
CAP_SYS_ADMIN = 21


def quiet(rig, *names):
    spaces = [rig.namespace(name) for name in names]
    for space in spaces:
        space.set_kernel("ipv6/conf/default/disable_ipv6", 1)
        space.set_kernel("ipv6/conf/all/disable_ipv6", 1)
    return spaces


def add_pair(left, left_name, right, right_name, index):
    """`index` is the left end's."""
    run(["ip", "link", "add", "name", left_name, "index", index, "netns", left.name, "type", "veth", "peer",
         "name", right_name, "netns", right.name])
    for space, name in ((left, left_name), (right, right_name)):
        space.run(["ip", "link", "set", "dev", name, "addrgenmode", "none"])
    for space, name in ((left, left_name), (right, right_name)):
        space.run(["ip", "link", "set", "dev", name, "up"])


def start(rig, home, case, hook, netns, include=("eth0",), flow=None, wait=True):
    return rig.rheod(home, case, interfaces={"include": list(include), "netns": netns}, flow={**FAST, **(flow or {})},
                     datapath={"hook": hook, "drain_interval": "50ms"}).start(wait=wait)


def records(rheod):
    return [json.loads(line) for line in rheod.records.read_text().splitlines()]


def packets_by_namespace(rheod):
    found = collections.Counter()
    for record in records(rheod):
        found[record.get("network.interface.netns.name", "")] += (
            record["flow.packets.delta"] + record["flow.reverse.packets.delta"])
    return found


def pinned(rheod):
    return sorted(path.name for path in (rheod.folder / "bpf" / "rheo").rglob("*"))


def leaves_nothing(rheod, hook, *spaces):
    for space in spaces:
        expect_equal(attached(space, hook), [], f"attached in {space.name} after the stop")
    expect_equal(pinned(rheod), [], "pinned after the stop")


def same_index(rig, case, hook):
    """The interface of each namespace has the same name and number, and a packet is on one of them only."""
    home, blue, red, far = quiet(rig, "home", "blue", "red", "far")
    for number, space in enumerate((home, blue, red)):
        add_pair(space, "eth0", far, f"west{number}", 70)
    rheod = start(rig, home, case, hook, [blue.name, red.name], flow={"deduplicate": "none"})
    for space in (home, blue, red):
        expect_equal(attached(space, hook), both("eth0"), f"attached in {space.name}")
    sent = {space.name: space.send("eth0", "--packets", 4_000 + 1_000 * number, "--flows", 50)
            for number, space in enumerate((home, blue, red))}
    counters = rheod.stop()
    expect_conserved(sent_by(*sent.values()), rheod.sums(), counters)
    wanted = {space.name if space is not home else "": sent_by(sent[space.name])["packets"]
              for space in (home, blue, red)}
    expect_equal(dict(packets_by_namespace(rheod)), wanted, "packets by the namespace that records name")
    expect_equal({record["network.interface.index"] for record in records(rheod)}, {70}, "indexes in records")
    leaves_nothing(rheod, hook, home, blue, red)


def boundary(rig, case, hook, deduplicate):
    """Both ends of a pair are metered: every packet passes two interfaces."""
    home, blue = quiet(rig, "home", "blue")
    run(["ip", "link", "add", "name", "eth0", "index", 80, "netns", home.name, "type", "veth", "peer", "name", "eth0",
         "index", 80, "netns", blue.name])
    for space in (home, blue):
        space.run(["ip", "link", "set", "dev", "eth0", "addrgenmode", "none", "up"])
    rheod = start(rig, home, case, hook, [blue.name], flow={"deduplicate": deduplicate})
    sent = [home.send("eth0", "--packets", 5_000, "--flows", 20)]
    counters = rheod.stop()
    once = sent_by(*sent)
    if deduplicate == "none":
        expect_equal(rheod.sums().packets, 2 * once["packets"], "packets in records, each on both sides")
        expect_equal(counters["table.duplicate.packets"], 0, "duplicates")
    else:
        expect_conserved(once, rheod.sums(), counters, several_links=True)
        expect_equal(counters["table.duplicate.packets"], once["packets"], "duplicates")
    leaves_nothing(rheod, hook, home, blue)


def comes_and_goes(rig, case, hook):
    """A name that is not there, appears, is deleted under traffic, and appears again as another namespace."""
    home, far = quiet(rig, "home", "far")
    name = "rheo-namespaces-later"
    rheod = start(rig, home, case, hook, [name])
    expect(f"network namespace {name}: there is none of this name in /run/netns now" in rheod.said(),
           f"nothing about the one that is missing: {rheod.said()}")
    sent = []
    for number in range(3):
        later, = quiet(rig, "later")
        add_pair(later, "eth0", far, f"west{number}", 90)
        wait_until(lambda space=later: attached(space, hook) == both("eth0"), "attached in the one that appears")
        source = later.start_sending("eth0", "--packets", 1_000_000, "--flows", 100, "--rate", 20_000)
        wait_until(lambda: (rheod.records.exists() and later.counters("eth0")["tx_packets"] > 2_000), "traffic")
        run(["ip", "netns", "delete", name])
        wait_until(lambda: rheod.said().count(f"network namespace {name}: no longer followed") == number + 1,
                   "noticed that the name is gone")
        expect_equal(attached(later, hook), [], "attached where the name is gone")
        finish_sending(source)
        later.run(["ip", "link", "delete", "dev", "eth0"])
        os.close(later._fd)
        sent.append(later)
    counters = rheod.stop()
    expect_equal(rheod.sums().packets + losses(counters)["packets"],
                 counters["datapath.seen_packets"] - counters["datapath.not_ip.packets"]
                 - counters["table.duplicate.packets"], "packets seen")
    expect(rheod.sums().packets > 6_000, f"{rheod.sums().packets} packets in records")
    expect_equal(set(packets_by_namespace(rheod)), {name}, "namespaces in records")
    leaves_nothing(rheod, hook, home)


def killed(rig, case, hook):
    """Killed and started again: the kernel counts on, and a namespace that has gone meanwhile leaves nothing."""
    home, blue, red, far = quiet(rig, "home", "blue", "red", "far")
    for number, space in enumerate((home, blue, red)):
        add_pair(space, "eth0", far, f"west{number}", 60 + number)
    rheod = start(rig, home, case, hook, "auto", include=("eth0",))
    sent = [blue.send("eth0", "--packets", 3_000, "--flows", 30)]
    rheod.kill()
    sent.append(blue.send("eth0", "--packets", 3_000, "--flows", 30))
    sent.append(red.send("eth0", "--packets", 2_000, "--flows", 30, "--first-flow", 1_000))
    expect_equal(attached(blue, hook), both("eth0"), "attached while no rheod runs")
    run(["ip", "netns", "delete", red.name])
    red.run(["ip", "link", "delete", "dev", "eth0"])
    rheod.start()
    wait_until(lambda: attached(blue, hook) == both("eth0"), "attached again")
    sent.append(blue.send("eth0", "--packets", 3_000, "--flows", 30))
    counters = rheod.stop()
    expect_conserved(sent_by(*sent), rheod.sums(), counters, several_links=True)
    by = packets_by_namespace(rheod)
    expect_equal(by[blue.name], sent_by(sent[0], sent[1], sent[3])["packets"], "packets of blue in records")
    leaves_nothing(rheod, hook, home, blue)


def detached(rig, case, hook):
    """`rheod --detach` after a kill removes what is in other namespaces, too."""
    home, blue, far = quiet(rig, "home", "blue", "far")
    add_pair(blue, "eth0", far, "west0", 60)
    rheod = start(rig, home, case, hook, [blue.name])
    blue.send("eth0", "--packets", 1_000, "--flows", 10)
    rheod.kill()
    expect_equal(attached(blue, hook), both("eth0"), "attached while no rheod runs")
    said = home.run([Rig.programs / "rheod", "--detach", "--config", rheod.config])
    expect("kept 10 flows" in said, f"rheod --detach said {said}")
    expect_equal(attached(blue, hook), [], "attached after --detach")
    expect_equal(pinned(rheod), [], "pinned after --detach")


def reloaded(rig, case, hook):
    """A reload with other names attaches and detaches the difference; `auto` leaves out aliases and its own."""
    home, blue, red, far = quiet(rig, "home", "blue", "red", "far")
    for number, space in enumerate((home, blue, red)):
        add_pair(space, "eth0", far, f"west{number}", 60 + number)
    rheod = start(rig, home, case, hook, [blue.name])
    expect_equal((attached(blue, hook), attached(red, hook)), (both("eth0"), []), "attached at the start")

    def reload(netns):
        rheod.configure(interfaces={"include": ["eth0"], "netns": netns}, flow=FAST,
                        datapath={"hook": hook, "drain_interval": "50ms"})
        rheod.process.send_signal(1)

    reload([red.name])
    wait_until(lambda: (attached(blue, hook), attached(red, hook)) == ([], both("eth0")), "the other one")
    reload("auto")
    wait_until(lambda: (attached(blue, hook), attached(red, hook)) == (both("eth0"), both("eth0")), "all")
    expect_equal(attached(home, hook), both("eth0"), "attached in rheod's own")
    run(["ip", "netns", "attach", "rheo-namespaces-alias", rheod.process.pid])
    sent = [space.send("eth0", "--packets", 1_000, "--flows", 10, "--first-flow", 100 * number)
            for number, space in enumerate((home, blue, red))]
    reload([])
    wait_until(lambda: (attached(blue, hook), attached(red, hook)) == ([], []), "none")
    counters = rheod.stop()
    expect_conserved(sent_by(*sent), rheod.sums(), counters, several_links=True)
    leaves_nothing(rheod, hook, home, blue, red)


def forbidden(rig, case, hook):
    """Without CAP_SYS_ADMIN one sentence names the drop-in, and everything else is metered."""
    home, blue, far = quiet(rig, "home", "blue", "far")
    for number, space in enumerate((home, blue)):
        add_pair(space, "eth0", far, f"west{number}", 60 + number)
    rheod = rig.rheod(home, case, interfaces={"include": ["eth0"], "netns": [blue.name]}, flow=FAST,
                      datapath={"hook": hook, "drain_interval": "50ms"})
    rheod.start(without_capability=CAP_SYS_ADMIN)
    wait_until(lambda: DROP_IN in rheod.said(), "the sentence")
    expect_equal(rheod.said().count("CAP_SYS_ADMIN"), 1, f"sentences about it in {rheod.said()}")
    expect_equal((attached(home, hook), attached(blue, hook)), (both("eth0"), []), "attached")
    sent = [home.send("eth0", "--packets", 1_000, "--flows", 10)]
    counters = rheod.stop()
    expect_conserved(sent_by(*sent), rheod.sums(), counters)


def no_namespace(rig, case, hook):
    """Files in /run/netns that are no namespaces; nothing waits for them."""
    home, far = quiet(rig, "home", "far")
    add_pair(home, "eth0", far, "west0", 60)
    os.mkfifo("/run/netns/fifo")
    with open("/run/netns/file", "w", encoding="ascii"):
        pass
    os.mkdir("/run/netns/folder")
    try:
        rheod = start(rig, home, case, hook, ["fifo", "file", "folder"])
        for name in ("fifo", "file", "folder"):
            wait_until(lambda word=name: f"network namespace {word}: /run/netns/{word} is no network namespace"
                       in rheod.said(), f"the sentence about {name}")
        sent = [home.send("eth0", "--packets", 1_000, "--flows", 10)]
        counters = rheod.stop()
        expect_conserved(sent_by(*sent), rheod.sums(), counters, several_links=True)
    finally:
        os.unlink("/run/netns/fifo")
        os.unlink("/run/netns/file")
        os.rmdir("/run/netns/folder")


def many(rig, case, hook):
    """50 namespaces are made and deleted as fast as ip(8) can: nothing is left over."""
    home, = quiet(rig, "home")
    rheod = start(rig, home, case, hook, "auto")
    descriptors = f"/proc/{rheod.process.pid}/fd"
    before = len(os.listdir(descriptors))
    objects = bpf_objects.held_by(rheod.process.pid)
    for number in range(50):
        name = f"rheo-namespaces-many{number}"
        run(["ip", "netns", "add", name])
        if number % 2:
            run(["ip", "-n", name, "link", "set", "dev", "lo", "up"])
            run(["ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "other"])
            run(["ip", "-n", name, "link", "set", "dev", "eth0", "up"])
        if number >= 10:
            run(["ip", "netns", "delete", f"rheo-namespaces-many{number - 10}"])
    for number in range(40, 50):
        run(["ip", "netns", "delete", f"rheo-namespaces-many{number}"])
    wait_until(lambda: rheod.said().count("its interfaces are followed") == rheod.said().count("no longer followed"),
               "let go of all", 60)
    wait_until(lambda: len(os.listdir(descriptors)) <= before, f"as many descriptors as before ({before})", 60)
    expect_equal(bpf_objects.held_by(rheod.process.pid), objects, "BPF objects that rheod holds")
    rheod.stop()
    leaves_nothing(rheod, hook, home)


def check(rig, case):
    """`rheod --check` says which values of netns are none."""
    home, = quiet(rig, "home")
    rheod = rig.rheod(home, case)
    for netns, fault in (("blue", 'not "auto" and not an array'), ([""], "is not a network namespace's name"),
                         (["a/b"], "is not a network namespace's name"), ([".."], "is not a network namespace's name"),
                         ([7], "is not a network namespace's name"), (7, 'not "auto" and not an array')):
        rheod.configure(interfaces={"netns": netns})
        done = subprocess.run([Rig.programs / "rheod", "--check", "--config", rheod.config], capture_output=True,
                              text=True, check=False, timeout=60)
        expect(done.returncode == 78 and fault in done.stderr, f"{netns!r}: exit {done.returncode}: {done.stderr}")
    for netns in ("auto", ["blue", "a.b"], []):
        rheod.configure(interfaces={"netns": netns})
        run([Rig.programs / "rheod", "--check", "--config", rheod.config])


def main():
    rig = Rig(choose=True)
    cases = {}
    both_hooks = [("same name and index", same_index), ("killed", killed), ("detached", detached)]
    for hook in HOOKS:
        for name, action in both_hooks:
            cases[f"{name}, {hook}"] = lambda rig, case, action=action, hook=hook: action(rig, case, hook)
    for deduplicate in ("first-interface", "none"):
        cases[f"across the boundary, {deduplicate}"] = (
            lambda rig, case, deduplicate=deduplicate: boundary(rig, case, "tcx", deduplicate))
    for name, action in (("comes and goes", comes_and_goes), ("reloaded", reloaded),
                         ("without the capability", forbidden), ("no namespace", no_namespace), ("fifty", many)):
        cases[name] = lambda rig, case, action=action: action(rig, case, "tcx")
    cases["the settings"] = check
    rig.run_cases(cases)
    rig.end()


if __name__ == "__main__":
    main()
