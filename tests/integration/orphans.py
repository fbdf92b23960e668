#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a rheod leaves in the kernel, and who takes it away: the next start (also of another schema's rheod), a stop,
`rheod --detach`; a second rheod is refused. What is not rheo's stays."""
import contextlib
import json
import os
import re
import subprocess

from interfaces import FAST, HOOKS, add_pair, attached, both, quiet, start
from rig import Rig, expect, expect_conserved, expect_equal, mount, sent_by, wait_until
from bpf_objects import exists, held_by  # of tests/tools, which rig has put on the path

SEND = ("--packets", 5_000, "--flows", 100, "--protocols", "udp,tcp", "--families", "4,6")


def pins(rheod):
    """Everything in its pin directory, which an administrator may have made."""
    folder = rheod.folder / "bpf" / "rheo"
    if not folder.exists():
        return []
    found = subprocess.run(["find", folder, "-mindepth", "1"], check=True, capture_output=True, text=True)
    return sorted(os.path.relpath(path, folder) for path in found.stdout.split())


def our_schema(pin_directory):
    """The folder that the rheod of this build pins in."""
    (folder,) = pin_directory.glob("v*")
    return folder


def qdiscs(namespace):
    return [qdisc for qdisc in json.loads(namespace.run(["tc", "-j", "qdisc"])) if qdisc["kind"] == "clsact"]


def expect_bare(namespace, rheod, objects=()):
    """No program, filter, qdisc, pin, and none of the objects that it held; interfaces are as they were."""
    for hook in HOOKS:
        expect_equal(attached(namespace, hook), [], f"programs left at {hook}")
    expect_equal(qdiscs(namespace), [], "qdiscs left")
    expect_equal(pins(rheod), [], "pins left")
    wait_until(lambda: not [found for found in objects if exists(*found)], "objects freed")


