#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rheod is killed at random moments, also while it starts, and started again; the traffic never pauses.
Every packet is in a record or a named loss, to the octet, and no record is in the file twice."""
import random
import time

from rig import Rig, expect_conserved, finish_sending, sent_by


def survive(rig, case, hook, kills, seed):
    chance = random.Random(seed)
    near, _ = rig.pair()
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]},
                      datapath={"hook": hook, "drain_interval": "50ms"},
                      flow={"max_record_interval": "1s", "udp_timeout": "1s", "tcp_timeout": "1s"}).start()
    source = near.start_sending("east", "--rate", 60_000, "--flows", 3_000, "--seed", seed,
                                "--protocols", "udp,tcp", "--families", "4,6", "--both-directions")
    for number in range(kills):
        wait_ready = chance.random() < 0.8  # else killed at any instant of its start
        if number > 0:
            rheod.start(wait=wait_ready)
        time.sleep(chance.uniform(0, 0.5 if wait_ready else 0.15))
        rheod.kill()
    rheod.start()
    time.sleep(0.3)
    sent = sent_by(finish_sending(source))
    counters = rheod.stop()
    expect_conserved(sent, rheod.sums(), counters, lossless=False)


def main():
    def arguments(parser):
        parser.add_argument("--kills", type=int, default=100)
        parser.add_argument("--seed", type=int, default=None)
        parser.add_argument("--hooks", default="tcx,clsact")

    rig = Rig(arguments)
    seed = rig.arguments.seed if rig.arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    hooks = rig.arguments.hooks.split(",")
    for hook in hooks:
        kills = max(1, rig.arguments.kills // len(hooks))
        with rig.case(f"{hook}, {kills} kills, --seed {seed}") as case:
            survive(rig, case, hook, kills, seed)
    rig.end()


if __name__ == "__main__":
    main()
