#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A bus daemon that accepts and then says nothing, or no more once it has let rheod in: rheod meters, answers signals and
stops as without a bus."""
import contextlib
import signal
import socket
import struct
import threading
import time

from bus import SOCKET, wait_for
from rig import Rig, expect, expect_equal

HANGS = 20  # seconds: libsystemd waits a minute for such a bus


@contextlib.contextmanager
def listening():
    SOCKET.parent.mkdir(parents=True, exist_ok=True)
    SOCKET.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(SOCKET))
        listener.listen()
        yield listener
    SOCKET.unlink()


class LetsIn:
    """Serves the handshake and Hello of each client, reads on, and answers nothing."""

    def __init__(self, listener):
        self.asked_for_name = self.left = 0
        self._listener = listener
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed: the case is over
                return
            threading.Thread(target=self._let_in, args=(client,), daemon=True).start()

    def _let_in(self, client):
        said = b""
        while b"BEGIN\r\n" not in said:
            said += client.recv(4096)
        # EXTERNAL with the identity in DATA, as libsystemd does it; or at once.
        data = b"DATA\r\n" if b"AUTH EXTERNAL\r\n" in said else b""
        client.sendall(data + b"OK 0123456789abcdef0123456789abcdef\r\nAGREE_UNIX_FD\r\n")
        said = said.partition(b"BEGIN\r\n")[2]
        while b"Hello" not in said:
            said += client.recv(4096)
        name = b":1.7"
        fields = b"\5\1u\0" + struct.pack("<I", 1) + b"\x08\1g\0\1s\0"
        body = struct.pack("<I", len(name)) + name + b"\0"
        head = struct.pack("<BBBBIII", ord("l"), 2, 1, 1, len(body), 1, len(fields)) + fields
        client.sendall(head + bytes(-len(head) % 8) + body)
        while part := client.recv(4096):
            said += part
            if b"RequestName" in said:
                self.asked_for_name += 1
                said = b""
        self.left += 1


def stays_itself(near, rheod):
    """Of a rheod whose bus hangs now."""
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


def hangs(rig, case):
    near, _ = rig.pair()
    with listening():
        rheod = rig.rheod(near, case, interfaces={"include": ["east"]}).start()
        wait_for(lambda: "system bus: it does not answer" in rheod.said(), "word that the bus hangs")
        stays_itself(near, rheod)


def hangs_after_the_handshake(rig, case):
    near, _ = rig.pair()
    with listening() as listener:
        bus = LetsIn(listener)
        rheod = rig.rheod(near, case, interfaces={"include": ["east"]}).start()
        # rheod gives up after five seconds. A machine that is busy may miss those, but not every time.
        for attempt in (1, 2, 3):
            wait_for(lambda: bus.asked_for_name > bus.left, "a request for the name", 60)
            left = bus.left
            rheod.process.send_signal(signal.SIGUSR1)
            wait_for(lambda attempt=attempt: rheod.said().count("counter datapath.seen_packets") == attempt, "counters")
            if bus.left == left:
                break
        expect(bus.left == left, "the main loop waits for the name")
        wait_for(lambda: "system bus: it does not give us the name" in rheod.said(), "word that there is no name", 60)
        wait_for(lambda: bus.asked_for_name > 1, "another request for the name", 60)
        sent = near.send("east", "--packets", 1_000, "--flows", 10, "--protocols", "udp")
        rheod.stop()
        expect_equal(rheod.sums().packets, sent["packets"], "packets in records")


def main():
    rig = Rig()
    rig.run_cases({"a bus that hangs": hangs, "a bus that hangs after the handshake": hangs_after_the_handshake})
    rig.end()


if __name__ == "__main__":
    main()
