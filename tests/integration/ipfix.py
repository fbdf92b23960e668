#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every packet sent is in what real collectors read from rheod's IPFIX messages, to the octet of layer 3: nfcapd
over UDP, both kinds of biflow, live and from captures; ipfixDump over TCP and from a file."""
import json
import re
import sys

from collectors import PORT, Nfcapd, TcpSink, need
from rig import TOP, Rig, arrived, expect_equal, losses, run, sent_by

sys.path.insert(0, str(TOP / "tests" / "golden"))
import make_captures  # noqa: E402

MIXED = ("--protocols", "udp,tcp", "--families", "4,6")
PACE = 5_000  # records a second: what a collector takes that shares two CPUs with the generators at full rate


def dumped(file):
    """Packets and octets that ipfixDump reads, both directions."""
    need("ipfixDump")
    text = run(["ipfixDump", "--rfc5610", "-d", "-i", file], timeout=120)
    return {unit: sum(map(int, re.findall(rf"\b(?:{names})\b[^\n]*:\s*(\d+)\s*$", text, re.M)))
            for unit, names in (("packets", "packetDeltaCount|reversePacketDeltaCount"),
                                ("l3_bytes", "octetDeltaCount|reverseOctetDeltaCount"))}


def expect_sums(found, sent):
    for unit in ("packets", "l3_bytes"):
        expect_equal(found[unit], sent[unit], f"{unit} that the collector read")


def prepare(rig, case, exporter):
    """Two namespaces and a rheod, not started, with this exporter beside the JSON one."""
    near, far = rig.pair()
    return near, far, rig.rheod(near, case, interfaces={"include": ["east"]}, flow={"max_record_interval": "1s"},
                                **{"export.ipfix.collector": {"max_batch_interval": "100ms", **exporter}})


def send_both_ways(near, far, rheod, packets, flows=5_000):
    outward = near.start_sending("east", "--packets", packets // 2, "--flows", flows, *MIXED)
    inward = far.start_sending("west", "--packets", packets // 2, "--flows", flows, *MIXED, "--swap-ends", "--size", 200)
    reports = [json.loads(source.communicate(timeout=300)[0]) for source in (outward, inward)]
    sent = sent_by(reports[0], arrived(reports[1]))
    counters = rheod.stop()
    expect_equal(losses(counters)["packets"], 0, "packets lost before the exporters")
    expect_equal(counters["lane.ipfix.collector.records_lost"], 0, "records that the exporter lost")
    expect_equal(rheod.sums().packets, sent["packets"], "packets in the JSON records")
    return sent


def nfdump_live(rig, case, biflow, packets):
    near, far, rheod = prepare(rig, case, {"endpoint": f"udp://127.0.0.1:{PORT}", "biflow": biflow,
                                              "rate_limit": PACE})
    collector = Nfcapd(near, rig.case_folder(case) / "nfcapd")
    rheod.start()
    sent = send_both_ways(near, far, rheod, packets)
    collector.stop()
    expect_sums(collector.sums(), sent)


def dump_live(rig, case, scheme, packets):
    need("ipfixDump")
    file = rig.case_folder(case) / "flows.ipfix"
    endpoint = f"tcp://127.0.0.1:{PORT}" if scheme == "tcp" else f"file:{file}"
    near, far, rheod = prepare(rig, case, {"endpoint": endpoint})
    collector = TcpSink(near, file) if scheme == "tcp" else None
    rheod.start()
    sent = send_both_ways(near, far, rheod, packets, flows=500)
    if collector:
        collector.wait()
    expect_sums(dumped(file), sent)


def replay(rig, case):
    """The golden captures, one after the other, as `rheod --replay FILE --ipfix ENDPOINT` sends them."""
    near = rig.namespace("near")
    collector = Nfcapd(near, rig.case_folder(case) / "nfcapd")
    empty = rig.case_folder(case) / "empty.toml"
    empty.write_text("")
    captures = rig.case_folder(case) / "captures"
    sent = {"packets": 0, "l3_bytes": 0}
    for capture in make_captures.make_all(captures):
        near.run([Rig.programs / "rheod", "--config", empty, "--replay", captures / capture.file_name(),
                  "--ipfix", f"udp://127.0.0.1:{PORT}"])
        totals = json.loads((captures / f"{capture.name}.totals.json").read_text())
        for unit in sent:
            sent[unit] += sum(flow[unit] for flow in totals["flows"])
    collector.stop()
    expect_sums(collector.sums(), sent)


def main():
    rig = Rig(lambda parser: parser.add_argument("--packets", type=int, default=200_000))
    packets = rig.arguments.packets
    for biflow in ("rfc5103", "split"):
        with rig.case(f"nfdump over UDP, {biflow}") as case:
            nfdump_live(rig, case, biflow, packets)
    with rig.case("nfdump, replayed captures") as case:
        replay(rig, case)
    for scheme in ("tcp", "file"):
        with rig.case(f"ipfixDump, {scheme}") as case:
            dump_live(rig, case, scheme, packets // 10)
    rig.end()


if __name__ == "__main__":
    main()
