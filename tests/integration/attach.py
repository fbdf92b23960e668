#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Interfaces attached and detached over the bus, until the next start or for good, with signals; what the kernel refuses
is told with its reason; orphans are listed, explained and removed while rheod runs."""
import json
import subprocess
import time

from bus import NAME, Bus, answer, error_name, get, named, wait_for
from interfaces import FAST, add_pair, attached, both, quiet
from orphans import our_schema
from rheoctl import monitors, printed, rheoctl, values
from rig import Rig, expect, expect_conserved, expect_equal, sent_by


def serve(rig, case, include, **datapath):
    Bus(rig, case).start()
    near, far = quiet(rig)
    for name in ("east", "other"):
        add_pair(near, far, name)
    rheod = rig.rheod(near, f"{case} rheod", interfaces={"include": include}, flow=FAST,
                      datapath={"drain_interval": "50ms", **datapath}).start()
    wait_for(named, NAME)
    return near, far, rheod


def states():
    return {row["name"]: row["state"] for row in values("interfaces")}


def until_the_next_start(near, far, rheod):
    shown = rheod.folder / "monitor"
    with open(shown, "wb") as file:
        monitor = subprocess.Popen([Rig.programs / "rheoctl", "--json", "monitor"], stdout=file)
    sent = [near.send("east", "--packets", 1_000, "--flows", 10)]
    near.send("other", "--packets", 1_000, "--flows", 10)
    wait_for(lambda: monitors(monitor), "a monitor")
    printed("interfaces", "attach", "other")
    expect_equal(states(), {"east": "metered", "other": "metered"}, "interfaces after attach")
    expect_equal(attached(near, "tcx"), both("east", "other"), "attached")
    sent.append(near.send("other", "--packets", 1_000, "--flows", 10))
    again = rheoctl("interfaces", "attach", "other")
    expect(again.returncode == 1 and "interface other: it is metered already" in again.stderr, again.stderr)
    expect_equal(error_name("AttachInterface", "string:other", "boolean:false"), f"{NAME}.Error.AlreadyAttached", "error")
    printed("interfaces", "detach", "east")
    expect_equal(states(), {"other": "metered"}, "interfaces after detach")
    expect_equal(attached(near, "tcx"), both("other"), "attached")
    expect_equal(error_name("DetachInterface", "string:east", "boolean:false"), f"{NAME}.Error.NotAttached", "error")
    near.send("east", "--packets", 1_000, "--flows", 10)
    near.run(["ip", "link", "delete", "dev", "other"])
    add_pair(near, far, "other")  # of the same name: metered again
    wait_for(lambda: attached(near, "tcx") == both("other"), "other attached again")
    wait_for(lambda: states() == {"other": "metered"}, "other on the bus")
    absent = rheoctl("interfaces", "attach", "nosuch")
    expect(absent.returncode == 1 and "interface nosuch: there is none of this name" in absent.stderr, absent.stderr)
    wait_for(lambda: shown.read_text().count('"interface added"') >= 1 and '"interface removed"' in shown.read_text(),
             "signals")
    monitor.terminate()
    monitor.wait(timeout=10)
    events = [json.loads(line) for line in shown.read_text().splitlines()]
    seen = [(event["event"], event["name"]) for event in events if event["event"].startswith("interface ")]
    expect_equal(seen[:2], [("interface added", "other"), ("interface removed", "east")], "events")
    counters = rheod.stop()
    expect_conserved(sent_by(*sent), rheod.sums(), counters)
    rheod.start()
    expect_equal(attached(near, "tcx"), both("east"), "attached after the next start")


def for_good(near, far, rheod):
    add_pair(near, far, "third")
    printed("interfaces", "attach", "other", "--persist")
    printed("interfaces", "attach", "third", "--persist")
    printed("interfaces", "detach", "east", "--persist")
    expect_equal(attached(near, "tcx"), both("other", "third"), "attached")
    drop_in = rheod.config.with_name(rheod.config.name + ".d") / "90-rheoctl-interfaces.toml"
    expect('exclude = ["east"]' in drop_in.read_text(), drop_in.read_text())
    printed("reload")  # is the same as what is running
    rheod.stop()
    rheod.start()
    wait_for(named, NAME)
    expect_equal(attached(near, "tcx"), both("other", "third"), "attached after the next start")
    printed("interfaces", "attach", "east", "--persist")
    rheod.kill()
    rheod.start()
    expect_equal(attached(near, "tcx"), both("east", "other", "third"), "attached after a kill")
    rheod.stop()
    rheod.configure(interfaces={"include": ["other"], "exclude": ["e*"]})
    drop_in.unlink()
    rheod.start()
    wait_for(named, NAME)
    refused = rheoctl("--persist", "interfaces", "attach", "east")
    expect(refused.returncode == 1 and '"e*" of exclude matches it' in refused.stderr, refused.stderr)
    expect(not drop_in.exists(), "a drop-in that does not help was written")
    expect_equal(attached(near, "tcx"), both("east", "other"), "attached all the same")


def refused_by_the_kernel(near, rheod):
    near.run(["tc", "qdisc", "add", "dev", "other", "ingress"])
    refused = rheoctl("interfaces", "attach", "other")
    expect(refused.returncode == 1 and "attach other" in refused.stderr and "replace it by clsact" in refused.stderr,
           refused.stderr)
    expect_equal(error_name("AttachInterface", "string:other", "boolean:false"), f"{NAME}.Error.Failed", "error")
    expect_equal(states(), {"east": "metered"}, "interfaces after the refusal")
    near.run(["ip", "link", "set", "dev", "other", "name", "wanted"])
    wait_for(lambda: states() == {"east": "metered", "wanted": "failing"}, "a failing interface")
    path = [row[2] for row in answer("ListInterfaces")[0] if row[1] == "wanted"][0]
    expect("replace it by clsact" in get(path, f"{NAME}.Interface", "Failure"), "Failure has the kernel's reason")
    expect(-30 < get(path, f"{NAME}.Interface", "NextAttemptAt") / 1e9 - time.time() < 61, "NextAttemptAt is not soon")
    expect_equal(values("status")["interfaces"], 1, "metered interfaces in the status")
    near.run(["tc", "qdisc", "delete", "dev", "wanted", "ingress"])
    wait_for(lambda: states() == {"east": "metered", "wanted": "metered"}, "metered after a later attempt", 120)
    expect_equal((get(path, f"{NAME}.Interface", "Failure"), get(path, f"{NAME}.Interface", "NextAttemptAt")), ("", 0),
                 "Failure and NextAttemptAt")
    rheod.stop()


def orphans(rig, near, rheod):
    """Another rheod, with pins of its own, dies; its pins become another schema's beside ours."""
    expect_equal(values("orphans"), [], "orphans at first")
    base = rheod.folder / "bpf" / "rheo"
    second = rig.rheod(near, "orphans second", interfaces={"include": ["other"]}, datapath={"hook": "clsact"},
                       daemon={"pin_directory": str(base.with_name("second"))}).start()
    near.send("other", "--packets", 100, "--flows", 10)
    second.kill()
    our_schema(base.with_name("second")).rename(base / "v1")
    (base / "v1" / "strange").mkdir()
    notes = len(list((base / "v1").glob("owner_link_*")))  # as many as the kernel has kinds of
    found = values("orphans", "list")
    kinds = sorted(orphan["kind"] for orphan in found)
    expect_equal(kinds, ["filter"] * 2 + ["link"] * notes + ["map"] * 11 + ["qdisc", "unknown"], "kinds of orphans")
    expect(all(len(orphan["explanation"]) > 20 for orphan in found), f"an explanation is missing: {found}")
    expect({"other ingress", "other egress", f"{base}/v1/flow_cache"} <= {orphan["place"] for orphan in found}, f"{found}")
    expect_equal(len(values("orphans", "clean")), 14 + notes, "orphans removed")
    expect_equal([orphan["place"] for orphan in values("orphans")], [f"{base}/v1/strange"], "orphans left")
    expect_equal(attached(near, "clsact"), [], "filters left")
    expect_equal(near.run(["tc", "qdisc", "show", "dev", "other", "clsact"]), "", "qdisc left")
    expect_equal(attached(near, "tcx"), both("east"), "ours")
    rheod.stop()


def main():
    rig = Rig(choose=True)
    for name, include, datapath, action in (
            ("until the next start", ["east"], {"hook": "tcx"}, until_the_next_start),
            ("for good", ["east"], {"hook": "tcx"}, for_good),
            ("refused by the kernel", ["east", "wanted"], {"hook": "clsact"},
             lambda near, far, rheod: refused_by_the_kernel(near, rheod)),
            ("orphans", ["east"], {"hook": "tcx"}, lambda near, far, rheod: orphans(rig, near, rheod))):
        if rig.arguments.only not in name:
            continue
        with rig.case(name) as case:
            action(*serve(rig, case, include, **datapath))
    rig.end()


if __name__ == "__main__":
    main()
