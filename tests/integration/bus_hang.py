#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A bus daemon that accepts and then says nothing: rheod meters, answers signals and stops as without a bus."""
import signal
import socket
import time

from bus import SOCKET, wait_for
from rig import Rig, expect, expect_equal

HANGS = 20  # seconds: libsystemd waits a minute for such a bus


def bus_hangs(rig, case):
    SOCKET.parent.mkdir(parents=True, exist_ok=True)
    SOCKET.unlink(missing_ok=True)
    hung = socket.socket(socket.AF_UNIX)
    hung.bind(str(SOCKET))
    hung.listen()
    near, _ = rig.pair()
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]}).start()
    wait_for(lambda: "system bus: it does not answer" in rheod.said(), "word that the bus hangs")
    for printed in (1, 2, 3):
        begun = time.monotonic()
        rheod.process.send_signal(signal.SIGUSR1)
        wait_for(lambda printed=printed: rheod.said().count("counter datapath.seen_packets") == printed, "counters")
        expect(time.monotonic() - begun < HANGS, "the main loop waits for a bus that hangs")
    sent = near.send("east", "--packets", 1_000, "--flows", 10, "--protocols", "udp")
    begun = time.monotonic()
    rheod.stop()
    expect(time.monotonic() - begun < HANGS, "a stop waits for a bus that hangs")
    expect_equal(rheod.sums().packets, sent["packets"], "packets in records")
    hung.close()
    SOCKET.unlink()


def main():
    rig = Rig()
    with rig.case("a bus that hangs") as case:
        bus_hangs(rig, case)
    rig.end()


if __name__ == "__main__":
    main()
