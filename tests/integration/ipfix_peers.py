# SPDX-License-Identifier: Apache-2.0
"""What the tests of IPFIX export to a collector share: a rheod with a JSON exporter beside the one under test,
traffic both ways, and what collectors received, decoded by the tests' own decoder (tests/tools/ipfix_sums.cpp)."""
import json
import re

from collectors import sleeps
from rig import Rig, arrived, expect, expect_equal, run, sent_by, wait_until

PORT = 4739
MIXED = ("--protocols", "udp,tcp", "--families", "4,6")
QUICK = {"max_record_interval": "300ms", "udp_timeout": "300ms", "tcp_timeout": "300ms"}


def prepare(rig, case, exporters, shutdown_timeout="1s", **flow):
    """Two namespaces and a rheod, not started, with these IPFIX exporters, by name, beside the JSON one. Records
    are finished soon."""
    near, far = rig.pair()
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]}, flow={**QUICK, **flow},
                      datapath={"drain_interval": "100ms"}, daemon={"shutdown_timeout": shutdown_timeout},
                      export_json={"max_batch_interval": "100ms"},
                      **{f"export.ipfix.{name}": {"max_batch_interval": "100ms", **keys}
                         for name, keys in exporters.items()})
    return near, far, rheod


def send(near, far, packets, flows=200, first_flow=0, rate=20_000):
    """Packets of both directions; what they were."""
    options = ("--packets", packets // 2, "--flows", flows, "--first-flow", first_flow, "--rate", rate, *MIXED)
    outward = near.start_sending("east", *options)
    inward = far.start_sending("west", *options, "--swap-ends", "--size", 200)
    reports = [json.loads(source.communicate(timeout=300)[0]) for source in (outward, inward)]
    return sent_by(reports[0], arrived(reports[1]))


def decoded(files, gaps=False):
    """Sessions, packets and octets in what collectors wrote down; fails at what is not IPFIX as it should be."""
    sums = json.loads(run([Rig.programs / "ipfix_sums", *(["--gaps"] if gaps else []), *files], timeout=60))
    for session in sums["sessions"]:
        expect(session["begins_with_templates"], f"a session that does not begin with templates: {session}")
    return sums


def expect_all(found, sent):
    """Everything that was sent, once."""
    for unit in ("packets", "l3_bytes", "l2_bytes"):
        expect_equal(found[unit], sent[unit], f"{unit} that the collector read")
    expect_equal(found["duplicates"], 0, "records that the collector has twice")


def expect_json_conserved(rheod, counters, sent):
    """Whatever happens to an IPFIX exporter, the JSON one has everything, and nothing was lost before it."""
    sums = rheod.sums()
    for unit in ("packets", "l3_bytes", "l2_bytes"):
        expect_equal(getattr(sums, unit), sent[unit], f"{unit} in the JSON records")
    expect_equal(counters["lane.json.test.records_lost"], 0, "records that the JSON exporter lost")
    expect_equal(sums.records, counters["lane.json.test.records_sent"], "records of the JSON exporter")
    return sums.records


def expect_accounted(counters, lane, made):
    """Sent, lost and still waiting is what there was."""
    parts = {part: counters[f"lane.{lane}.records_{part}"] for part in ("sent", "lost", "pending")}
    expect_equal(sum(parts.values()), made, f"records of {lane}: {parts}, together")
    return parts


def settle(namespace, process, port, received):
    """Until the collector has read what its sockets on the port hold, and sleeps; received() grows no more."""
    seen = [-1]

    def quiet():
        lines = namespace.run(["cat", "/proc/self/net/tcp", "/proc/self/net/udp"]).splitlines()
        own = [line.split() for line in lines if line.split()[1].endswith(f":{port:04X}")]
        waits = any(int(fields[4].split(":")[1], 16) for fields in own)
        seen.append(received())
        return not waits and sleeps(process.pid) and seen[-1] == seen[-2]
    wait_until(quiet, "the collector is done")


def together(*sent):
    """The sum of what several calls of send() sent."""
    return {unit: sum(part[unit] for part in sent) for unit in ("packets", "l3_bytes", "l2_bytes")}


def finished_packets(rheod):
    """Those in JSON records so far; a line may be half written."""
    try:
        return rheod.sums().packets
    except (FileNotFoundError, ValueError):
        return 0


def wait_finished(rheod, *sent):
    """Until all of it is in records, as the JSON exporter has them."""
    wanted = together(*sent)["packets"]
    wait_until(lambda: finished_packets(rheod) >= wanted, f"{wanted} packets are in records")


def sentences(rheod, exporter):
    """What rheod said of an exporter."""
    return re.findall(rf"^.*\b{re.escape(exporter)}: (.*)$", rheod.said(), re.M)


def wait_said(rheod, exporter, pattern, seconds=60):
    wait_until(lambda: any(re.search(pattern, said) for said in sentences(rheod, exporter)),
               f"{exporter}: {pattern}; it said: {sentences(rheod, exporter)}", seconds)
