#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What records say of owners where the settings ask for it: names and images of containers out of their runtimes' files,
command lines; and whose notes the kernel no longer has, who are then nobody, and counted."""
import json
import os
import pathlib
import re
import shutil
import subprocess

from bus import Bus, answer, named, wait_for
from owner_actor import PYTHON, Actor, make_cgroup
from owners import FAST, SLICE, THERE, hosts, record_of
from rig import Rig, Skipped, expect, expect_equal, mount, run

DOCKER, PODMAN, CONTAINERD = (os.urandom(32).hex() for _ in range(3))
NAMES = ("container.id", "container.name", "container.image.name", "container.runtime")
SENDER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2]))); s.send(bytes(10))
print("sent", flush=True)
sys.stdin.read()
"""
# Each user is a new owner. The first send, the others only connect, and need as many notes as there is room for.
CROWD = """
import os, socket, sys
there, port, senders, others = sys.argv[1], *map(int, sys.argv[2:])
for i in range(senders + others):
    os.seteuid(100000 + i)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((there, port + min(i, senders)))
        if i < senders:
            s.send(bytes(10))
    os.seteuid(0)
"""
CROWD_PORT, SENDERS, OTHERS = 20000, 200, 9000


def write_runtimes():
    """As docker 20.10, podman 4.3 and containerd 1.6 with Kubernetes lay them out."""
    files = {
        f"/var/lib/docker/containers/{DOCKER}/config.v2.json": {
            "State": {"Running": True}, "ID": DOCKER, "Config": {"Image": "nginx:1.27"}, "Image": "sha256:12", "Name": "/web"},
        "/var/lib/containers/storage/overlay-containers/containers.json": [
            {"id": "0" * 64, "names": ["other"], "metadata": "{}"},
            {"id": PODMAN, "names": ["db"], "image": "34", "metadata": json.dumps(
                {"image-name": "docker.io/library/postgres:16", "name": "db"})}],
        f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{CONTAINERD}/config.json": {
            "ociVersion": "1.0.2", "annotations": {"io.kubernetes.cri.container-name": "app",
                                                   "io.kubernetes.cri.image-name": "quay.io/app:3"}}}
    for path, content in files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        pathlib.Path(path).write_text(json.dumps(content))


def start(rig, namespace, case, **datapath):
    return rig.rheod(namespace, f"{case} rheod", interfaces={"include": ["east"]}, flow=FAST,
                     datapath={"drain_interval": "50ms", **datapath}).start()


def container_names(rig, case):
    near, _ = hosts(rig)
    write_runtimes()
    Bus(rig, case).start()
    rheod = rig.rheod(near, f"{case} rheod", interfaces={"include": ["east"]}, flow={"udp_timeout": "60s"},
                      datapath={"drain_interval": "50ms", "container_names": True}).start()
    wait_for(named, "rheod on the bus")
    scopes = {5001: (f"docker-{DOCKER}.scope", (DOCKER, "web", "nginx:1.27", "docker")),
              5002: (f"libpod-{PODMAN}.scope", (PODMAN, "db", "docker.io/library/postgres:16", "podman")),
              5003: (f"cri-containerd-{CONTAINERD}.scope", (CONTAINERD, "app", "quay.io/app:3", "containerd")),
              5004: (f"docker-{'f' * 64}.scope", ("f" * 64, None, None, "docker"))}
    for port, (scope, _) in scopes.items():
        Actor(rig, near, make_cgroup(rig, f"{SLICE}/{scope}")).do(f"udp('{THERE}', {port}, True)")

    def listed(text):
        answer("Drain")
        return sorted(flow["DestinationPort"]["data"] for flow in answer("ListFlows", "sus", text, 9, "bytes")[0])
    wait_for(lambda: len(listed(f"dst net {THERE}/32")) == len(scopes), "all flows")
    expect_equal(listed("container web"), [5001], "flows of a container by its name")
    expect_equal(listed(f"container {PODMAN[:12]}"), [5002], "flows of a container by the beginning of its id")
    flow = {key: value["data"] for key, value in answer("ListFlows", "sus", "container db", 9, "bytes")[0][0].items()}
    expect_equal((flow["SourceContainerName"], flow["SourceContainerImageName"]), scopes[5002][1][1:3], "names on the bus")
    summed = json.loads(run([Rig.programs / "rheoctl", "--json", "flows", "--by", "container", "dst", "net", f"{THERE}/32"]))
    expect_equal({group["container"] for group in summed}, {"web", "db", "app", "f" * 64}, "groups of containers")
    counters = rheod.counters()
    expect_equal((counters["owners.containers_named"], counters["owners.containers_unnamed"]), (3, 1), "look-ups of names")
    rheod.stop()
    for port, (_, wanted) in scopes.items():
        expect_equal(tuple(record_of(rheod, port).get(name) for name in NAMES), wanted, f"the container of port {port}")


