#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records count the connections that are opened, accepted and closed, and those that fail, as the kernel's own counters do,
on the host of either end and on one between."""
import json

from rig import Rig, expect_equal, wait_until
from routed import routed

OPEN, SHUT = 5000, 5001
ACCEPTED, REFUSED, UNANSWERED = 40, 9, 3
SILENT = "10.9.2.9"
EVENTS = ("connects", "accepts", "closes", "failed_connects")
# Much is cut before it ends: all of it tells the same in more records.
FLOW = {"max_record_interval": "500ms", "tcp_timeout": "10s", "tcp_fin_timeout": "5s", "tcp_rst_timeout": "5s"}


def hosts(rig):
    left, host, right = routed(rig)
    # Its link layer address is nobody's, and known: what is sent there is seen on all links.
    host.run(["ip", "neighbour", "add", SILENT, "lladdr", "02:00:00:00:00:09", "dev", "east"])
    left.set_kernel("ipv4/tcp_syn_retries", 1)  # it gives up after three seconds
    return left, host, right


def kernel_counters(namespace):
    """Of TCP, by the names of RFC 4022."""
    lines = [line.split() for line in namespace.run(["cat", "/proc/net/snmp"]).splitlines() if line.startswith("Tcp:")]
    return {name: int(value) for name, value in zip(*(line[1:] for line in lines))}


def connect_all(left, right):
    """As many of each kind as the constants say."""
    server = right.start(["/usr/bin/python3", "-c", f"""
import socket
listener = socket.create_server(("10.9.2.2", {OPEN}), backlog=64)
print("ready", flush=True)
for _ in range({ACCEPTED}):
    connection, _ = listener.accept()
    connection.sendall(connection.recv(10))
    connection.close()
"""], stdout=-1, text=True)
    expect_equal(server.stdout.readline(), "ready\n", "the server")
    left.run(["/usr/bin/python3", "-c", f"""
import socket
attempts = [socket.socket() for _ in range({UNANSWERED})]
for attempt in attempts:
    attempt.setblocking(False)
    attempt.connect_ex(("{SILENT}", {OPEN}))
for number in range({ACCEPTED}):
    with socket.create_connection(("10.9.2.2", {OPEN})) as connection:
        connection.sendall(b"x")
        connection.recv(10)
        if number % 4 == 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
for _ in range({REFUSED}):
    try:
        socket.create_connection(("10.9.2.2", {SHUT}))
    except ConnectionRefusedError:
        pass
for attempt in attempts:
    attempt.setblocking(True)
    attempt.settimeout(60)
    try:
        attempt.send(b"x")
    except TimeoutError:
        pass
"""])
    expect_equal(server.wait(60), 0, "the server's exit code")


def told(rheod):
    """The sums of all records; an unfinished line is none."""
    text = rheod.records.read_text() if rheod.records.exists() else ""
    records = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return {event: sum(record.get(f"flow.tcp.{event}", 0) for record in records) for event in EVENTS}


def as_the_kernel_counts(rig, case):
    left, host, right = hosts(rig)
    watched = {place: rig.rheod(namespace, f"{case} {place}", interfaces={"include": [link]}, flow=FLOW,
                                datapath={"drain_interval": "50ms"}).start()
               for place, namespace, link in (("left", left, "a"), ("host", host, "west"), ("right", right, "b"))}
    connect_all(left, right)
    here, there = kernel_counters(left), kernel_counters(right)
    expect_equal((here["ActiveOpens"], here["AttemptFails"], there["PassiveOpens"]),
                 (ACCEPTED + REFUSED + UNANSWERED, REFUSED + UNANSWERED, ACCEPTED), "what the kernels say")
    wanted = {"connects": ACCEPTED, "accepts": ACCEPTED, "closes": ACCEPTED, "failed_connects": REFUSED + UNANSWERED}
    for place, rheod in watched.items():
        wait_until(lambda rheod=rheod: sum(told(rheod).values()) >= sum(wanted.values()), f"all events on {place}")
        rheod.stop()
        expect_equal(told(rheod), wanted, f"the events on {place}")


def main():
    rig = Rig(choose=True)
    rig.run_cases({"as the kernel counts": as_the_kernel_counts})
    rig.end()


if __name__ == "__main__":
    main()
