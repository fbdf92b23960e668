#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Spans at a real OpenTelemetry Collector, over both transports, as the JSON lines of the same records: live traffic
and captures; the two ends of one connection are one trace."""
import json
import re
import sys
import time

import otelcol
import otlp_spans
from otlp_receivers import Receiver
from rig import TOP, Rig, arrived, expect, expect_equal, sent_by, wait_until

sys.path.insert(0, str(TOP / "tests" / "golden"))
import make_captures  # noqa: E402

MIXED = ("--protocols", "udp,tcp", "--families", "4,6")
CACHE = TOP / "build" / "cache" / "otelcol"
WAYS = [("grpc", "none"), ("grpc", "gzip"), ("http/protobuf", "none"), ("http/protobuf", "gzip")]


SEEN = r"-> Name: rheo\.datapath\.seen_packets\n(?:.*\n){1,9}?Value: (\d+)\n"


def exporter(protocol, **settings):
    return {"endpoint": f"http://127.0.0.1:{Receiver.PORTS[protocol]}", "protocol": protocol,
            "max_batch_interval": "100ms", **settings}


def identity(record):
    return record["flow.id"], record["flow.sequence"]


def expect_same_records(spans, lines):
    """Each JSON line is one span, with the same names and values; the span's window is the record's."""
    expect_equal(len(spans), len(lines), "spans, and JSON lines")
    found = {identity(span["attributes"]): span for span in spans}
    expect_equal(len({span["span_id"] for span in spans}), len(spans), "distinct span ids")
    for line in lines:
        record = json.loads(line)
        record.pop("start"), record.pop("end")
        span = found.get(identity(record))
        expect(span, f"no span for {record}")
        got = otlp_spans.record_of(span)
        expect(got == record, f"span and JSON line differ: {sorted(set(map(str, got.items())) ^ set(map(str, record.items())))}")
        expect_equal(span["name"], f"flow_{record['network.type']}_{record['network.transport']}", "the span's name")


def live(rig, case, protocol, compression, total):
    program = otelcol.fetch(CACHE)
    near, far = rig.pair()
    near.run(["ip", "addr", "add", "198.18.0.1/15", "dev", "east"])  # of packet_source's flows, some
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]}, flow={"max_record_interval": "1s"},
                      **{"export.otlp.test": exporter(protocol, compression=compression, metrics_interval="200ms")})
    collector = otelcol.Collector(near, program, rig.case_folder(case) / "collector")
    rheod.start()
    outward = near.start_sending("east", "--packets", total, "--flows", 300, *MIXED)
    inward = far.start_sending("west", "--packets", total, "--flows", 300, *MIXED, "--swap-ends", "--size", 200)
    reports = [json.loads(source.communicate(timeout=300)[0]) for source in (outward, inward)]
    sent = sent_by(reports[0], arrived(reports[1]))
    wait_until(lambda: any(map(int, re.findall(SEEN, collector.said()))), "a metric of what was seen")
    counters = rheod.stop()
    collector.stop()
    expect_equal(counters["lane.otlp.test.records_lost"], 0, "records that the exporter lost")
    seen = re.findall(SEEN, collector.said())
    expect(seen and 0 < int(seen[-1]) <= sent["packets"], f"rheo.datapath.seen_packets as metrics: {seen}")
    expect("-> Name: rheo.lane.records_sent" in collector.said() and "-> exporter: Str(otlp.test)" in collector.said(),
           "the lanes' counters are not in the metrics")
    expect("metrics to" not in rheod.said(), "metrics were not taken")
    spans = collector.spans()
    expect_same_records(spans, rheod.records.read_text().splitlines())
    total = sum(span["attributes"].get(f"flow.{way}packets.delta", 0) for span in spans for way in ("", "reverse."))
    expect_equal(total, sent["packets"], "packets in spans")


def replay(rig, case, protocol):
    """The golden captures: every kind of packet that there is one of."""
    program = otelcol.fetch(CACHE)
    near = rig.namespace("near")
    collector = otelcol.Collector(near, program, rig.case_folder(case) / "collector")
    captures = rig.case_folder(case) / "captures"
    config = rig.case_folder(case) / "otlp.toml"
    lines = []
    for capture in make_captures.make_all(captures):
        output = captures / f"{capture.name}.json"
        config.write_text("[export.json.a]\n" + f'path = "{output}"\n' + "[export.otlp.a]\n" +
                          "".join(f"{key} = {json.dumps(value)}\n" for key, value in exporter(protocol).items()))
        near.run([Rig.programs / "rheod", "--config", config, "--replay", captures / capture.file_name()])
        lines += [(capture.name, line) for line in output.read_text().splitlines()]
    collector.stop()
    # A replay's flow.id is unique within one capture only.
    spans = collector.spans()
    expect_equal(len(spans), len(lines), "spans, and JSON lines")
    wanted = sorted(json.dumps({key: value for key, value in json.loads(line).items() if key not in ("start", "end")},
                               sort_keys=True) for _, line in lines)
    got = sorted(json.dumps(otlp_spans.record_of(span), sort_keys=True) for span in spans)
    different = sorted(set(wanted) ^ set(got))
    expect(not different, f"{len(different)} spans and lines differ, such as {different[:2]}")


CONNECTION = """import socket, sys, time
side, rounds = sys.argv[1], int(sys.argv[2])
if side == "server":
    with socket.create_server(("192.0.2.2", 5001)) as server:
        print("listening", flush=True)
        peer, _ = server.accept()
        while data := peer.recv(100):
            peer.sendall(data)