def only_where_asked_for(rig, case):
    near, _ = hosts(rig)
    write_runtimes()
    rheod = start(rig, near, case)
    Actor(rig, near, make_cgroup(rig, f"{SLICE}/docker-{DOCKER}.scope")).do(f"udp('{THERE}', 5005, True)")
    record = record_of(rheod, 5005)
    expect_equal(tuple(record.get(name) for name in NAMES), (DOCKER, None, None, "docker"), "the container by default")
    expect("process.pid" in record and "process.command_line" not in record, f"a command line by default: {record}")
    rheod.stop()


def sender(rig, near, case, port, word):
    """A process that has sent, and lives until its standard input ends."""
    script = rig.case_folder(case) / "s.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(SENDER)
    process = near.start([PYTHON, script, THERE, str(port), word], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    rig.at_end_of_case(lambda: (process.kill(), process.wait()))
    expect_equal(process.stdout.readline(), "sent\n", "what the sender says")
    return process, f"{PYTHON} {script} {THERE} {port} {word}"


def command_lines(rig, case):
    near, _ = hosts(rig)
    rheod = start(rig, near, case, command_lines=True)
    for port, word in ((5006, "two words"), (5007, "é\n\"\x1b"), (5008, "x" * 1000)):
        process, line = sender(rig, near, case, port, word)
        record = record_of(rheod, port)
        expect_equal((record.get("process.pid"), record.get("process.command_line")),
                     (process.pid, line.encode()[:255].decode()), "a process and its command line")
    rheod.stop()


def gone_before_the_drain(rig, case):
    """The name of the process is told, and no command line: not another's."""
    near, _ = hosts(rig)
    rheod = start(rig, near, case, command_lines=True, drain_interval="60s")
    process, _ = sender(rig, near, case, 5009, "secret")
    process.communicate("", timeout=60)
    rheod.stop()
    record = record_of(rheod, 5009)
    expect_equal(record.get("process.pid"), process.pid, "the process that is gone")
    expect("process.command_line" not in record, f"the command line of a process that is gone: {record}")


def forgotten(rig, case):
    """More owners between two drains than the kernel keeps notes of."""
    near, _ = hosts(rig)
    rheod = start(rig, near, case, drain_interval="60s")
    drains = rheod.counters()["collector.drains"]
    near.run([PYTHON, "-c", CROWD, THERE, str(CROWD_PORT), str(SENDERS), str(OTHERS)], timeout=300)
    last = Actor(rig, near)
    last.do(f"udp('{THERE}', 5010, True)")
    drained = rheod.counters()["collector.drains"] != drains  # those that it found are not forgotten
    counters = rheod.stop()
    found = {}
    for record in map(json.loads, rheod.records.read_text().splitlines()):
        found.setdefault(record.get("destination.port"), record.get("process.owner"))
    wrong = {port: user for port, user in found.items()
             if user is not None and 0 <= port - CROWD_PORT < SENDERS and user != str(100000 + port - CROWD_PORT)}
    expect_equal(wrong, {}, "owners that are others'")
    nobody = sum(found[CROWD_PORT + i] is None for i in range(SENDERS))
    expect(drained or nobody == SENDERS, f"{nobody} of {SENDERS} flows have no owner")
    expect(counters["owners.forgotten"] >= nobody, f"owners.forgotten is {counters['owners.forgotten']} of {nobody}")
    expect_equal(record_of(rheod, 5010).get("process.pid"), last.pid, "the owner who came last")


def in_ipfix(rig, case):
    """As ipfixDump of libfixbuf reads it; the names of classes, too."""
    if not shutil.which("ipfixDump"):
        raise Skipped("ipfixDump is not installed")
    near, _ = hosts(rig)
    write_runtimes()
    file = rig.case_folder(case) / "names.ipfix"
    file.parent.mkdir(parents=True, exist_ok=True)
    wanted = {"rheoSourceContainerName": "web", "rheoSourceContainerImage": "nginx:1.27", "rheoDestinationContainerName": "",
              "rheoDestinationCommandLine": "", "rheoSourceClassName": "localhost", "rheoDestinationClassName": "internal"}
    rheod = rig.rheod(near, f"{case} rheod", interfaces={"include": ["east"]}, flow=FAST,
                      datapath={"drain_interval": "50ms", "container_names": True, "command_lines": True},
                      **{"export.ipfix.test": {"endpoint": f"file:{file}",
                                               "elements_add": [*wanted, "rheoSourceCommandLine"]}}).start()
    actor = Actor(rig, near, make_cgroup(rig, f"{SLICE}/docker-{DOCKER}.scope"))
    actor.do(f"udp('{THERE}', 5011, True)")
    line = record_of(rheod, 5011).get("process.command_line")
    expect(line and line.startswith(f"{PYTHON} -c"), f"the command line: {line!r}")
    rheod.stop()
    text = run(["ipfixDump", "--rfc5610", "-d", "-i", file], timeout=60)
    flow = next(part for part in text.split("--- data record ")[1:] if re.search(r"destinationTransportPort : 5011$", part, re.M))
    told = dict(re.findall(r"(rheo(?:Source|Destination)\w+) : (?:\(len: \d+\) )?(.*?)\0*$", flow, re.M))
    expect_equal({name: told.get(name) for name in wanted}, wanted, f"names in IPFIX: {flow}")
    expect(told["rheoSourceCommandLine"].startswith(f"{PYTHON} -c"), f"the command line in IPFIX: {flow}")


def sums_of_a_crowd(rig, case):
    """More flows than are listed at once, and more owners: each is in a sum, under its own name."""
    count = 1500
    near, _ = hosts(rig)
    Bus(rig, case).start()
    rheod = rig.rheod(near, f"{case} rheod", interfaces={"include": ["east"]}).start()
    wait_for(named, "rheod on the bus")
    near.run([PYTHON, "-c", CROWD, THERE, str(CROWD_PORT), str(count), "0"], timeout=300)

    def summed(*words):
        answer("Drain")
        done = subprocess.run([Rig.programs / "rheoctl", "--json", "flows", "--by", *words], capture_output=True, text=True,
                              timeout=120, check=True)
        return json.loads(done.stdout), done.stderr
    wait_for(lambda: len(summed("port", "udp")[0]) == count, f"{count} groups of ports")
    groups, said = summed("user", "udp", "and", "dst", "net", f"{THERE}/32")
    expect_equal({group["user"]: (group["flows"], group["packets"], group["bytes"]) for group in groups},
                 {str(100000 + i): (1, 1, 38) for i in range(count)}, "sums by user")
    expect_equal(said, "", "what is said beside sums of all")
    groups, said = summed("user", "--limit", "10", "udp")
    expect_equal(sum(group["flows"] for group in groups), 10, "flows that were asked for")
    expect("sums are of the 10 flows that come first by bytes" in said, f"what is said beside sums of some: {said}")
    groups, said = summed("process", "uid", "100007")
    expect_equal([group["flows"] for group in groups], [1], "flows of one user")
    expect_equal(said, "", "what is said beside sums of all that a list has")
    groups, said = summed("class", "udp")
    expect("of the 1000 flows" in said, f"what is said beside sums of the largest: {said}")
    rheod.stop()


def main():
    rig = Rig(choose=True)
    mount("tmpfs", "/var/lib")  # where runtimes keep what the host has of them
    rig.run_cases({"container names": container_names, "only where asked for": only_where_asked_for,
                   "command lines": command_lines, "gone before the drain": gone_before_the_drain, "forgotten": forgotten,
                   "sums of a crowd": sums_of_a_crowd, "in IPFIX": in_ipfix})
    rig.end()


if __name__ == "__main__":
    main()
