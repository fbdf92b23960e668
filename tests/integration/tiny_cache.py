#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""With a flow cache of 64 rows nearly every row is evicted; records and named losses are still exactly what
was sent."""
from rig import Rig, expect, expect_conserved, sent_by


def main():
    rig = Rig()
    for case_name, packets, rate, ring in (("full rate", 2_000_000, 0, "32MiB"),
                                           ("full rate, ring of 64 KiB", 1_000_000, 0, "64KiB"),
                                           ("in pace", 500_000, 100_000, "32MiB")):
        with rig.case(case_name) as case:
            near, _ = rig.pair()
            rheod = rig.rheod(near, case, interfaces={"include": ["east"]},
                              datapath={"flow_cache_rows": 64, "evicted_ring": ring}).start()
            sent = sent_by(near.send("east", "--packets", packets, "--rate", rate, "--flows", 5_000, "--seed", 7,
                                     "--protocols", "udp,tcp", "--families", "4,6"))
            counters = rheod.stop()
            expect_conserved(sent, rheod.sums(), counters, lossless=False)
            expect(counters["datapath.evicted_rows"] > packets // 10,
                   f"only {counters['datapath.evicted_rows']} rows were evicted: the case shows nothing")
            if rate:
                expect(counters["datapath.evicted_full.packets"] == 0, "packets lost at a rate that the ring can carry")
    rig.end()


if __name__ == "__main__":
    main()
