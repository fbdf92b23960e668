#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every member of the bus interfaces with hostile arguments, as root and as an ordinary user, before the real policy and
a real polkitd: errors are ours and say a sentence, nothing crashes or hangs, and others are served within 50 ms."""
import itertools
import os
import pathlib
import signal
import socket
import struct
import sys
import time
import traceback
import xml.etree.ElementTree

from bus import MANAGER, NAME, ORDINARY_UID, ROOT, SOCKET, XML, answer, serve_cases
from rig import Rig, Skipped, expect, expect_equal
from dbus_wire import BUS, Client

MEBI = 1 << 20
STRINGS = ("", "a" * MEBI, "(" * MEBI, "../../etc/passwd", "\x1b[2J\x07", "x" * 256, "\U0001f600" * 100, "%s%n", "all\nof it")
NUMBERS = (0, 1, 0x7fffffff, 0xffffffff)
VALUES = {"s": STRINGS, "u": NUMBERS, "b": (0, 1), "as": ([], ["x" * MEBI], ["", "../.."] * 100)}
MOST_MS = 50
ROUNDS = 3
OVERLOADED_MS = 10  # where the bus daemon itself takes that long, the machine says nothing about rheod
OURS = f"{NAME}.Error."


def methods():
    """(member, [type of an argument that goes in …])"""
    manager = next(i for i in xml.etree.ElementTree.parse(XML).getroot().iter("interface") if i.get("name") == MANAGER)
    return [(m.get("name"), [a.get("type") for a in m.findall("arg") if a.get("direction") == "in"])
            for m in manager.findall("method")]


def hostile_calls():
    """Every member with every value of every argument, the others being each of some; those without arguments as they
    are."""
    for member, types in methods():
        choices = [VALUES[kind] for kind in types]
        seen = set()
        for at, values in enumerate(choices):
            for value, other in itertools.product(values, (0, -1)):
                arguments = tuple(value if i == at else some[other] for i, some in enumerate(choices))
                if repr(arguments)[:2_000] in seen:
                    continue
                seen.add(repr(arguments)[:2_000])
                yield member, "".join(types), arguments
        if not types:
            yield member, "", ()


def short(arguments):
    return [repr(value)[:30] for value in arguments]


def judge(member, arguments, called, ordinary):
    what = f"{member} {short(arguments)}"
    if called.failed:
        expect(called.error.startswith(OURS), f"{what}: {called.error}: {called.text[:100]}")
        expect(len(called.text.split()) >= 3 and "\x1b" not in called.text, f"{what}: no sentence: {called.text[:100]!r}")
        expect(len(called.text) < 4_096, f"{what}: an answer of {len(called.text)} bytes")
    else:
        expect(not any(isinstance(value, str) and len(value) > 255 for value in arguments), f"{what}: was accepted")
        expect(not ordinary or not arguments, f"{what}: was accepted from an ordinary user")


def all_hostile(uid):
    client = Client(SOCKET, timeout=60)
    calls = 0
    for member, signature, arguments in hostile_calls():
        judge(member, arguments, client.call(NAME, ROOT, MANAGER, member, signature, arguments), uid != 0)
        calls += 1
    for member, types in methods():  # wrong types: the bus library answers
        wrong = "u" if types[:1] == ["s"] else "s"
        called = client.call(NAME, ROOT, MANAGER, member, wrong, (7 if wrong == "u" else "x",))
        if types != [wrong]:
            expect(called.failed and called.text, f"{member}({wrong}): no error")
    for member in ("Nonsense", "a" * 255):
        expect(client.call(NAME, ROOT, MANAGER, member).failed, f"{member[:20]}: no error")
    for path in ("/", "/org/rheo/Rheo1/interface/999999", "/org/rheo/Rheo1/exporter/_"):
        expect(client.call(NAME, path, f"{NAME}.Interface", "x").failed, f"{path}: no error")
    for path, interface, name in ((ROOT, MANAGER, "Nonsense"), (ROOT, "no.such", "State"), (ROOT, "", ""), (ROOT, MANAGER, "x" * MEBI)):
        called = client.call(NAME, path, "org.freedesktop.DBus.Properties", "Get", "ss", (interface, name))
        expect(called.failed and called.text, f"property {name[:20]} of {interface}: no error")
    client.close()
    return calls


def not_utf8():
    """The bus daemon ends such a connection; rheod never sees what it sent."""
    for text in (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"a\x00b"):
        client = Client(SOCKET, timeout=60)
        try:
            client.call(NAME, ROOT, MANAGER, "SetLogLevel", "s", (text,))
            raise AssertionError(f"{text!r}: had an answer")
        except ConnectionError:
            client.close()


def in_process(uid, run):
    """Runs it as the user in a process of its own; its id."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            if uid:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            run()
            status = 0
        except BaseException:  # whatever it is, this process ends here
            print(f"as {uid}: {traceback.format_exc(limit=3)}", file=sys.stderr)
        os._exit(status)
    return process


