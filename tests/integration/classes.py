#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every flow says of which class its addresses are and where it goes: by the host's addresses, by the settings, and by
files of prefixes, as these change under a running rheod. A file with a mistake stays as it was. Who was called is who
listens, as sockets come and go."""
import itertools
import json
import pathlib
import signal

from rig import Rig, Skipped, expect, expect_equal, run, wait_until

FAST = {"flow": {"udp_timeout": "100ms"}, "datapath": {"drain_interval": "50ms"}, "export_json": {"max_batch_interval": "50ms"}}
NEAR, FAR = "192.0.2.1", "192.0.2.2"
PORTS = itertools.count(20_000)  # a flow's own, so that its records are told from all others
SEND = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', (sys.argv[1], int(sys.argv[2])))"


# Sends from a port until it is ended; from a socket that waits for anybody, or from one that has a peer.
SPEAK = """import contextlib, socket, sys, time
speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
speaker.bind(("192.0.2.1", 20001))
if sys.argv[1] == "connected": speaker.connect(("192.0.2.2", 10001))
while True:
    with contextlib.suppress(ConnectionError):  # nobody is there
        speaker.sendto(b"x", ("192.0.2.2", 10001))
    time.sleep(0.3)
"""


def up(rig):
    """Two hosts; everything else is behind the far one."""
    near, far = rig.pair()
    for namespace, link, own, other in ((near, "east", NEAR, FAR), (far, "west", FAR, NEAR)):
        namespace.run(["ip", "address", "add", f"{own}/24", "dev", link])
        namespace.run(["ip", "link", "set", "dev", link, "address", f"02:00:00:00:00:0{own[-1]}"])
        namespace.run(["ip", "neighbour", "replace", other, "lladdr", f"02:00:00:00:00:0{other[-1]}", "dev", link,
                       "nud", "permanent"])
        namespace.run(["ip", "route", "add", "default", "via", other, "dev", link])
    return near, far


def record_of(namespace, rheod, destination):
    """The record of one datagram that is sent there."""
    port = next(PORTS)
    namespace.run(["python3", "-c", SEND, destination, port])
    found = []

    def look():
        whole = rheod.records.read_text().rpartition("\n")[0] if rheod.records.exists() else ""
        found[:] = [record for record in map(json.loads, whole.splitlines()) if record.get("destination.port") == port]
        return found
    wait_until(look, f"a record of the datagram to {destination}, port {port}")
    return found[0]


def classes_of(record):
    return record["network.direction"], record["source.class"], record["destination.class"]


def becomes(namespace, rheod, destination, wanted, key="destination.class"):
    wait_until(lambda: record_of(namespace, rheod, destination).get(key) == wanted, f"{key} of {destination} is {wanted}")


def by_the_host(rig, case):
    near, far = up(rig)
    rheod = rig.rheod(near, case, **FAST).start()
    expect_equal(classes_of(record_of(near, rheod, FAR)), ("egress", "localhost", "external"), "to the far host")
    expect_equal(classes_of(record_of(far, rheod, NEAR)), ("ingress", "external", "localhost"), "from the far host")
    expect_equal(classes_of(record_of(near, rheod, "10.1.2.3")), ("egress", "localhost", "internal"), "to a private address")
    expect_equal(classes_of(record_of(far, rheod, "10.1.2.3")), ("forwarded", "external", "internal"), "through this host")
    near.run(["ip", "address", "add", "198.51.100.1/32", "dev", "east"])
    becomes(far, rheod, "198.51.100.1", "localhost")
    near.run(["ip", "address", "delete", "198.51.100.1/32", "dev", "east"])
    becomes(far, rheod, "198.51.100.1", "external")
    near.run(["ip", "link", "add", "br-0123456789ab", "type", "bridge"])
    near.run(["ip", "address", "add", "172.20.0.1/16", "dev", "br-0123456789ab"])
    becomes(far, rheod, "172.20.9.9", "docker")
    rheod.stop()


def by_resolv_conf(rig, case):
    """In the mount namespace of this test, where rheod reads another file under that name."""
    system = pathlib.Path("/etc/resolv.conf")
    if not system.exists():
        raise Skipped("there is no /etc/resolv.conf to put another in front of")
    near, _ = up(rig)
    own = rig.case_folder(case).with_suffix(".resolv")
    own.write_text("nameserver 198.51.100.53\n")
    run(["mount", "--bind", own, system])
    rig.at_end_of_case(lambda: run(["umount", system]))
    rheod = rig.rheod(near, case, **FAST).start()
    expect_equal(record_of(near, rheod, "198.51.100.53")["destination.class"], "dns", "the resolver's class")
    own.write_text("nameserver 198.51.100.54\n")
    becomes(near, rheod, "198.51.100.54", "dns")
    expect_equal(record_of(near, rheod, "198.51.100.53")["destination.class"], "external", "a resolver that was")
    rheod.stop()


def by_the_settings(rig, case):
    near, _ = up(rig)
    prefixes = rig.case_folder(case).with_suffix(".prefixes")

    def write(text):
        new = prefixes.with_suffix(".new")
        new.write_text(text)
        new.rename(prefixes)
    write("# partners\n198.51.100.0/25\n")
    sections = {**FAST, "classes": {"office": ["10.1.0.0/16"], "k8sPod": ["10.1.2.0/24"]},
                "classes.partners": {"file": str(prefixes)}, "classes.abnormal.black": {"prefixes": ["203.0.113.7"]}}
    rheod = rig.rheod(near, case, **sections).start()
    for destination, wanted in (("10.1.9.9", "office"), ("10.1.2.9", "k8sPod"), ("10.2.0.1", "internal"),
                                ("198.51.100.1", "partners"), ("198.51.100.129", "external")):
        expect_equal(record_of(near, rheod, destination)["destination.class"], wanted, f"class of {destination}")
    record = record_of(near, rheod, "203.0.113.7")
    expect_equal((record["destination.class"], record["destination.abnormal"]), ("external", "black"), "a bad host")
    expect("source.abnormal" not in record, "this host is on no list")

    write("198.51.100.128/25\n")
    becomes(near, rheod, "198.51.100.129", "partners")
    expect_equal(record_of(near, rheod, "198.51.100.1")["destination.class"], "external", "what the file had before")
    write("198.51.100.0/25\nhostile \x1b[2J\n")
    wait_until(lambda: f"classes.partners: {prefixes}:2: \"hostile ?[2J\" is no prefix" in rheod.said(), "the mistake is told")
    expect_equal(record_of(near, rheod, "198.51.100.129")["destination.class"], "partners", "with a mistake in the file")

    sections["classes"] = {"offices": ["10.1.0.0/16"]}
    sections["classes.abnormal.black"] = {"prefixes": ["203.0.113.8"]}
    rheod.configure(**sections)
    rheod.process.send_signal(signal.SIGHUP)
    becomes(near, rheod, "10.1.2.9", "offices")
    becomes(near, rheod, "203.0.113.8", "black", key="destination.abnormal")
    expect_equal(record_of(near, rheod, "203.0.113.7").get("destination.abnormal"), None, "a host that is good now")
    rheod.stop()


def by_who_listens(rig, case):
    """A flow whose first packet is seen from 20001 to 10001: it is the caller's, unless it listens there."""
    near, _ = up(rig)
    rheod = rig.rheod(near, case, **FAST).start()

    def records():
        whole = rheod.records.read_text().rpartition("\n")[0] if rheod.records.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def told_since(known, port):
        return any(record.get("destination.port") == port for record in records()[known:])
    for how, port in (("connected", 10001), ("waiting", 20001), ("connected", 10001)):
        known = len(records())
        speaker = near.start(["python3", "-c", SPEAK, how])
        try:
            wait_until(lambda: told_since(known, port), f"port {port} was called while the socket is {how}")
        finally:
            speaker.kill()
            speaker.wait(timeout=20)
    rheod.stop()


def main():
    rig = Rig()
    rig.run_cases({"by the host": by_the_host, "by resolv.conf": by_resolv_conf, "by the settings": by_the_settings, "by who listens": by_who_listens})
    rig.end()


if __name__ == "__main__":
    main()
