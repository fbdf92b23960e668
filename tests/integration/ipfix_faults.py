#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Faults of a collector and of the way to it, one a case: rheod says so once, the JSON exporter beside it has every
packet, memory stays as it is, records are sent, lost by name or waiting, and the collector that is there afterwards gets
templates first, with sequence number 0."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import time

from ipfix_peers import (PORT, decoded, expect_accounted, expect_all, expect_json_conserved, prepare, send, sentences, settle,
                         together, wait_finished, wait_said, wait_until)
from rig import TOP, Rig, arrived, expect, expect_equal, finish_sending, run, sent_by

TCP = f"tcp://127.0.0.1:{PORT}"
LANE = "ipfix.collector"
PACKETS = 4_000
MEMORY = 4_096  # KiB that rheod may grow by: full batches are less, the records of "absent for long" would be 7,000
SMALLEST_RECORD = 100  # octets of one, or less


class Collector:
    """tests/tools/ipfix_collector.py as a process; what it received is in files."""

    def __init__(self, namespace, folder, *options, kind="tcp", port=PORT):
        self._namespace, self._port = namespace, port
        self.folder = folder
        Collector.count += 1
        self.prefix = f"received{Collector.count}"
        self.process = namespace.start([sys.executable, TOP / "tests" / "tools" / "ipfix_collector.py", kind, port,
                                        folder / self.prefix, *options], stdout=subprocess.PIPE)
        expect(self.process.stdout.readline() == b"ready\n", f"the collector ({kind}) does not listen")

    count = 0

    def files(self):
        """One a connection, in order."""
        return sorted(self.folder.glob(f"{self.prefix}.*"), key=lambda file: int(file.suffix[1:]))

    def received(self):
        return sum(file.stat().st_size for file in self.files())

    def settle(self):
        """Until it has written down what has come."""
        settle(self._namespace, self.process, self._port, self.received)

    def say(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=20)
        self.process.stdout.close()


