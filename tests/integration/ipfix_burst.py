#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""100,000 flows that end at once reach an nfcapd with its own socket buffer without loss, at the pace that rheod has
by default, both kinds of biflow, while other programs keep every CPU busy."""
import contextlib
import json
import os
import re
import shutil
import signal
import sys

from collectors import sleeps
from rig import Rig, Skipped, arrived, expect_equal, run, sent_by, wait_until

PORT = 4739
FLOWS = 100_000
ATTEMPTS = 3
LANE = "lane.ipfix.collector"
SUMS = {"flows": "Flows", "packets": "Packets", "l3_bytes": "Bytes", "failures": "Sequence failures"}
SPINNING = "while True: pass"


class Nfcapd:
    """nfcapd on loopback of a namespace, as its package starts it: without -B, the kernel's default buffer."""

    def __init__(self, namespace, folder):
        if shutil.which("nfcapd") is None or shutil.which("nfdump") is None:
            raise Skipped("nfdump is not installed")
        self.namespace = namespace
        self.folder = folder
        folder.mkdir(parents=True)
        self.log = folder.with_suffix(".log")
        with open(self.log, "wb") as log:
            self.process = namespace.start(["nfcapd", "-w", folder, "-b", "127.0.0.1", "-p", PORT, "-t", "3600"],
                                           stdout=log, stderr=log)
        wait_until(lambda: self.process.poll() is not None or self._socket(), "nfcapd listens")
        expect_equal(self.process.poll(), None, "nfcapd's exit status")
        self._lost_before = self._not_received()

    def _socket(self):
        """Its line in /proc/net/udp: what waits."""
        lines = self.namespace.run(["cat", "/proc/self/net/udp"]).splitlines()
        return next((line.split() for line in lines if f":{PORT:04X} " in line), None)

    def _not_received(self):
        """Datagrams that were sent in the namespace, and that nobody has read."""
        lines = self.namespace.run(["cat", "/proc/self/net/snmp"]).splitlines()
        names, values = (line.split()[1:] for line in lines if line.startswith("Udp:"))
        udp = dict(zip(names, map(int, values)))
        return udp["OutDatagrams"] - udp["InDatagrams"]

    def end(self):
        """Flows, packets, octets and sequence failures, as nfdump reads them back; and how many datagrams found the socket's
        buffer full, or the CPU's queue of packets."""
        wait_until(lambda: int(self._socket()[4].split(":")[1], 16) == 0, "nfcapd reads its socket")
        dropped = self._not_received() - self._lost_before
        wait_until(lambda: sleeps(self.process.pid), "nfcapd has dealt with the datagram that it read last")
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
        found = dict.fromkeys(SUMS, 0)
        for file in self.folder.glob("nfcapd.2*"):  # two, when the hour ended meanwhile
            text = run(["nfdump", "-I", "-r", file], timeout=60)
            for key, name in SUMS.items():
                found[key] += int(re.search(rf"^{name}: (\d+)$", text, re.M)[1])
        return found, dropped


@contextlib.contextmanager
def busy_cpus(namespace, count):
    """That many programs that want a CPU each, all the time."""
    programs = [namespace.start([sys.executable, "-c", SPINNING]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def run_to_end(source):
    return json.loads(source.communicate(timeout=300)[0])


def wait_until_sent(rheod):
    """Until every flow has ended and its record was sent or lost."""
    def done():
        counters = rheod.counters()
        return counters[f"{LANE}.records_sent"] + counters[f"{LANE}.records_lost"] >= FLOWS
    wait_until(done, "all records sent", 180)


def settings(biflow, timeout):
    return {"interfaces": {"include": ["east"]}, "flow": {"udp_timeout": timeout}, "datapath": {"flow_cache_rows": 262_144},
            "export.ipfix.collector": {"endpoint": f"udp://127.0.0.1:{PORT}", "biflow": biflow}}


def burst(near, far, rheod, collector, biflow, busy):
    """How many datagrams were dropped before the collector could read them; where none was, nothing is missing."""
    outward = near.start_sending("east", "--packets", FLOWS, "--flows", FLOWS)
    inward = far.start_sending("west", "--packets", FLOWS, "--flows", FLOWS, "--swap-ends")
    sent = sent_by(run_to_end(outward), arrived(run_to_end(inward)))
    rheod.configure(**settings(biflow, "1s"))  # they end together, however long it took to send them
    with busy_cpus(near, busy):
        rheod.process.send_signal(signal.SIGHUP)
        wait_until_sent(rheod)
    found, dropped = collector.end()
    counters = rheod.stop()
    expect_equal(counters[f"{LANE}.records_lost"], 0, "records that the outbox lost")
    expect_equal(counters[f"{LANE}.records_sent"], FLOWS, "records sent")
    expect_equal(rheod.sums().packets, sent["packets"], "packets in the JSON records")
    if dropped:
        return dropped
    expect_equal(found["flows"], 2 * FLOWS if biflow == "split" else FLOWS, "data records that nfdump read")
    expect_equal(found["packets"], sent["packets"], "packets that nfdump read")
    expect_equal(found["l3_bytes"], sent["l3_bytes"], "octets that nfdump read")
    expect_equal(found["failures"], 0, "sequence failures that nfcapd counted")
    return 0


def bursts(rig, case, biflow, busy):
    """At a pace that is too high there is a loss each time; by chance, where more than `busy` programs want the CPUs."""
    near, far = rig.pair()
    dropped = []
    for attempt in range(ATTEMPTS):
        name = f"{case} {attempt}"
        rheod = rig.rheod(near, name, **settings(biflow, "10m"))
        collector = Nfcapd(near, rig.case_folder(name) / "nfcapd")
        rheod.start()
        dropped.append(burst(near, far, rheod, collector, biflow, busy))
        if dropped[-1] == 0:
            return
    raise AssertionError(f"datagrams that were dropped before nfcapd could read them, each time: {dropped}")


def main():
    rig = Rig(lambda parser: parser.add_argument("--busy", type=int, default=os.cpu_count(), metavar="N",
                                                 help="programs that keep a CPU busy meanwhile"))
    for biflow in ("rfc5103", "split"):
        with rig.case(biflow) as case:
            bursts(rig, case, biflow, rig.arguments.busy)
    rig.end()


if __name__ == "__main__":
    main()