def finish(process, what, seconds=300):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return expect_equal(os.waitstatus_to_exitcode(status), 0, f"exit status of {what}")
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise AssertionError(f"{what} is not done after {seconds} s")


def hostile(near, rheod, uid):
    finish(in_process(uid, lambda: all_hostile(uid)), "the hostile client")
    expect(rheod.process.poll() is None, "rheod has died")
    answer("GetLosses")
    if uid == 0:
        not_utf8()
        expect(sum(1 for _ in hostile_calls()) > 40, "few hostile calls were made")
    expect_equal(rheod.said().count("rheod: assertion"), 0, "assertions")


def percentile(times, part):
    return sorted(times)[int(part * (len(times) - 1))]


def waited_ms(processes):
    """How long their main threads have been ready to run, and waited for a CPU."""
    return sum(int(pathlib.Path(f"/proc/{process}/task/{process}/schedstat").read_text().split()[1])
               for process in processes) / 1e6


def latency(near, rheod):
    """Somebody else's calls while hostile ones come in as fast as they are answered, compared with the bus's own. What
    rheod does to others it does each time; one round may be disturbed by whatever else the machine runs. What is left of
    an answer's time without the waits for a CPU, of rheod, the bus daemon and the caller, is theirs: at least that, since
    two may wait at a time."""
    near.send("east", "--packets", 20_000, "--flows", 10_000, "--protocols", "udp")
    answer("Drain")
    for _ in range(ROUNDS):
        ours, bus, served, shown = one_round(rheod)
        expect(rheod.process.poll() is None, "rheod has died")
        if percentile(ours, 0.95) < MOST_MS and max(served) < MOST_MS:
            return
    if percentile(bus, 0.95) >= OVERLOADED_MS and percentile(served, 0.95) < MOST_MS:
        raise Skipped(f"the machine is overloaded: {shown} ms")
    raise AssertionError(f"others wait too long, in {ROUNDS} rounds: {shown} ms")


def most_flows():
    """The longest answer that there is."""
    client = Client(SOCKET, timeout=60)
    called = client.call(NAME, ROOT, MANAGER, "ListFlows", "sus", ("", 1_000, "bytes"))
    expect(not called.failed, f"ListFlows: {called.error}")
    client.close()


def one_round(rheod):
    other = Client(SOCKET, timeout=60)
    bus_daemon, _, _ = struct.unpack("3i", other.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    on_the_way = (rheod.process.pid, bus_daemon, os.getpid())

    def keep_calling(uid):
        until = time.monotonic() + 6
        while time.monotonic() < until:
            all_hostile(uid)
            if uid == 0:
                most_flows()
    attackers = [in_process(uid, lambda uid=uid: keep_calling(uid)) for uid in (0, ORDINARY_UID)]
    ours, bus, served = [], [], []
    until = time.monotonic() + 5
    while time.monotonic() < until:
        for times, service, path, interface, member in ((bus, BUS, "/org/freedesktop/DBus", BUS, "GetId"),
                                                        (ours, NAME, ROOT, MANAGER, "GetStatistics")):
            waited, begin = waited_ms(on_the_way), time.monotonic()
            expect(not other.call(service, path, interface, member).failed, f"{member} failed")
            times.append(1_000 * (time.monotonic() - begin))
            if times is ours:
                served.append(max(0, times[-1] - (waited_ms(on_the_way) - waited)))
        time.sleep(0.005)
    for process in attackers:
        finish(process, "a hostile client")
    shown = ", ".join(f"{name} {percentile(times, 0.5):.1f}/{percentile(times, 0.95):.1f}/{max(times):.1f}"
                      for name, times in (("rheod", ours), ("but waits for a CPU", served), ("the bus", bus)))
    print(f"milliseconds to an answer, median/95 %/most of {len(ours)}: {shown}", flush=True)
    other.close()
    return ours, bus, served, shown


def main():
    rig = Rig()
    serve_cases(rig, {"as root": lambda near, rheod: hostile(near, rheod, 0),
                      "as an ordinary user": lambda near, rheod: hostile(near, rheod, ORDINARY_UID),
                      "others are served meanwhile": latency}, polkit=True)
    rig.end()


if __name__ == "__main__":
    main()
