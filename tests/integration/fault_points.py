#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rheod dies at each fault point of its source in turn (a build with RHEO_FAULT_POINTS), at the first
passage and at a later one, under traffic; the next rheod carries on. Every packet is in a record or a named
loss, to the octet, and no record is in the file twice."""
import re
import time

from rig import TOP, Rig, expect, expect_conserved, finish_sending, sent_by

FAULT_POINT = re.compile(r'RHEO_FAULT_POINT\("([^"]+)"\)')


def fault_points():
    names = set()
    for room in ("daemon", "netlink", "export"):
        for source in (TOP / room).rglob("*.[ch]*"):
            if source.parent != TOP / "daemon" / "datapath":  # those of attaching are crash_attach.py's
                names.update(FAULT_POINT.findall(source.read_text()))
    return sorted(names)


def die_at(rig, case, point, passage):
    near, _ = rig.pair()
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]},
                      datapath={"drain_interval": "50ms", "flow_cache_rows": 1024},
                      flow={"max_record_interval": "1s", "udp_timeout": "1s", "tcp_timeout": "1s", "outbox_records": 1024})
    # The first one only attaches: a fault may be in the start itself, and packets must be seen from the first on.
    rheod.start()
    source = near.start_sending("east", "--rate", 50_000, "--flows", 2_000, "--seed", passage,
                                "--protocols", "udp,tcp", "--families", "4,6", "--both-directions")
    time.sleep(0.2)
    rheod.kill()
    rheod.start(wait=False, environment={"RHEO_FAULT": f"{point}:{passage}"})
    died = rheod.wait_killed(seconds=60)
    if not died and rheod.process.poll() is None:  # a point on the way out
        rheod.process.terminate()
        died = rheod.wait_killed(seconds=60)
    rheod.start()
    time.sleep(0.3)
    sent = sent_by(finish_sending(source))
    counters = rheod.stop()
    expect(died, f"rheod never came to {point} {passage} times")
    expect_conserved(sent, rheod.sums(), counters, lossless=False)


def main():
    rig = Rig(lambda parser: parser.add_argument("--only", metavar="NAME", help="one fault point"))
    points = fault_points()
    with rig.case("there are fault points"):
        expect(points, "no RHEO_FAULT_POINT in the source")
    for point in points:
        if rig.arguments.only not in (None, point):
            continue
        for passage in (1, 7):
            with rig.case(f"{point}, passage {passage}") as case:
                die_at(rig, case, point, passage)
    rig.end()


if __name__ == "__main__":
    main()
