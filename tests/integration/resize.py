#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rheod is killed, its pinned programs go on counting, and it comes back with a flow cache of another size: what
the old maps hold is in the records, to the octet, before new maps take their place."""
from rig import Rig, expect, expect_conserved, sent_by

TRAFFIC = ("--packets", 40_000, "--flows", 3_000, "--protocols", "udp,tcp", "--families", "4,6", "--both-directions")


def resize(rig, case, hook, rows, ring):
    near, _ = rig.pair()

    def sections(cache_rows, ring_size):
        return {"interfaces": {"include": ["east"]},
                "datapath": {"hook": hook, "flow_cache_rows": cache_rows, "evicted_ring": ring_size}}

    rheod = rig.rheod(near, case, **sections(4_096, "8MiB")).start()
    reports = [near.send("east", *TRAFFIC)]
    rheod.kill()
    reports.append(near.send("east", *TRAFFIC))  # counted while no rheod runs
    rheod.configure(**sections(rows, ring))
    rheod.start()
    expect("sizes in [datapath] have changed" in rheod.said(), f"rheod does not say that sizes changed: {rheod.said()}")
    reports.append(near.send("east", *TRAFFIC))
    counters = rheod.stop()
    expect_conserved(sent_by(*reports), rheod.sums(), counters)


def main():
    rig = Rig()
    for hook in ("tcx", "clsact"):
        for title, rows, ring in (("more rows", 65_536, "8MiB"), ("fewer rows", 1_024, "8MiB"),
                                  ("another ring", 4_096, "16MiB")):
            with rig.case(f"{hook}, {title}") as case:
                resize(rig, case, hook, rows, ring)
    rig.end()


if __name__ == "__main__":
    main()
