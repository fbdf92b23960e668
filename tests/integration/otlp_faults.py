#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""OTLP receivers that refuse, put off, hang, cut, forget to answer and are away: packets in spans, each record once,
and named losses are what was sent, exactly."""
import json
import time

from otlp_receivers import Receiver
from rig import Rig, expect, expect_equal, losses, sent_by, wait_until

MIXED = ("--protocols", "udp,tcp", "--families", "4,6")
LANE = "lane.otlp.test"
PATIENT = "20s"  # with a receiver that always answers in the end

# What a receiver answers, in turn; what it takes it takes between two troubles.
WORDS = {
    "grpc": ("ok", "unavailable", "ok", "exhausted=300", "ok", "hang", "ok", "lost", "ok", "cut", "ok", "aborted", "ok"),
    "http/protobuf": ("ok", "503=1", "ok", "429=1", "ok", "hang", "ok", "lost", "ok", "cut", "ok", "502"),
}
WORDS_SPOOL = {"grpc": (*["ok"] * 10, "unavailable", "lost"), "http/protobuf": (*["ok"] * 10, "503", "lost")}
# Of several requests at once: some take long, some are too large.
AT_ONCE = {
    "grpc": ("slow=100", "limit=100000", "ok", "unavailable", "slow=100", "ok", "limit=100000", "exhausted=200", "ok",
             "lost", "ok", "cut", "ok"),
    "http/protobuf": ("slow=100", "limit=100000", "ok", "503", "slow=100", "ok", "limit=100000", "429=1", "ok",
                      "lost", "ok", "cut", "ok"),
}
FOR_GOOD = {"grpc": ("ok", "invalid", "ok", "exhausted", "ok"), "http/protobuf": ("ok", "400", "ok", "413")}


def prepare(rig, case, protocol, **settings):
    near, far = rig.pair()
    exporter = {"endpoint": f"http://127.0.0.1:{Receiver.PORTS[protocol]}", "protocol": protocol, "timeout": "500ms",
                "max_batch_size": 200, "max_batch_interval": "100ms", **settings}
    daemon = {"shutdown_timeout": "60s", "state_directory": str(rig.case_folder(f"{case} state"))}
    return near, rig.rheod(near, case, interfaces={"include": ["east"]}, daemon=daemon,
                           flow={"max_record_interval": "1s", "udp_timeout": "1s", "tcp_timeout": "1s"},
                           **{"export.otlp.test": exporter})


def packets(spans):
    return sum(span["attributes"].get(f"flow.{way}packets.delta", 0) for span in spans for way in ("", "reverse."))


def expect_conserved(sent, receiver, rheod, counters, lossless):
    expect_equal(losses(counters)["packets"], 0, "packets lost before the exporters")
    expect_equal(rheod.sums().packets, sent["packets"], "packets in the JSON records")
    spans = receiver.distinct()
    lost = counters[f"{LANE}.lost.packets"]
    if lossless:
        expect_equal(lost, 0, "packets in records that the exporter lost")
        expect_equal(len(spans), rheod.sums().records, "distinct spans, and records")
    expect_equal(packets(spans) + lost, sent["packets"], f"packets in {len(spans)} spans, and {lost} in lost records")
    return spans


def hostile(rig, case, protocol, total):
    near, rheod = prepare(rig, case, protocol, max_batch_size=100)
    receiver = Receiver(near, rig.programs, rig.case_folder(case) / "receiver", protocol, WORDS[protocol])
    rheod.start()
    sent = sent_by(near.send("east", "--packets", total, "--flows", 1_500, *MIXED))
    counters = rheod.stop(seconds=90)
    expect_conserved(sent, receiver, rheod, counters, lossless=True)
    expect(counters[f"{LANE}.writes_failed"] >= 5, f"the receiver was not hostile: {counters[f'{LANE}.writes_failed']} failures")
    expect(len(receiver.spans()) > len(receiver.distinct()), "no span came twice: an answer was to be lost")


def at_once(rig, case, protocol, total):
    """Several requests under way, each with an answer of its own, and a kill in between."""
    near, rheod = prepare(rig, case, protocol, max_batch_size=150, max_concurrent_exports=4, timeout=PATIENT)
    rheod.start()
    sent = [near.send("east", "--packets", total // 2, "--flows", 1_000, *MIXED)]
    receiver = Receiver(near, rig.programs, rig.case_folder(case) / "receiver", protocol, AT_ONCE[protocol])
    receiver.wait_for_spans()
    rheod.kill()
    receiver.kill()  # what the killed one has asked counts no more
    receiver.start()
    rheod.start()
    sent.append(near.send("east", "--packets", total // 2, "--flows", 1_000, "--first-flow", 1_000, *MIXED))
    counters = rheod.stop(seconds=90)
    expect_conserved(sent_by(*sent), receiver, rheod, counters, lossless=True)
    expect(2 <= receiver.most_at_once() <= 4, f"{receiver.most_at_once()} requests were under way at once")
    expect("octets at most from now on" in rheod.said(), "nothing was too large")


def refused(rig, case, protocol, total):
    near, rheod = prepare(rig, case, protocol)
    receiver = Receiver(near, rig.programs, rig.case_folder(case) / "receiver", protocol, FOR_GOOD[protocol])
    rheod.start()
    sent = sent_by(near.send("east", "--packets", total, "--flows", 1_000, *MIXED))
    counters = rheod.stop(seconds=90)
    expect_conserved(sent, receiver, rheod, counters, lossless=False)
    expect(counters[f"{LANE}.records_lost"] > 0, "nothing was refused for good")
    expect("refused for good and counted as lost" in rheod.said(), "the refusal is not in the log")


def given_up(rig, case, protocol, total):
    """Nothing is ever taken, and no batch is tried for longer than the max_export_timeout: all is lost, and counted."""
    near, rheod = prepare(rig, case, protocol, max_batch_size=4096, max_export_timeout="500ms")
    receiver = Receiver(near, rig.programs, rig.case_folder(case) / "receiver", protocol, ["unavailable"])
    rheod.start()
    sent = sent_by(near.send("east", "--packets", total, "--flows", 1_000, *MIXED))
    counters = rheod.stop(seconds=90)
    expect_equal(len(expect_conserved(sent, receiver, rheod, counters, lossless=False)), 0, "spans")
    expect("the max_export_timeout is over" in rheod.said(), "the log does not say why")


def away(rig, case, protocol, total, seconds):
    """Down from the start, then up, killed, and up again; the outbox holds what waits."""
    near, rheod = prepare(rig, case, protocol)
    rheod.start()
    source = near.start_sending("east", "--packets", total, "--flows", 500, "--rate", total // 4, *MIXED)
    time.sleep(seconds)
    receiver = Receiver(near, rig.programs, rig.case_folder(case) / "receiver", protocol)
    receiver.wait_for_spans(60)
    receiver.kill()
    time.sleep(1)
    receiver.start()
    sent = sent_by(json.loads(source.communicate(timeout=120)[0]))
    counters = rheod.stop(seconds=90)
    expect_conserved(sent, receiver, rheod, counters, lossless=True)
    expect("records wait in the outbox" in rheod.said(), "the failure is not in the log")


def overtaken(rig, case, protocol, total):
    """Nobody listens while more records end than the queue holds: the oldest are lost, each counted."""
    near, rheod = prepare(rig, case, protocol, max_queue_size=1024)
    rheod.start()
    sent = [near.send("east", "--packets", total, "--flows", 3_000, *MIXED)]
    wait_until(lambda: rheod.records.exists() and rheod.sums().packets == sent_by(*sent)["packets"], "all flows have ended")
    receiver = Receiver(near, rig.programs, rig.case_folder(case) / "receiver", protocol)
    receiver.wait_for_spans(60)
    counters = rheod.stop(seconds=90)
    spans = expect_conserved(sent_by(*sent), receiver, rheod, counters, lossless=False)
    expect(counters[f"{LANE}.records_lost"] > 1_000, f"{counters[f'{LANE}.records_lost']} records lost, and {len(spans)} spans")


def wait_spooled(rheod, records, seconds=120):
    """Until SIGUSR1 tells that so many records are in the spool, or fewer where it is 0."""
    def reached():
        counters = rheod.counters()
        spooled, pending = counters[f"{LANE}.records_spooled"], counters[f"{LANE}.records_pending"]
        return (spooled >= records > 0) or (records == spooled == pending == 0)
    wait_until(reached, f"{records} records in the spool", seconds)


def spooled(rig, case, protocol, total):
    """Nobody listens to three times what the queue holds, a kill in between, then a receiver that is hostile: with
    a spool nothing is lost."""
    near, rheod = prepare(rig, case, protocol, max_queue_size=2048, max_batch_size=100, spool="64MiB")
    rheod.start()
    sent = []
    for burst in range(1, 5):
        sent.append(near.send("east", "--packets", total // 4, "--flows", 1_500, "--first-flow", burst * 1_500, *MIXED))
        wait_spooled(rheod, burst * 1_500)
        if burst == 2:
            rheod.kill()
            rheod.start()
    receiver = Receiver(near, rig.programs, rig.case_folder(case) / "receiver", protocol, WORDS_SPOOL[protocol])
    wait_spooled(rheod, 0, 240)
    counters = rheod.stop(seconds=90)
    expect_equal(counters[f"{LANE}.records_spooled"], 0, "records in the spool at the end")
    expect_conserved(sent_by(*sent), receiver, rheod, counters, lossless=True)
    expect("goes to the spool" in rheod.said() and "the spool is sent" in rheod.said(), "the log does not tell of the spool")


def partly(rig, case, protocol, total):
    near, rheod = prepare(rig, case, protocol, max_batch_size=100, timeout=PATIENT)
    receiver = Receiver(near, rig.programs, rig.case_folder(case) / "receiver", protocol, ("partial=3",))
    rheod.start()
    sent = sent_by(near.send("east", "--packets", total, "--flows", 500, *MIXED))
    counters = rheod.stop(seconds=90)
    expect_conserved(sent, receiver, rheod, counters, lossless=True)
    expect_equal(rheod.said().count("did not keep 3 of the spans"), 1, "lines in the log about one cause")
    expect("\x1b" not in rheod.said(), "the receiver's escape sequence is in the log")
    expect(counters[f"{LANE}.records_rejected"] > 3, "rejected spans are not counted")


def main():
    def add_arguments(parser):
        parser.add_argument("--packets", type=int, default=50_000)
        parser.add_argument("--away", type=float, default=5, metavar="SECONDS")

    rig = Rig(add_arguments)
    total = rig.arguments.packets
    with rig.case("given up, grpc") as case:
        given_up(rig, case, "grpc", total)
    for protocol in ("grpc", "http/protobuf"):
        name = protocol.partition("/")[0]
        with rig.case(f"hostile, {name}") as case:
            hostile(rig, case, protocol, total)
        with rig.case(f"several at once, {name}") as case:
            at_once(rig, case, protocol, total)
        with rig.case(f"refused for good, {name}") as case:
            refused(rig, case, protocol, total)
        with rig.case(f"away, {name}") as case:
            away(rig, case, protocol, total, rig.arguments.away)
        with rig.case(f"overtaken, {name}") as case:
            overtaken(rig, case, protocol, total)
        with rig.case(f"spool, {name}") as case:
            spooled(rig, case, protocol, total)
        with rig.case(f"partial success, {name}") as case:
            partly(rig, case, protocol, total)
    rig.end()


if __name__ == "__main__":
    main()
