#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rheod dies at each step of attaching, detaching, pinning and unpinning (fault points of daemon/datapath), while the
interfaces that are wanted have changed since the last start; the next start has exactly what is wanted attached and
pinned, and a stop leaves nothing. With TCX and with clsact."""
import os
import re
import signal
import subprocess

from interfaces import HOOKS, add_pair, attached, both, quiet, start
from orphans import detached, expect_bare, pins, qdiscs
from rig import TOP, Rig, expect, expect_equal, wait_until

FAULT_POINT = re.compile(r'RHEO_FAULT_POINT\("([^"]+)"\)')
FRESH = ("map-pinned",)  # come with nothing left by an earlier one only
BOTH = ("map-pinned", "map-unpinned")
POINTS = {"tcx": ("link-attached", "link-pinned", "link-updated", "link-detached", "link-unpinned", *BOTH),
          "clsact": ("qdisc-marked", "qdisc-made", "filter-attached", "filter-dropped", "filter-detached", "qdisc-removed",
                     *BOTH)}
WANTED = (("a*", "b*"), ("b*", "c*"))


def names(include):
    return [pattern.rstrip("*") + "0" for pattern in include]


def no_point_is_missing():
    found = set()
    for source in (TOP / "daemon" / "datapath").glob("*.cpp"):
        found.update(FAULT_POINT.findall(source.read_text()))
    expect_equal(sorted(set().union(*POINTS.values())), sorted(found), "fault points that this test knows")


def link_pins(rheod, prefix):
    return sorted(pin.rsplit("/", 1)[-1] for pin in pins(rheod) if pin.rsplit("/", 1)[-1].startswith(prefix))


def expect_wanted(near, rheod, hook, include, what):
    """Exactly that is attached, and nothing else is pinned or marked."""
    wanted = both(*names(include))
    expect_equal(attached(near, hook), wanted, f"attached after {what}")
    other = "clsact" if hook == "tcx" else "tcx"
    expect_equal(attached(near, other), [], f"attached by {other} after {what}")
    numbers = [line.split(":")[0] for name in names(include) for line in near.run(["ip", "-o", "link", "show", name]).split("\n")[:1]]
    links = [f"link_{number}_{way}" for number in numbers for way in ("egress", "ingress")] if hook == "tcx" else []
    marks = [f"qdisc_{number}" for number in numbers] if hook == "clsact" else []
    expect_equal(link_pins(rheod, "link_"), sorted(links), f"pinned links after {what}")
    expect_equal(link_pins(rheod, "qdisc_"), sorted(marks), f"marks after {what}")
    expect_equal(sorted(qdisc["dev"] for qdisc in qdiscs(near)), sorted(names(include)) if hook == "clsact" else [],
                 f"qdiscs after {what}")


def die(near, rheod, point, passage, include):
    """Whether it came to that point: in its start, when an interface goes down, or when it stops."""
    last = names(include)[-1]
    rheod.start(wait=False, environment={"RHEO_FAULT": f"{point}:{passage}"})
    wait_until(lambda: rheod.process.poll() is not None or "metering " in rheod.said(), "metering, or dead")
    near.run(["ip", "link", "set", "dev", last, "down"])
    if rheod.process.poll() is None:
        wait_until(lambda: rheod.process.poll() is not None or "no longer metered: " in rheod.said(), "the interface let go")
    if rheod.process.poll() is None:
        rheod.process.terminate()
    died = rheod.wait_killed(seconds=60)
    near.run(["ip", "link", "set", "dev", last, "up"])
    return died


def matrix(rig, case, hook):
    near, far = quiet(rig)
    for name in ("a0", "b0", "c0"):
        add_pair(near, far, name)
    rheod = start(rig, near, case, hook, list(WANTED[0]))
    for number, (point, passage) in enumerate((point, passage) for point in POINTS[hook]
                                              for passage in range(1, rig.arguments.passages + 1)):
        include = WANTED[(number + 1) % 2]
        if point in FRESH:
            rheod.stop()
        else:
            rheod.kill()
        rheod.configure(interfaces={"include": list(include)}, datapath={"hook": hook, "drain_interval": "50ms"})
        expect(die(near, rheod, point, passage, include), f"rheod never came to {point} {passage} times")
        rheod.start()
        expect_wanted(near, rheod, hook, include, f"{point}, passage {passage}")
    rheod.stop()
    expect_bare(near, rheod)


def by_hand(rig, case, hook):
    """rheod --detach dies as well; the next one finishes."""
    near, far = quiet(rig)
    for name in ("a0", "b0"):
        add_pair(near, far, name)
    rheod = start(rig, near, case, hook, ["a*", "b*"])
    for point in ("link-detached", "link-unpinned") if hook == "tcx" else ("filter-dropped", "qdisc-removed"):
        rheod.kill()
        process = near.start([Rig.programs / "rheod", "--detach", "--config", rheod.config], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env={**os.environ, "RHEO_FAULT": f"{point}:2"})
        expect_equal(process.wait(timeout=60), -signal.SIGKILL, f"exit status of the one that dies at {point}")
        status, said = detached(near, "--config", rheod.config)
        expect_equal(status, 0, f"exit status of the next one: {said}")
        expect_bare(near, rheod)
        rheod.start()
    rheod.stop()


def main():
    rig = Rig(lambda parser: parser.add_argument("--passages", type=int, default=1, metavar="N",
                                                 help="die at the first N passages of each point (default 1)"))
    with rig.case("no fault point is missing"):
        no_point_is_missing()
    for hook in HOOKS:
        with rig.case(f"crashes, by {hook}") as case:
            matrix(rig, case, hook)
        with rig.case(f"crashes by hand, by {hook}") as case:
            by_hand(rig, case, hook)
    rig.end()


if __name__ == "__main__":
    main()
