#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whose a TCP connection is long after it was made: when others were made since that take the places where owners of recent
ones are noted, and when rheod was started anew."""
import re

from owner_actor import PYTHON, Actor
from owners import expect_owner, record_of, start
from rig import Rig, expect_equal, wait_until

# Connects sockets whose cookies end as those in COOKIES do, until each has had one.
CROWD = """
import os, socket, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # which has cookies in a row
places = {cookie % 2**18 for cookie in COOKIES}
while places:
    with socket.socket() as s:
        place = int.from_bytes(s.getsockopt(socket.SOL_SOCKET, 57, 8), sys.byteorder) % 2**18  # SO_COOKIE
        if place in places:
            places.remove(place)
            s.connect_ex(("127.0.0.1", 9))
"""


def places_are_taken(rig, case):
    near = rig.namespace("near")
    rheod = start(rig, near, case, "lo")
    server, client = Actor(rig, near), Actor(rig, near)

    def exchange():
        client.do("kept[-1].sendall(b'x')")
        server.do("kept[-1].recv(1)", "kept[-1].sendall(b'y')")
    server.do("listen(5017)")
    client.do("connect(5017)")
    server.do("accept()")
    drains = rheod.counters()["collector.drains"]
    wait_until(lambda: rheod.counters()["collector.drains"] >= drains + 2, "the end of the connection's first row")
    exchange()
    first = record_of(rheod, 5017)
    cookies = [int(cookie, 16) for cookie in re.findall(r":5017 .*\bsk:([0-9a-f]+)", near.run(["ss", "-Htne"]))]
    expect_equal(len(cookies), 2, "the sockets of the connection")
    near.run([PYTHON, "-c", f"COOKIES = {cookies}\n{CROWD}"])
    exchange()
    for record in (first, record_of(rheod, 5017, 1)):
        expect_owner(record, client, "source.")
        expect_owner(record, server, "destination.")
    rheod.stop()


def passed_on_before_a_restart(rig, case):
    """It is its maker's, and not the one's who has it open when rheod starts."""
    near = rig.namespace("near")
    rheod = start(rig, near, case, "lo")
    server, maker, taker = (Actor(rig, near) for _ in range(3))
    server.do("listen(5018)")
    taker.do("open_box()")
    maker.do("connect(5018)", "give()", "kept.pop().close()")
    taker.do("take()")
    rheod.kill()
    rheod.start()
    taker.do("kept[-1].sendall(b'x')")
    record = record_of(rheod, 5018)
    expect_owner(record, maker, "source." if "source.process.pid" in record else "")
    rheod.stop()


def main():
    rig = Rig(choose=True)
    rig.run_cases({"places are taken": places_are_taken, "passed on before a restart": passed_on_before_a_restart})
    rig.end()


if __name__ == "__main__":
    main()
