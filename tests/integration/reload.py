#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Settings change under traffic: a hundred reloads, one thing each, and every packet is in a record; interfaces and
exporters come, change, are disabled and go."""
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import time

from bus import NAME, named, serve_cases
from rig import Rig, expect, expect_conserved, expect_equal, sent_by, sum_records
from rig import wait_until as wait_for

FAST = {"generic_timeout": "300ms", "icmp_timeout": "300ms", "tcp_timeout": "300ms", "tcp_fin_timeout": "300ms",
        "tcp_rst_timeout": "300ms", "udp_timeout": "300ms", "max_record_interval": "500ms"}
PASSING = "export.json.passing"
READ_AGAIN = "reading the settings again"

# Accepts, reads, and says at the end how often somebody connected, and from how many octets on.
TCP_SINK = """
import select, signal, socket, sys
listener = socket.create_server(("127.0.0.1", 4739))
print("listening", flush=True)
signal.signal(signal.SIGTERM, lambda *_: (print(connections, octets, flush=True), sys.exit(0)))
connections, octets, readers = 0, 0, []
while True:
    for ready in select.select([listener, *readers], [], [])[0]:
        if ready is listener:
            readers.append(listener.accept()[0])
            connections += 1
        elif data := ready.recv(65536):
            octets += len(data)
        else:
            readers.remove(ready)