def memory(rheod):
    """KiB that are rheod's own; the flow table is a shared mapping."""
    with open(f"/proc/{rheod.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"^RssAnon:\s+(\d+) kB", status.read(), re.M)[1])


class Fault:
    """A case: rheod and what it was sent."""

    def __init__(self, rig, case, endpoint=TCP, flow=None, **exporter):
        self.near, self.far, self.rheod = prepare(rig, case, {"collector": {"endpoint": endpoint, **exporter}},
                                                  shutdown_timeout="3s", **(flow or {}))
        self.folder = rig.case_folder(case)
        self.sent = []
        self.before = None

    def collector(self, *options, **keywords):
        return Collector(self.near, self.folder, *options, **keywords)

    def start(self):
        self.rheod.start()

    def send(self, packets=PACKETS, flows=100, wait=True, **options):
        """Flows that were not there before; returns what was sent, when it is in records."""
        sent = send(self.near, self.far, packets, flows, first_flow=10_000 * len(self.sent), **options)
        self.sent.append(sent)
        if wait:
            wait_finished(self.rheod, *self.sent)
            self.before = self.before or memory(self.rheod)
        return sent

    def deliver(self, collector):
        """Until all that was sent is in the collector's files."""
        self.rheod.wait_delivered(LANE)
        collector.settle()

    def said(self, pattern, seconds=60):
        wait_said(self.rheod, LANE, pattern, seconds)

    def end(self, sentences_at_most=2):
        """Stops rheod; what became of the records, and the sum of what was sent."""
        grown = memory(self.rheod) - self.before
        expect(grown <= MEMORY, f"rheod's memory has grown by {grown} KiB")
        started = time.monotonic()
        counters = self.counters = self.rheod.stop()
        expect(time.monotonic() - started < 20, "rheod took 20 seconds to stop, with a shutdown_timeout of 3")
        total = together(*self.sent)
        made = expect_json_conserved(self.rheod, counters, total)
        said = sentences(self.rheod, LANE)
        expect(len(said) <= sentences_at_most, f"more than {sentences_at_most} sentences: {said}")
        return expect_accounted(counters, LANE, made), total


def expect_recovered(fault, collectors, **options):
    """Everything is with the collectors, and nothing was lost."""
    parts, total = fault.end(**options)
    expect_equal((parts["lost"], parts["pending"]), (0, 0), "records lost, and still waiting")
    collectors[-1].settle()
    expect_all(decoded([file for collector in collectors for file in collector.files()]), total)


def expect_nearly_all(parts, found, buffer):
    """All that was sent but what a buffer of this size held; the kernel makes it twice as large."""
    unread = parts["sent"] - found["records"]
    expect(0 <= unread * SMALLEST_RECORD <= 2 * buffer,
           f"{unread} records are nowhere, more than the collector had acknowledged and not read")


def absent(rig, case):
    fault = Fault(rig, case)
    fault.start()
    fault.send()
    fault.said(r"connect to \S+ \(127.0.0.1\): no connection: Connection refused, trying again in 1 s; records wait")
    collector = fault.collector()
    fault.said("writing again")
    fault.send()
    expect_recovered(fault, [collector])
    expect_equal(len(collector.files()), 1, "connections")


def absent_for_long(rig, case):
    """More records than the outbox holds: the oldest are lost, and counted as what they are."""
    fault = Fault(rig, case, flow={"outbox_records": 4_096})
    fault.start()
    for _ in range(3):
        fault.send(packets=10_000, flows=5_000)
    fault.said("records are being lost, the oldest first; each is counted")
    collector = fault.collector()
    fault.said("writing again", seconds=120)  # the next attempt may be 16 s away, or 32
    parts, total = fault.end(sentences_at_most=4)
    collector.settle()
    found = decoded(collector.files())
    expect(parts["lost"] > 0, "no records were lost; the test has sent too few")
    expect_equal(found["records"], parts["sent"], "records that the collector has, of those sent")
    counters = fault.counters
    for unit in ("packets", "l3_bytes", "l2_bytes"):
        expect_equal(found[unit] + counters[f"lane.{LANE}.lost.{unit}"], total[unit], f"{unit} received and lost")


def restarted(rig, case):
    fault = Fault(rig, case)
    first = fault.collector()
    fault.start()
    fault.send()
    fault.deliver(first)
    first.kill()
    fault.send()
    fault.said("trying again")
    second = fault.collector()
    fault.said("writing again")
    fault.send()
    expect_recovered(fault, [first, second])


def killed_under_load(rig, case):
    """Of what is sent all the time, only what the dead one had acknowledged and not read is nowhere."""
    fault = Fault(rig, case)
    buffer = 4_096
    first = fault.collector("--receive-buffer", buffer)
    fault.start()
    fault.send()
    near, far = fault.near, fault.far
    options = ("--rate", 4_000, "--flows", 2_000, "--first-flow", 500_000)
    outward, inward = near.start_sending("east", *options), far.start_sending("west", *options, "--swap-ends")
    time.sleep(1.5)
    first.kill()
    fault.said("trying again")
    second = fault.collector()
    fault.said("writing again")
    time.sleep(0.5)
    fault.sent.append(sent_by(finish_sending(outward), arrived(finish_sending(inward))))
    parts, _ = fault.end()
    expect_equal((parts["lost"], parts["pending"]), (0, 0), "records lost, and still waiting")
    second.settle()
    expect_nearly_all(parts, decoded([*first.files(), *second.files()]), buffer)


def stops_reading(rig, case):
    """The window closes and a batch stays unacknowledged; what had been acknowledged is read later."""
    fault = Fault(rig, case)
    collector = fault.collector("--receive-buffer", 16_384)
    fault.start()
    fault.send()
    fault.deliver(collector)
    collector.say(signal.SIGSTOP)
    for _ in range(3):
        fault.send(flows=500)
    fault.said(r"send to \S+: the collector did not (take a message|acknowledge what was sent) within 5000 ms, trying again")
    collector.say(signal.SIGCONT)
    fault.said("writing again")
    expect_recovered(fault, [collector])
    expect(len(collector.files()) > 1, "the connection was not ended")


def resets(rig, case):
    """In the middle of a message of records, with some in its buffer that it has acknowledged and not read."""
    fault = Fault(rig, case)
    buffer = 4_096
    collector = fault.collector("--receive-buffer", buffer, "--reset-after", 15_001)
    fault.start()
    for _ in range(3):
        fault.send(flows=500)
    wait_until(lambda: len(collector.files()) == 2, "another connection")
    fault.send()
    parts, total = fault.end()
    expect_equal((parts["lost"], parts["pending"]), (0, 0), "records lost, and still waiting")
    collector.settle()
    found = decoded(collector.files())
    expect(found["octets_cut_off"] > 0, "the reset was not in the middle of a message")
    expect_nearly_all(parts, found, buffer)


def black_holed(rig, case):
    """Nobody answers the request for a connection."""
    fault = Fault(rig, case)
    collector = fault.collector("--swallow-connections")
    fault.start()
    fault.send()
    fault.said(r"connect to \S+ \(127.0.0.1\): no answer within 5000 ms, trying again")
    fault.send()
    collector.say(signal.SIGUSR1)
    fault.said("writing again")
    expect_recovered(fault, [collector])


def swallowed(rig, case):
    """An established connection that leads nowhere any more."""
    fault = Fault(rig, case)
    collector = fault.collector("--swallow-after", 15_001)
    fault.start()
    fault.send(flows=500)  # the kernel of the collector may have acknowledged all of it before
    fault.send()
    fault.said(r"send to \S+: the collector did not acknowledge what was sent within 5000 ms, trying again")
    fault.said("writing again")
    expect_recovered(fault, [collector])
    expect_equal(len(collector.files()), 2, "connections")


@contextlib.contextmanager
def resolver(folder, options):
    """Whoever asks for an address asks 127.0.0.1, in this test's mount namespace."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "resolv.conf"
    file.write_text(f"nameserver 127.0.0.1\noptions {options}\n")
    run(["mount", "--bind", file, os.path.realpath("/etc/resolv.conf")])
    try:
        yield
    finally:
        run(["umount", os.path.realpath("/etc/resolv.conf")])


def unknown_name(rig, case):
    with resolver(rig.folder / "names", "timeout:1 attempts:1"):
        fault = Fault(rig, case, endpoint=f"tcp://collector.test:{PORT}")
        names = fault.collector(kind="dns", port=53)
        collector = fault.collector()
        fault.start()
        fault.send()
        fault.said(r"connect to \S+: ask for the address of collector.test: Name or service not known, trying again in 1 s")
        names.say(signal.SIGUSR1)
        fault.said("writing again")
        fault.send()
        expect_recovered(fault, [collector])


def silent_resolver(rig, case):
    with resolver(rig.folder / "names", "timeout:30 attempts:1"):
        fault = Fault(rig, case, endpoint=f"tcp://collector.test:{PORT}")
        names = fault.collector("--swallow-connections", kind="dns", port=53)
        collector = fault.collector()
        fault.start()
        fault.send()
        fault.said(r"connect to \S+: ask for the address of collector.test: no answer within 5000 ms, trying again")
        fault.send()
        names.say(signal.SIGUSR1)
        fault.said("writing again")
        expect_recovered(fault, [collector])


def silent_at_the_end(rig, case):
    """A stop does not wait for a name service: the records stay for the next start, which sends them."""
    with resolver(rig.folder / "names", "timeout:30 attempts:1"):
        fault = Fault(rig, case, endpoint=f"tcp://collector.test:{PORT}")
        names = fault.collector("--swallow-connections", kind="dns", port=53)
        fault.start()
        fault.send()
        parts, total = fault.end()
        expect_equal((parts["sent"], parts["lost"]), (0, 0), "records sent, and lost")
        collector = fault.collector()
        names.kill()
        fault.collector(kind="dns", port=53).say(signal.SIGUSR1)
        fault.start()
        wait_until(lambda: collector.received() > 0, "the next rheod sends")
        counters = fault.rheod.stop()
        expect_equal(counters[f"lane.{LANE}.records_sent"], parts["pending"], "records sent after the next start")
        collector.settle()
        expect_all(decoded(collector.files()), total)


def udp_restarted(rig, case):
    """Nobody is told what a UDP collector did not get; but whoever comes next gets templates before records."""
    fault = Fault(rig, case, endpoint=f"udp://127.0.0.1:{PORT}")
    first = fault.collector(kind="udp")
    fault.start()
    before = fault.send()
    fault.deliver(first)
    first.kill()
    fault.send()
    second = fault.collector(kind="udp")
    after = fault.send()
    parts, _ = fault.end(sentences_at_most=0)
    expect_equal((parts["lost"], parts["pending"]), (0, 0), "records lost, and still waiting")
    second.settle()
    expect_all(decoded(first.files()), before)
    expect_all(decoded(second.files(), gaps=True), after)


CASES = {
    "absent at start": absent,
    "absent for long": absent_for_long,
    "killed and restarted": restarted,
    "killed under load": killed_under_load,
    "stops reading": stops_reading,
    "resets mid-message": resets,
    "black-holed connect": black_holed,
    "black-holed connection": swallowed,
    "unknown name": unknown_name,
    "silent resolver": silent_resolver,
    "silent resolver at the stop": silent_at_the_end,
    "UDP, killed and restarted": udp_restarted,
}


def main():
    rig = Rig(choose=True)
    rig.run_cases(CASES)
    rig.end()


if __name__ == "__main__":
    main()