else:
    with socket.create_connection(("192.0.2.2", 5001)) as peer:
        for _ in range(rounds):
            peer.sendall(b"x" * 50)
            peer.recv(100)
            time.sleep(0.1)
"""


def spans_of_connection(receiver):
    return [span for span in receiver.distinct() if span["attributes"].get("destination.port") == 5001]


def wait_for_spans_of_connection(receiver, count):
    wait_until(lambda: len(spans_of_connection(receiver)) >= count, f"{count} spans of the connection")


def one_trace(rig, case, protocol):
    """Both ends of a connection in one trace, CLIENT here and SERVER there, and still after a restart in between."""
    near, far = rig.pair()
    near.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "east"])
    far.run(["ip", "addr", "add", "192.0.2.2/24", "dev", "west"])
    ends = {}
    for namespace, interface in ((near, "east"), (far, "west")):
        folder = f"{case} {interface}"
        receiver = Receiver(namespace, rig.programs, rig.case_folder(folder) / "receiver", protocol)
        daemon = rig.rheod(namespace, f"{folder}/rheod", interfaces={"include": [interface]},
                           flow={"max_record_interval": "500ms"}, resource={"host.id": interface},
                           **{"export.otlp.test": exporter(protocol, trace_id_bucket="1h")})
        ends[interface] = (receiver, daemon.start())
    if time.time() % 3600 > 3590:
        time.sleep(11)  # both ends in one stretch
    server = far.start([sys.executable, "-c", CONNECTION, "server", "0"], stdout=-1)
    server.stdout.readline()
    client = near.start([sys.executable, "-c", CONNECTION, "client", "1000"])
    receiver, daemon = ends["east"]
    wait_for_spans_of_connection(receiver, 1)
    daemon.kill()
    daemon.start()
    wait_for_spans_of_connection(receiver, len(spans_of_connection(receiver)) + 2)
    wait_for_spans_of_connection(ends["west"][0], 3)
    client.terminate()
    client.wait(timeout=60)
    server.wait(timeout=60)
    traces, spans = {}, {}
    for interface, (receiver, daemon) in ends.items():
        daemon.stop()
        tcp = spans_of_connection(receiver)
        expect(len(tcp) >= 3, f"{len(tcp)} spans of the connection at {interface}")
        traces[interface] = {span["trace_id"] for span in tcp}
        spans[interface] = {span["span_id"] for span in tcp}
        kind = {span["kind"] for span in tcp}
        expect_equal(kind, {3} if interface == "east" else {2}, f"the spans' kind at {interface}")
        expect_equal({span["attributes"]["source.address"] for span in tcp}, {"192.0.2.1"}, "the source at " + interface)
        expect_equal(tcp[0]["resource"]["host.ip"], ["192.0.2.1" if interface == "east" else "192.0.2.2"], "host.ip")
        windows = sorted((span["start"], span["end"]) for span in tcp)
        expect(all(a[1] <= b[0] for a, b in zip(windows, windows[1:])), f"windows overlap at {interface}: {windows}")
    expect_equal(len(traces["east"] | traces["west"]), 1, f"traces of one connection: {traces}")
    expect(not spans["east"] & spans["west"], "the two ends have a span id in common")


def main():
    rig = Rig(lambda parser: parser.add_argument("--packets", type=int, default=5_000))
    for protocol, compression in WAYS:
        with rig.case(f"collector, {protocol.partition('/')[0]}, {compression}") as case:
            live(rig, case, protocol, compression, rig.arguments.packets)
    for protocol in ("grpc", "http/protobuf"):
        name = protocol.partition("/")[0]
        with rig.case(f"collector, captures, {name}") as case:
            replay(rig, case, protocol)
        with rig.case(f"one trace from both ends, {name}") as case:
            one_trace(rig, case, protocol)
    rig.end()


if __name__ == "__main__":
    main()
