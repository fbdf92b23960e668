#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""With a flow cache of 64 rows and an exporter that is too slow, the named losses in the statistics of IPFIX are
the numbers that rheod prints."""
import subprocess
import sys
import time

from rig import TOP, Rig, expect, expect_equal

sys.path.insert(0, str(TOP / "tests" / "tools"))
import ipfix_messages  # noqa: E402

PORT = 4739
PEN = 32473
LANE = "lane.ipfix.collector"
DOMAIN, LOSS_REASON, IGNORED_PACKETS, IGNORED_OCTETS = (0, 149), (PEN, 1), (0, 164), (0, 165)
PROCESS = {(0, 42): f"{LANE}.records_sent", (0, 163): "table.flows_made", (0, 166): f"{LANE}.records_lost",
           (0, 167): f"{LANE}.lost.packets", (0, 168): f"{LANE}.lost.l3_bytes"}
IP_REASONS = ("truncated", "malformed", "too_deep", "evicted_full")

COLLECTOR = """import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, open(sys.argv[2], "wb", buffering=0) as file:
    receiver.bind(("127.0.0.1", int(sys.argv[1])))
    print("listening", flush=True)
    while True:
        file.write(receiver.recv(65536))
"""


def told(file):
    """What the statistics said last: the process's numbers by element, and the losses by reason."""
    session = ipfix_messages.Session().read(file.read_bytes())
    process = session.records_with(DOMAIN, (0, 41), (0, 40), IGNORED_PACKETS, IGNORED_OCTETS, *PROCESS)
    reasons = session.records_with(DOMAIN, LOSS_REASON, IGNORED_PACKETS, IGNORED_OCTETS)
    expect(process and reasons, "no statistics were told")
    number = int.from_bytes
    return ({element: number(octets, "big") for element, octets in process[-1].items()},
            {record[LOSS_REASON].rstrip(b"\0").decode(): (number(record[IGNORED_PACKETS], "big"),
                                                          number(record[IGNORED_OCTETS], "big")) for record in reasons})


def wait_until_quiet(rheod):
    """Until no record has come or gone for three seconds; the counters then."""
    deadline = time.monotonic() + 180
    before = None
    while True:
        counters = rheod.counters()
        lane = {name: value for name, value in counters.items() if name.startswith(LANE)}
        if lane == before and lane[f"{LANE}.records_pending"] == 0 and lane[f"{LANE}.records_sent"] > 0:
            return counters
        before = lane
        expect(time.monotonic() < deadline, f"records still come and go after 180 s: {lane}")
        time.sleep(3)


def expect_told(counters, file):
    process, reasons = told(file)
    for element, name in PROCESS.items():
        expect_equal(process[element], counters[name], f"element {element[1]} against {name}")
    for reason, (packets, octets) in reasons.items():
        expect_equal(packets, counters[f"datapath.{reason}.packets"], f"packets told as {reason}")
        expect_equal(octets, counters[f"datapath.{reason}.bytes"], f"octets told as {reason}")
    expect_equal(sorted(reasons), sorted((*IP_REASONS, "not_ip")), "reasons told")
    for element, unit in ((IGNORED_PACKETS, "packets"), (IGNORED_OCTETS, "bytes")):
        expect_equal(process[element], sum(counters[f"datapath.{reason}.{unit}"] for reason in IP_REASONS),
                     f"{unit} told as ignored")


def wait_told(counters, file):
    """Statistics are told each second."""
    deadline = time.monotonic() + 60
    while True:
        late = time.monotonic() > deadline
        try:
            return expect_told(counters, file)
        except (AssertionError, ValueError):  # a message may be half written
            if late:
                raise
        time.sleep(0.5)


def main():
    rig = Rig()
    with rig.case("losses by name") as case:
        near, _ = rig.pair()
        rheod = rig.rheod(near, case, interfaces={"include": ["east"]},
                          datapath={"flow_cache_rows": 64, "evicted_ring": "64KiB"},
                          flow={"max_record_interval": "1s"},
                          **{"export.ipfix.collector": {"endpoint": f"udp://127.0.0.1:{PORT}", "rate_limit": 150,
                                                        "queue": 1024, "template_refresh": "1s"}})
        file = rig.case_folder(case) / "messages.ipfix"
        collector = near.start([sys.executable, "-c", COLLECTOR, PORT, file], stdout=subprocess.PIPE)
        expect(collector.stdout.readline() == b"listening\n", "the collector does not listen")
        rheod.start()
        near.send("east", "--packets", 1_000_000, "--flows", 5_000, "--seed", 7, "--protocols", "udp,tcp")
        counters = wait_until_quiet(rheod)
        for name in ("datapath.evicted_full.packets", f"{LANE}.records_lost"):
            expect(counters[name] > 0, f"{name} is 0: the case shows nothing")
        expect_equal(counters["lane.json.test.records_lost"], 0, "records that the other exporter lost")
        wait_told(counters, file)
        collector.kill()
    rig.end()


if __name__ == "__main__":
    main()