"""


def reload(rheod):
    """SIGHUP; returns when the settings are applied or refused."""
    before = rheod.said().count(READ_AGAIN)
    rheod.process.send_signal(signal.SIGHUP)
    wait_for(lambda: rheod.said().count(READ_AGAIN) > before, "reload")
    rheod.wait_served()  # the line comes before the settings are read


def tcp_sink(namespace):
    namespace.run(["ip", "link", "set", "dev", "lo", "up"])
    sink = namespace.start(["python3", "-u", "-c", TCP_SINK], stdout=subprocess.PIPE, text=True)
    expect_equal(sink.stdout.readline().strip(), "listening", "what the collector says")
    return sink


def stop_sink(sink):
    sink.send_signal(signal.SIGTERM)
    return [int(word) for word in sink.communicate(timeout=60)[0].split()]


def changes(folder):
    """Endless: each a few sections of rheo.toml that differ in one thing from the last."""
    state = {"interfaces": {"include": ["east"]}, "daemon": {}, "datapath": {"drain_interval": "100ms"}, "flow": dict(FAST),
             "export.ipfix.keep": {"endpoint": "tcp://127.0.0.1:4739"}}
    def set_key(section, key, *values):
        for value in itertools.cycle(values):
            state.setdefault(section, {})[key] = value
            yield

    def come_and_go():
        while True:
            state[PASSING] = {"path": str(folder / "passing.json")}
            yield
            state[PASSING]["max_batch_size"] = 7
            yield
            state[PASSING]["enabled"] = False
            yield
            del state[PASSING]
            yield

    passing = come_and_go()
    # [resource] is part of OTLP exporters alone; the community ID's seed would be of all.
    kinds = [passing, set_key("flow", "udp_timeout", "200ms", "2s"), passing,
             set_key("flow", "max_record_interval", "300ms", "700ms"), set_key("export_json", "max_batch_size", 100, 1024),
             set_key("datapath", "drain_interval", "50ms", "200ms"), passing,
             set_key("interfaces", "exclude", ["south*"], []), set_key("export_json", "max_batch_interval", "10ms", "500ms"),
             set_key("daemon", "shutdown_timeout", "9s", "10s"), set_key("resource", "test", "a", "b"), passing]
    for kind in itertools.cycle(kinds):
        next(kind)
        yield state


def a_hundred_reloads(rig, case, reloads):
    near, _ = rig.pair()
    sink = tcp_sink(near)
    settings = changes(rig.case_folder(case))
    rheod = rig.rheod(near, case)
    rheod.configure(**next(settings))
    rheod.start()
    source = near.start_sending("east", "--seconds", "600", "--rate", "100000", "--flows", "2000", "--protocols", "udp,tcp",
                                "--families", "4,6")
    for _ in range(reloads):
        rheod.configure(**next(settings))
        reload(rheod)
        time.sleep(0.03)
    source.send_signal(signal.SIGTERM)
    sent = sent_by(json.loads(source.communicate(timeout=60)[0]))
    counters = rheod.stop()
    connections, octets = stop_sink(sink)
    said = rheod.said()
    expect_equal(re.findall(r".*(?:takes a restart|unknown key|not a ).*", said), [], "reloads that were refused")
    expect_equal(said.count(READ_AGAIN), reloads, "reloads")
    expect_conserved(sent, rheod.sums(), counters)
    expect_equal(counters["datapath.seen_packets"], sent["packets"], "packets seen")
    expect_equal(counters["lane.json.test.lost.packets"], 0, "packets that the changed exporter lost")
    expect_equal(connections, 1, "connections of the exporter that did not change")
    expect_equal(counters["lane.ipfix.keep.records_sent"], counters["lane.json.test.records_sent"],
                 "records of the exporter that did not change, beside the other's")
    expect(octets > 0, "nothing came to the collector")
    passed_by(rheod, counters)


def passed_by(rheod, counters):
    """Of the exporter that came and went: what it was told to send it sent once, or lost by name; nothing else."""
    sums = sum_records.sum_files([rheod.folder / "passing.json"])
    expect_equal(sums.duplicates, 0, "records twice of the exporter that came and went")
    expect_equal(counters["lane.json.passing.records_sent"], sums.records, "its records, as counted and in its file")
    expect_equal(counters["lane.json.passing.lost.packets"], 0, "packets that it lost")


def refused_as_a_whole(rig, case):
    """A mistake, and a key that takes a restart, change nothing of what is beside them."""
    near, _ = rig.pair()
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]}).start()
    other = {"interfaces": {"include": ["none"]}, PASSING: {"path": str(rheod.folder / "passing.json")}}
    for wrong, said in (({"flow": {"max_flows": 7}}, "flow.max_flows: changed, and takes a restart"),
                        ({"flow": {"udp_timeout": "7 years"}}, f"{rheod.config}:"),
                        ({"interfaces": {"include": ["/[/"]}}, f"{rheod.config}:")):
        rheod.configure(**{**other, **wrong})
        reload(rheod)
        wait_for(lambda said=said: said in rheod.said().rpartition(READ_AGAIN)[2], f"complaint {said}")
    sent = sent_by(near.send("east", "--packets", 1000, "--flows", 10))
    counters = rheod.stop()
    expect_conserved(sent, rheod.sums(), counters)
    expect(not any(name.startswith("lane.json.passing") for name in counters), "an exporter of refused settings was started")


def interfaces_follow(rig, case):
    near, far = rig.pair()
    rig.veth(near, "south", far, "north")
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]}).start()
    near.send("south", "--packets", 500, "--flows", 5)
    reports = [near.send("east", "--packets", 1000, "--flows", 10)]
    rheod.configure(interfaces={"include": ["east", "south"]})
    reload(rheod)
    wait_for(lambda: "now metered, too: south" in rheod.said(), "south metered")
    other = ("--first-flow", 100)  # flows on two links are one
    reports += [near.send("south", "--packets", 1000, "--flows", 10, *other), near.send("east", "--packets", 1000, "--flows", 10)]
    rheod.configure(interfaces={"include": ["south"]})
    reload(rheod)
    wait_for(lambda: "no longer metered: east" in rheod.said(), "east not metered")
    near.send("east", "--packets", 500, "--flows", 5)
    reports.append(near.send("south", "--packets", 1000, "--flows", 10, *other))
    counters = rheod.stop()
    expect_equal(counters["links.attached"], 2, "attachments: east was not touched when south came")
    expect_conserved(sent_by(*reports), rheod.sums(), counters)


def stuck_exporter_goes(rig, case):
    """Its records are a named loss after the shutdown_timeout; nobody waits for it meanwhile."""
    near, _ = rig.pair()
    folder = rig.case_folder(case)
    common = {"interfaces": {"include": ["east"]}, "flow": FAST, "daemon": {"shutdown_timeout": "6s"}}
    rheod = rig.rheod(near, case, **common)
    os.mkfifo(folder / "fifo")
    reader = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)  # and never reads
    rheod.configure(**common, **{"export.json.stuck": {"path": str(folder / "fifo")}})
    rheod.start()
    sent = sent_by(near.send("east", "--packets", 20_000, "--flows", 2_000))
    wait_for(lambda: rheod.records.exists() and rheod.sums().packets == sent["packets"], "all records of the other exporter")
    rheod.configure(**common)
    reload(rheod)
    reload(rheod)
    ended = "json.stuck: not configured any more"
    wait_for(lambda: ended in rheod.said(), "the end of the exporter")
    expect(rheod.said().rindex(READ_AGAIN) < rheod.said().index(ended), "the main loop waited for an exporter that is stuck")
    counters = rheod.stop()
    os.close(reader)
    expect_conserved(sent, rheod.sums(), {**counters, "lane.json.test.lost.packets": counters["lane.json.test.lost.packets"]})
    lost = counters["lane.json.stuck.records_lost"]
    expect(lost > 0, "a stuck exporter lost nothing")
    expect_equal(counters["lane.json.stuck.records_sent"] + lost, counters["lane.json.test.records_sent"],
                 "records that it sent or lost")
    expect(counters["lane.json.stuck.lost.packets"] > 0, "a loss without packets")


def told_to_systemd(rig, case):
    """A status and READY, then for each reload RELOADING with its time and READY again, also for one that is refused."""
    near, _ = rig.pair()
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]})
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(rheod.folder / "notify"))
    listener.settimeout(60)

    def told(what):
        """The first message from here on with this in it; those about the state before are what is expected."""
        while what not in (message := listener.recv(4096).decode()):
            expect("READY" not in message and "RELOADING" not in message, f"{message!r} instead of {what}")
        return message

    rheod.start(environment={"NOTIFY_SOCKET": str(rheod.folder / "notify")})
    told("STATUS=metering 1 interface, 0 flows, 1 exporter")
    told("READY=1")
    for wrong in ({}, {"flow": {"max_flows": 7}}, {"flow": {"udp_timeout": "x"}}):
        rheod.configure(interfaces={"include": ["east"]}, **wrong)
        before = time.monotonic_ns()
        rheod.process.send_signal(signal.SIGHUP)
        microseconds = int(re.search(r"\nMONOTONIC_USEC=(\d+)", told("RELOADING=1"))[1])
        expect(before // 1000 <= microseconds <= time.monotonic_ns() // 1000, f"MONOTONIC_USEC={microseconds}")
        told("READY=1")
    rheod.stop()
    told("STOPPING=1")
    listener.close()


def rheoctl(*words):
    done = subprocess.run([Rig.programs / "rheoctl", *words], capture_output=True, text=True, timeout=60, check=False)
    expect_equal(done.returncode, 0, f"exit status of rheoctl {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def state(name):
    return {row["name"]: row["state"] for row in json.loads(rheoctl("--json", "exporters"))}.get(name)


def switched(near, rheod):
    """A disabled exporter gets no records, and loses none; enabled, it begins with the next."""
    settings = {"interfaces": {"include": ["east"]}, "flow": FAST, PASSING: {"path": str(rheod.folder / "passing.json")}}
    rheod.configure(**settings)
    rheoctl("reload")
    wait_for(lambda: state("json.passing") == "running", "the new exporter")

    def send(flow, packets):
        before = rheod.sums().packets if rheod.records.exists() else 0
        sent = near.send("east", "--packets", packets, "--first-flow", flow)["packets"]
        wait_for(lambda: rheod.records.exists() and rheod.sums().packets == before + sent, "records")

    def passed():
        file = rheod.folder / "passing.json"
        return sum_records.sum_files([file], growing=True).packets if file.exists() else 0

    send(1, 100)
    wait_for(lambda: passed() == 100, "records of the new exporter")
    rheoctl("exporters", "disable", "json.passing")
    wait_for(lambda: state("json.passing") == "disabled", "a disabled exporter")
    send(2, 200)
    rheod.config.write_text(rheod.config.read_text())
    rheoctl("reload")  # does not end what the settings do not speak of
    wait_for(lambda: state("json.passing") == "disabled", "a disabled exporter after a reload")
    rheoctl("exporters", "enable", "json.passing")
    wait_for(lambda: state("json.passing") == "running", "an enabled exporter")
    send(3, 400)
    wait_for(lambda: passed() == 500, "records of the enabled exporter")
    lost = {row["name"]: row["packets"] for row in json.loads(rheoctl("--json", "losses"))}
    expect_equal(lost["lane.json.passing.lost"], 0, "packets lost while disabled")


def kept(rheod):
    """--persist writes a drop-in that the next reading finds, or changes nothing."""
    drop_in = rheod.config.parent / "rheo.toml.d" / "90-rheoctl-exporter-json.test.toml"
    rheoctl("exporters", "disable", "json.test", "--persist")
    expect("[export.json.test]\nenabled = false\n" in drop_in.read_text(), "the drop-in says something else")
    rheoctl("reload")
    wait_for(lambda: state("json.test") == "disabled", "an exporter that stays disabled")
    rheoctl("exporters", "enable", "json.test", "--persist")
    expect("enabled = true" in drop_in.read_text(), "the drop-in was not replaced")
    wait_for(lambda: state("json.test") == "running", "an enabled exporter")
    drop_in.unlink()
    drop_in.mkdir()  # in the way
    refused = subprocess.run([Rig.programs / "rheoctl", "exporters", "disable", "json.test", "--persist"],
                             capture_output=True, text=True, timeout=30, check=False)
    expect(refused.returncode == 1 and f"{drop_in}: " in refused.stderr, f"refusal without the file's name: {refused.stderr}")
    expect_equal(state("json.test"), "running", "state after a change that could not be kept")
    drop_in.rmdir()


def exporter_gone(rheod):
    """The drop-in of an exporter that the settings no longer have is named, and in nobody's way."""
    drop_in = rheod.config.parent / "rheo.toml.d" / "90-rheoctl-exporter-json.test.toml"
    note = f"{drop_in}:2: export.json.test: no other file has this exporter any more"
    rheoctl("exporters", "disable", "json.test", "--persist")
    rheod.config.write_text(rheod.config.read_text().replace("export.json.test", "export.json.other"))
    expect(note not in rheod.said(), "the drop-in is passed over too early")
    rheoctl("reload")
    wait_for(lambda: note in rheod.said(), "word of the drop-in after a reload")
    wait_for(lambda: state("json.other") == "running", "the exporter that is in the settings")
    rheod.stop()
    rheod.start()
    expect(note in rheod.said(), f"no word of the drop-in at the start: {rheod.said()}")
    wait_for(named, NAME)
    wait_for(lambda: state("json.other") == "running", "the exporter that is in the settings, after a start")
    drop_in.unlink()


def main():
    rig = Rig(lambda parser: parser.add_argument("--reloads", type=int, default=100))
    with rig.case(f"{rig.arguments.reloads} reloads under traffic") as case:
        a_hundred_reloads(rig, case, rig.arguments.reloads)
    rig.run_cases({"refused as a whole": refused_as_a_whole, "interfaces follow": interfaces_follow,
                   "stuck exporter goes": stuck_exporter_goes, "told to systemd": told_to_systemd})
    serve_cases(rig, {"exporter switched": switched, "kept in a drop-in": lambda near, rheod: kept(rheod),
                      "exporter gone from the settings": lambda near, rheod: exporter_gone(rheod)}, flow=FAST)
    rig.end()


if __name__ == "__main__":
    main()
