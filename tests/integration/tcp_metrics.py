#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What TCP sockets say of their connections is what ss says of them, and how long handshakes take is told of connections from
here, to here and through here."""
import json
import re
import subprocess

from bus import Bus, answer, named, wait_for
from rig import Rig, expect, expect_equal, wait_until
from routed import routed

PYTHON = "/usr/bin/python3"
PORT = 5000
LONG = {"max_record_interval": "500ms", "tcp_timeout": "60s"}
METRICS = ("rtt", "min_rtt", "retransmits", "congestion_window")

# A program that does what its standard input says and prints what comes of it, line by line.
ACTOR = """
import socket, sys, time
def listen(port):
    global listener
    listener = socket.create_server(("", port))
def connect(address, port):
    global connection
    begun = time.monotonic_ns()
    connection = socket.create_connection((address, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return time.monotonic_ns() - begun
def accept():
    global connection
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def send(octets):
    connection.sendall(bytes(octets))
def receive(octets):
    while octets:
        octets -= len(connection.recv(min(octets, 65536)))
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Actor:
    """A process with a connection, in a network namespace."""

    def __init__(self, rig, namespace):
        self.namespace = namespace
        self.process = namespace.start([PYTHON, "-c", ACTOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        rig.at_end_of_case(self.end)

    def begin(self, doing):
        self.process.stdin.write(doing + "\n")
        self.process.stdin.flush()

    def finish(self):
        answer = self.process.stdout.readline()
        expect(answer, f"an actor has ended in {self.namespace.name}")
        return json.loads(answer.replace("None", "null"))

    def do(self, doing):
        self.begin(doing)
        return self.finish()

    def end(self):
        self.process.kill()
        self.process.wait()


def hosts(rig):
    near, far = rig.pair()
    near.run(["ip", "address", "add", "10.9.0.1/24", "dev", "east"])
    far.run(["ip", "address", "add", "10.9.0.2/24", "dev", "west"])
    return near, far


def start(rig, namespace, case, *interfaces, **datapath):
    return rig.rheod(namespace, case, interfaces={"include": list(interfaces)}, flow=LONG,
                     datapath={"drain_interval": "50ms", **datapath}).start()


def connected(client, server, address):
    """How long the client waited."""
    server.do(f"listen({PORT})")
    client.begin(f"connect('{address}', {PORT})")
    server.do("accept()")
    return client.finish()


def said_by_ss(namespace):
    return read_ss(namespace.run(["ss", "-H", "-t", "-i", "-n", "-O", "state", "established"]))


def read_ss(text):
    """What ss -i says of one connection, by the names of a record."""
    expect_equal(len(text.splitlines()), 1, f"connections in {text!r}")
    number = {key: found[1] for key, pattern in
              {"rtt": r"\brtt:([0-9.]+)/", "min_rtt": r"\bminrtt:([0-9.]+)", "retransmits": r"\bretrans:[0-9]+/([0-9]+)",
               "congestion_window": r"\bcwnd:([0-9]+)", "unacked": r"\bunacked:([0-9]+)",
               "sent": r"\bsegs_out:([0-9]+)"}.items() if (found := re.search(pattern, text))}
    expect({"rtt", "min_rtt", "congestion_window", "sent"} <= number.keys(), f"ss says {text!r}")
    return {"rtt": round(float(number["rtt"]) * 1e6), "min_rtt": round(float(number["min_rtt"]) * 1e6),
            "retransmits": int(number.get("retransmits", 0)), "congestion_window": int(number["congestion_window"]),
            "unacked": int(number.get("unacked", 0)), "sent": int(number["sent"])}


def last_record(rheod, holds, what):
    """The last one for which this holds; an unfinished line is none."""
    def found():
        text = rheod.records.read_text() if rheod.records.exists() else ""
        records = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [record for record in records if PORT == record.get("destination.port") and holds(record)]
    wait_until(found, what)
    return found()[-1]


def metrics(record, way):
    return {name: record.get(f"{way}tcp.{name}") for name in METRICS}


def expect_as_ss_says(rheod, actor, way, more=0):
    """The actor's socket is asked when it sends, so what it says then is what ss said before. It has sent some more segments
    than the socket itself."""
    wait_until(lambda: said_by_ss(actor.namespace)["unacked"] == 0, "all is acknowledged")
    said = said_by_ss(actor.namespace)
    actor.do("send(1)")
    record = last_record(rheod, lambda record: record[f"{way}packets.total"] == said["sent"] + more + 1, "record of the last segment")
    expect_equal(metrics(record, way), {name: said[name] for name in METRICS}, f"what {way} says of the socket")
    return record


def exchange(client, server):
    for _ in range(20):
        client.do("send(100)")
        server.do("receive(100)")
        server.do("send(3000)")
        client.do("receive(3000)")


def interrupt(near, far):
    """What far sends is lost for as long as the route is there."""
    far.run(["ip", "route", "add", "blackhole", "10.9.0.1/32"])
    return lambda: far.run(["ip", "route", "del", "blackhole", "10.9.0.1/32"])


def handshake(record):
    return tuple(record.get(f"flow.tcp.handshake.{name}") for name in ("latency", "syn_ack.latency", "ack.latency"))


def from_here(rig, case):
    near, far = hosts(rig)
    near.set_kernel("ipv4/tcp_slow_start_after_idle", 0)  # else the window shrinks when something is sent, before it is
    rheod = start(rig, near, case, "east")
    client, server = Actor(rig, near), Actor(rig, far)
    waited = connected(client, server, "10.9.0.2")
    exchange(client, server)
    record = expect_as_ss_says(rheod, client, "flow.")
    expect_equal(metrics(record, "flow.reverse."), dict.fromkeys(METRICS), "what is said of the far socket")
    total, there, back = handshake(record)
    expect(0 < there < waited and back > 0, f"a handshake of {there} and {back} ns, in a wait of {waited}")
    expect_equal(total, there + back, "the latency of the handshake")

    server.do("receive(1)")
    end = interrupt(near, far)
    client.do("send(200)")
    wait_until(lambda: said_by_ss(near)["retransmits"] >= 2, "segments are sent again")
    end()
    server.do("receive(200)")
    record = expect_as_ss_says(rheod, client, "flow.")
    expect(record["flow.tcp.retransmits"] >= 2, "no segment was sent again")
    expect_equal(handshake(record), (total, there, back), "the handshake in a later record")
    rheod.stop()


def to_here(rig, case):
    near, far = hosts(rig)
    near.set_kernel("ipv4/tcp_slow_start_after_idle", 0)
    rheod = start(rig, near, case, "east")
    client, server = Actor(rig, far), Actor(rig, near)
    connected(client, server, "10.9.0.1")
    exchange(client, server)
    record = expect_as_ss_says(rheod, server, "flow.reverse.", more=1)  # the listener answered the SYN
    expect_equal(metrics(record, "flow."), dict.fromkeys(METRICS), "what is said of the far socket")
    total, there, back = handshake(record)
    expect_equal(total, there + back, "the latency of the handshake")
    rheod.stop()


def through_here(rig, case):
    """The far end's answer to the first SYN is lost, so that the handshake takes a second."""
    left, host, right = routed(rig)
    rheod = start(rig, host, case, "west", "east")
    client, server = Actor(rig, left), Actor(rig, right)
    server.do(f"listen({PORT})")
    right.run(["ip", "route", "add", "blackhole", "10.9.1.0/24"])
    client.begin(f"connect('10.9.2.2', {PORT})")
    last_record(rheod, lambda record: record["flow.packets.total"] >= 2, "record of a second SYN")
    right.run(["ip", "route", "del", "blackhole", "10.9.1.0/24"])
    server.do("accept()")
    waited = client.finish()
    client.do("send(1)")
    record = last_record(rheod, lambda record: "flow.tcp.handshake.latency" in record, "record with a handshake")
    total, there, back = handshake(record)
    expect(900e6 < there < waited, f"{there} ns up to the answer, in a wait of {waited}")
    expect_equal(total, there + back, "the latency of the handshake")
    for way in ("flow.", "flow.reverse."):
        expect_equal(metrics(record, way), dict.fromkeys(METRICS), "what is said of sockets elsewhere")
    rheod.stop()


def on_one_host(rig, case):
    """Both ends are here: each socket has said something."""
    near = rig.namespace("near")
    rheod = start(rig, near, case, "lo")
    client, server = Actor(rig, near), Actor(rig, near)
    connected(client, server, "127.0.0.1")
    exchange(client, server)
    record = last_record(rheod, lambda record: record["flow.reverse.bytes.total"] > 60_000, "record of the exchange")
    for way in ("flow.", "flow.reverse."):
        said = metrics(record, way)
        expect(None not in said.values() and 0 < said["min_rtt"] <= said["rtt"], f"{way} says {said}")
    expect(None not in handshake(record), f"a handshake of {handshake(record)}")
    rheod.stop()


RAW_SENDER = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
for number in range(20):
    s.sendto(struct.pack("!HHIIBBHHH", 40000, int(sys.argv[2]), number, 1, 5 << 4, 0x18, 100, 0, 0), (sys.argv[1], 0))
"""


def raw_sockets(rig, case):
    """They send TCP, and have nothing of what a TCP socket has."""
    near, far = hosts(rig)
    rheod = start(rig, near, case, "east")
    near.run([PYTHON, "-c", RAW_SENDER, "10.9.0.2", PORT])
    record = last_record(rheod, lambda record: record["flow.packets.total"] == 20, "record of what was sent")
    for way in ("flow.", "flow.reverse."):
        expect_equal(metrics(record, way), dict.fromkeys(METRICS), "what is said of a raw socket")
    rheod.stop()


def on_the_bus(rig, case):
    Bus(rig, case).start()
    near, far = hosts(rig)
    rheod = start(rig, near, f"{case} rheod", "east")
    wait_for(named, "rheod on the bus")
    client, server = Actor(rig, near), Actor(rig, far)
    connected(client, server, "10.9.0.2")
    exchange(client, server)
    answer("Drain")
    flow = {key: value["data"] for key, value in answer("ListFlows", "sus", f"dst port {PORT}", 9, "bytes")[0][0].items()}
    expect(0 < flow["TcpMinRtt"] <= flow["TcpRtt"] and flow["TcpCongestionWindow"] > 0, f"the bus says {flow}")
    expect_equal(flow["TcpRetransmits"], said_by_ss(near)["retransmits"], "segments sent again")
    expect_equal([key for key in flow if key.startswith("ReverseTcp")], [], "what is said of the far socket")
    rheod.stop()


def off(rig, case):
    near, far = hosts(rig)
    rheod = start(rig, near, case, "east", tcp=False)
    client, server = Actor(rig, near), Actor(rig, far)
    connected(client, server, "10.9.0.2")
    exchange(client, server)
    record = last_record(rheod, lambda record: record["flow.bytes.total"] > 2000, "record of the exchange")
    expect_equal([name for name in record if re.search(r"\.tcp\.(handshake\.|rtt|min_rtt|retrans|congestion)", name)], [],
                 "fields of what sockets and clocks say")
    rheod.stop()


def main():
    rig = Rig(choose=True)
    rig.run_cases({"from here": from_here, "to here": to_here, "through here": through_here, "on one host": on_one_host,
                   "raw sockets": raw_sockets, "on the bus": on_the_bus, "off": off})
    rig.end()


if __name__ == "__main__":
    main()
