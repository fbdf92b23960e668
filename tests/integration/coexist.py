#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Beside other people's programs: ahead of them and behind them, by TCX and by clsact, everybody sees every packet
that they should, whatever rheod does: start, die, start again elsewhere in the order, stop."""
import subprocess
import sys

from rig import TOP, Rig, arrived, expect, expect_conserved, expect_equal, sent_by

TCX_PROGRAMS = TOP / "tests" / "tools" / "tcx_programs.py"
DIRECTIONS = ("ingress", "egress")
NEXT, DROP = -1, 2
PACKETS = 20_000


class Foreign:
    """Somebody's program at both directions of an interface."""

    def __init__(self, namespace, interface, place, verdict=NEXT):
        self._processes = [namespace.start([Rig.programs / "foreign_program", interface, direction, place, verdict],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                           for direction in DIRECTIONS]
        for process in self._processes:
            expect_equal(process.stdout.readline(), "attached\n", "the other program's first line")

    def packets(self):
        """Ever seen, by direction."""
        seen = {}
        for direction, process in zip(DIRECTIONS, self._processes):
            process.stdin.write("\n")
            process.stdin.flush()
            seen[direction] = int(process.stdout.readline())
        return seen

    def end(self):
        for process in self._processes:
            process.stdin.close()
            process.wait(timeout=20)


class Bench:
    """A pair of interfaces with traffic in both directions, and what was sent so far."""

    def __init__(self, rig, case, hook, **datapath):
        self.near, self.far = rig.pair()
        self.hook, self._datapath = hook, datapath
        self.rheod = rig.rheod(self.near, case, **self.sections(**datapath))
        self.reports = []

    def sections(self, **datapath):
        return {"interfaces": {"include": ["east"]}, "datapath": {"hook": self.hook, **datapath}}

    def send(self, packets=PACKETS):
        """What is sent passes east's egress hook, then, back from the far side, its ingress hook."""
        outward = self.near.send("east", "--packets", packets, "--flows", 50)
        inward = arrived(self.far.send("west", "--packets", packets, "--flows", 50, "--swap-ends", "--cpu", 0))
        self.reports += [outward, inward]
        return outward, inward

    def sent_each_way(self):
        return {"egress": sent_by(*self.reports[0::2])["packets"], "ingress": self.arrived()}

    def arrived(self):
        return sum(report["packets"] for report in self.reports[1::2])

    def programs(self):
        """Who is at the hooks, in their order."""
        if self.hook == "tcx":
            return self.near.run([sys.executable, TCX_PROGRAMS, "--ids"])
        return "".join(self.near.run(["tc", "filter", "show", "dev", "east", direction]) for direction in DIRECTIONS)


def place_of_ours(bench):
    """0 for the first program of east's egress."""
    if bench.hook == "tcx":
        lines = [line.split() for line in bench.programs().splitlines()]
        ids = [int(number) for name, direction, number in lines if (name, direction) == ("east", "egress")]
        names = [bench.near.run(["bpftool", "prog", "show", "id", number]) for number in ids]
        return next(place for place, name in enumerate(names) if "meter_" in name)
    filters = [line for line in bench.near.run(["tc", "filter", "show", "dev", "east", "egress"]).splitlines()
               if "handle 0x" in line]
    return next(place for place, line in enumerate(filters) if "meter_" in line)


def between_others(rig, case, hook):
    """One ahead, one behind, through a start, a kill, a start and a stop."""
    bench = Bench(rig, case, hook)
    if hook == "clsact":
        bench.near.run(["tc", "qdisc", "add", "dev", "east", "clsact"])
    behind = Foreign(bench.near, "east", "last" if hook == "tcx" else 60)
    alone = bench.programs()
    bench.rheod.start()
    ahead = Foreign(bench.near, "east", "first" if hook == "tcx" else 10)
    bench.send()
    expect_equal(place_of_ours(bench), 1, "place between the two")
    bench.rheod.kill()
    bench.send()  # while no rheod runs
    bench.rheod.start()
    expect_equal(place_of_ours(bench), 1, "place after a restart")
    bench.send()
    sent = bench.sent_each_way()
    for name, other in (("ahead", ahead), ("behind", behind)):
        expect_equal(other.packets(), sent, f"packets seen by the program {name}")
    counters = bench.rheod.stop()
    expect_conserved(sent_by(*bench.reports), bench.rheod.sums(), counters)
    bench.send()
    sent = bench.sent_each_way()
    for name, other in (("ahead", ahead), ("behind", behind)):
        expect_equal(other.packets(), sent, f"packets seen by the program {name}, without rheod")
    ahead.end()
    expect_equal(bench.programs(), alone, "programs at east without rheod")
    if hook == "clsact":
        expect("clsact" in bench.near.run(["tc", "qdisc", "show", "dev", "east"]), "the other's qdisc is gone")
    behind.end()


def in_our_qdisc(rig, case):
    """Another's filter in a qdisc that rheod made keeps it."""
    bench = Bench(rig, case, "clsact")
    bench.rheod.start()
    other = Foreign(bench.near, "east", 60)
    bench.send()
    counters = bench.rheod.stop()
    expect_conserved(sent_by(*bench.reports), bench.rheod.sums(), counters)
    bench.send()
    expect_equal(other.packets(), bench.sent_each_way(), "packets seen by the other program")
    other.end()


# The order of either hook: settings, and rheod's place beside one other program.
ORDERS = {"tcx": ({"tcx_order": "first"}, {"tcx_order": "last"}),
          "clsact": ({"tc_priority": 5}, {"tc_priority": 70})}


def other_order(rig, case, hook):
    """Another order after a kill: the new one holds, and the other program has not noticed."""
    first, last = ORDERS[hook]
    bench = Bench(rig, case, hook, **last)
    if hook == "clsact":
        bench.near.run(["tc", "qdisc", "add", "dev", "east", "clsact"])
    other = Foreign(bench.near, "east", "first" if hook == "tcx" else 60)
    alone = bench.programs()
    for settings, place in ((last, 1), (first, 0), (first, 0), (last, 1)):
        bench.rheod.configure(**bench.sections(**settings))
        bench.rheod.start()
        expect_equal(place_of_ours(bench), place, f"place with {settings}")
        bench.send(2_000)
        bench.rheod.kill()
    bench.rheod.start()
    counters = bench.rheod.stop()
    expect_conserved(sent_by(*bench.reports), bench.rheod.sums(), counters)
    expect_equal(other.packets(), bench.sent_each_way(), "packets seen by the other program")
    expect_equal(bench.programs(), alone, "programs at east without rheod")
    other.end()


SEND_ONCE = """
import socket, struct, sys
interface, count, ports = sys.argv[1], int(sys.argv[2]), (40000, 53)
frame = bytes.fromhex("020000000002020000000001080045000064000100004011") + bytes(2) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
frame += struct.pack(">HHHH", *ports, 80, 0) + bytes(72)
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((interface, 0))
for _ in range(count):
    try:
        out.send(frame)
    except OSError as error:
        if error.errno != 105:  # ENOBUFS: dropped
            raise
"""


def send_once(bench, packets):
    """Each way; what is dropped is not sent again. Frames of 114 octets, what was sent."""
    for namespace, interface in ((bench.near, "east"), (bench.far, "west")):
        namespace.run([sys.executable, "-c", SEND_ONCE, interface, packets])
    return {"packets": 2 * packets, "l3_bytes": 2 * packets * 100, "l2_bytes": 2 * packets * 114}


def dropper(rig, case, hook):
    """A program that drops everything: ahead of it all is counted, behind it nothing; it drops all the same."""
    first, last = ORDERS[hook]
    for settings, all_seen in ((first, True), (last, False)):
        word = "first" if all_seen else "last"
        bench = Bench(rig, f"{case} {word}", hook, **settings)
        if hook == "clsact":
            bench.near.run(["tc", "qdisc", "add", "dev", "east", "clsact"])
        other = Foreign(bench.near, "east", "first" if hook == "tcx" else 60, DROP)
        bench.rheod.start()
        expect_equal(place_of_ours(bench), 0 if all_seen else 1, "place beside the program that drops")
        before = bench.far.counters("west")["rx_packets"]
        sent = send_once(bench, 1_000)
        expect_equal(bench.far.counters("west")["rx_packets"] - before, 0, "packets that got through")
        expect_equal(other.packets(), {"egress": 1_000, "ingress": 1_000}, "packets dropped")
        counters = bench.rheod.stop()
        bench.rheod.records.touch()  # without a record there is no file
        expect_conserved(sent if all_seen else dict.fromkeys(sent, 0), bench.rheod.sums(), counters)
        other.end()
        rig.end_children()
        for namespace in (bench.near, bench.far):
            subprocess.run(["ip", "netns", "delete", namespace.name], check=True)


def main():
    rig = Rig(choose=True)
    cases = {"another's filter in our qdisc": in_our_qdisc}
    for hook in ("tcx", "clsact"):
        for name, action in {"between others": between_others, "another order": other_order,
                             "a program that drops": dropper}.items():
            cases[f"{name}, by {hook}"] = lambda rig, case, hook=hook, action=action: action(rig, case, hook)
    rig.run_cases(cases)
    rig.end()


if __name__ == "__main__":
    main()