def detach(namespace, *options):
    return namespace.start([Rig.programs / "rheod", "--detach", *options], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def detached(namespace, *options):
    """Its exit status and what it said."""
    process = detach(namespace, *options)
    out, errors = process.communicate(timeout=120)
    return process.returncode, out + errors


def other_schema(rig, case, hook):
    """Killed, and the next one does not know the layout of its maps."""
    near, far = quiet(rig)
    for name in ("east", "gone"):
        add_pair(near, far, name)
    rheod = start(rig, near, case, hook, ["east", "gone"])
    first = near.send("east", *SEND)
    wait_until(lambda: rheod.records.exists() and rheod.sums().packets == first["packets"], "records of what was drained")
    left = held_by(rheod.process.pid)
    expect(len(left) >= (12 if hook == "tcx" else 8), f"objects that rheod holds: {left}")
    rheod.kill()
    base = rheod.folder / "bpf" / "rheo"
    our_schema(base).rename(base / "v1")
    (base / "v1" / "not_rheos").mkdir()
    (base / "other").mkdir()
    near.run(["ip", "link", "delete", "dev", "gone"])
    rheod.start()
    expect_equal(attached(near, hook), both("east"), "attached")
    wait_until(lambda: not [found for found in left if exists(*found)], "objects of the other schema freed")
    expect_equal([path for path in pins(rheod) if path.startswith("v1")], ["v1", "v1/not_rheos"], "pins of the other schema")
    said = [line for line in rheod.said().splitlines() if "/v1: " in line]
    expect(len(said) == 1 and re.search(r"\d links and 11 maps of a rheod of another schema", said[0])
           and "cannot be read, so it is lost" in said[0] and "it stays" in said[0], f"said: {said}")
    second = near.send("east", *SEND)
    counters = rheod.stop()
    expect_equal(counters["datapath.seen_packets"], second["packets"], "packets seen with maps of its own")
    expect_conserved(sent_by(first, second), rheod.sums(), counters)
    expect_equal(pins(rheod), ["other", "v1", "v1/not_rheos"], "what is not rheo's")
    expect_equal(qdiscs(near), [], "qdiscs, of which the other schema had made one")


def second_on_the_same_pins(rig, case):
    """Another run directory, the same pin directory."""
    near, _ = rig.pair()
    first = rig.rheod(near, case, interfaces={"include": ["east"]}).start()
    pin_directory = str(first.folder / "bpf" / "rheo")
    second = rig.rheod(near, f"{case} second", interfaces={"include": ["east"]}, daemon={"pin_directory": pin_directory})
    second.start(wait=False)
    expect_equal(second.process.wait(timeout=60), 1, "exit status of the second")
    expect(f"pin directory {pin_directory}: another rheod has it (process {first.process.pid})" in second.said(),
           f"said: {second.said()}")
    expect(not (second.folder / "run").exists(), "the second left its run directory behind")
    sent = near.send("east", *SEND)
    counters = first.stop()
    expect_conserved(sent_by(sent), first.sums(), counters)
    second.start()  # the lock has gone with the first
    second.stop()


def by_hand(rig, case, hook):
    """Killed, detached by hand: nothing is left, another's filter stays, what was counted is in the next one's records."""
    near, far = quiet(rig)
    for name in ("east", "other"):
        add_pair(near, far, name)
    near.run(["tc", "qdisc", "add", "dev", "other", "clsact"])
    near.run(["tc", "filter", "add", "dev", "other", "ingress", "protocol", "all", "prio", "10", "bpf", "bytecode",
              "1,6 0 0 4294967295,"])
    rheod = start(rig, near, case, hook, ["east", "other"])
    status, said = detached(near, "--config", rheod.config)
    expect(status == 1 and f"another rheod has it (process {rheod.process.pid})" in said, f"while one runs: {status} {said}")
    sent = near.send("east", *SEND)
    objects = held_by(rheod.process.pid)
    rheod.kill()
    status, said = detached(near, "--config", rheod.config)
    expect_equal(status, 0, f"exit status of --detach: {said}")
    lines = re.findall(r"removed (?:link \S+/link_|filter )", said)
    expect_equal(len(lines), 4, f"lines about links or filters: {said}")
    expect("/owner_link_" in said, f"no line about the programs that note owners: {said}")
    expect(re.search(r"kept [1-9]\d* flows", said), f"nothing about what is kept: {said}")
    expect_equal([qdisc["dev"] for qdisc in qdiscs(near)], ["other"], "qdiscs left")
    expect_equal(len(json.loads(near.run(["tc", "-j", "filter", "show", "dev", "other", "ingress"]))) > 0, True,
                 "the other's filter is there")
    near.run(["tc", "qdisc", "delete", "dev", "other", "clsact"])
    expect_bare(near, rheod, objects)
    status, said = detached(near, "--config", rheod.config)
    expect(status == 0 and "nothing of rheo's was there" in said, f"a second time: {status} {said}")
    near.send("east", *SEND)  # nobody counts it
    rheod.start()
    counters = rheod.stop()
    expect_conserved(sent_by(sent), rheod.sums(), counters)


def without_configuration(rig, case):
    """The default places, with no file at all."""
    near, _ = rig.pair()
    mount("bpf", "/sys/fs/bpf")
    mount("tmpfs", "/etc/rheo")
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]}, flow=FAST,
                      daemon={"run_directory": "/run/rheo", "pin_directory": "/sys/fs/bpf/rheo"}).start()
    near.send("east", *SEND)
    rheod.kill()
    status, said = detached(near)
    expect(status == 0 and "removed link /sys/fs/bpf/rheo/v" in said, f"{status} {said}")
    expect_equal(os.listdir("/sys/fs/bpf/rheo"), [], "left on the BPF file system")
    expect_bare(near, rheod)


def stopped(rig, case, hook):
    """A stop leaves nothing, also of interfaces that went, moved or flapped while no rheod looked."""
    near, far = quiet(rig)
    for name in ("east", "gone", "moved", "flapped"):
        add_pair(near, far, name)
    rheod = start(rig, near, case, hook, ["*"])
    objects = held_by(rheod.process.pid)
    rheod.kill()
    near.run(["ip", "link", "delete", "dev", "gone"])
    near.run(["ip", "link", "set", "dev", "flapped", "down"])
    with contextlib.suppress(subprocess.CalledProcessError):
        far.run(["ip", "link", "delete", "dev", "moved"])
    rheod.start()
    expect_equal(attached(near, hook), both("east"), "attached")
    objects |= held_by(rheod.process.pid)
    rheod.stop()
    expect_bare(near, rheod, objects)
    run_directory = rheod.folder / "run"  # the one that was killed had made it
    expect(not run_directory.exists() or os.listdir(run_directory) == [], "something is left in the run directory")


def main():
    rig = Rig(choose=True)
    cases = {"second rheod on the same pins": second_on_the_same_pins, "by hand, without a configuration": without_configuration}
    for hook in HOOKS:
        for name, action in {"another schema": other_schema, "by hand": by_hand, "stopped": stopped}.items():
            cases[f"{name}, by {hook}"] = lambda rig, case, hook=hook, action=action: action(rig, case, hook)
    rig.run_cases(cases)
    rig.end()


if __name__ == "__main__":
    main()
