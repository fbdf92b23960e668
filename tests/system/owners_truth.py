#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whose flows are, under a booted systemd: of services, of those that systemd starts when somebody connects, of servers
that fork, of a user's session, of a container that podman runs. Who accepts is told where this machine's kernel lets that
be followed; else it is who bound the listening socket, and nobody where that is systemd.

The container is this machine's own root directory under an overlay that is thrown away. For each case it prints one
line "passed: owners_truth: CASE", "failed: …: why" or "skipped: …: why"; it exits 1 when a case failed.

    tests/system/owners_truth.py [--build DIR] [--short]
"""
import json
import pathlib
import shutil
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "integration"))
from rig import Skipped, expect_equal  # noqa: E402

from booted import wait_for  # noqa: E402
from service import run_installed, set_up  # noqa: E402

RECORDS = "/var/log/rheo/flows.json"
CONFIG = f"""[interfaces]
include = ["lo"]
[datapath]
drain_interval = "50ms"
[flow]
udp_timeout = "1s"
tcp_fin_timeout = "1s"
tcp_timeout = "2s"
[export.json.default]
path = "{RECORDS}"
"""
# Answers one connection after the other: of the socket that systemd passes, or of its own; itself, or by a child.
SERVER = """import os, socket, sys
port, forks = int(sys.argv[1]), len(sys.argv) > 2
listening = socket.socket(fileno=3) if port == 0 else socket.create_server(("127.0.0.1", port))
while True:
    accepted, _ = listening.accept()
    if not forks or os.fork() == 0:
        accepted.sendall(accepted.recv(1))
        if forks:
            os._exit(0)
    accepted.close()
"""
CLIENT = """import socket, sys, time
for _ in range(600):
    try:
        s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        break
    except ConnectionRefusedError:  # the server is starting
        time.sleep(0.1)
s.sendall(b"x")
s.recv(1)
"""
SENDER = """import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("127.0.0.1", int(sys.argv[1])))
s.send(b"x")
"""
PROGRAMS = {"server": SERVER, "client": CLIENT, "sender": SENDER}
UNITS = {
    "passed.socket": "[Socket]\nListenStream=127.0.0.1:6001\n",
    "passed.service": "[Service]\nExecStart=/usr/bin/python3 /opt/server 0\n",
    "each.socket": "[Socket]\nListenStream=127.0.0.1:6002\nAccept=yes\n",
    "each@.service": "[Service]\nExecStart=/usr/bin/head -c 1\nStandardInput=socket\n",
    "plain.service": "[Service]\nExecStart=/usr/bin/python3 /opt/server 6003\n",
    "forking.service": "[Service]\nExecStart=/usr/bin/python3 /opt/server 6004 forks\n",
}


def put(container, path, text):
    container.run(f"cat > {path} <<'END'\n{text}END")


def prepare(container):
    set_up(container)
    put(container, "/etc/rheo/rheo.toml", CONFIG)
    for name, text in PROGRAMS.items():
        put(container, f"/opt/{name}", text)
    for name, text in UNITS.items():
        put(container, f"/run/systemd/system/{name}", text)
    # rheod first: who waits in accept() when it starts is not seen to accept.
    container.run("useradd ann; systemctl daemon-reload && systemctl start rheod && "
                  "systemctl start passed.socket each.socket plain forking")


def follows_accept(container):
    return "of who accepts" not in container.run("journalctl --sync; journalctl --no-pager -o cat -u rheod")


def record_to(container, port):
    """The first record of the flow to the port, once it is written."""
    def found():
        text = container.run(f"cat {RECORDS}", check=False)
        lines = (json.loads(line) for line in text.splitlines(keepends=True) if line.startswith("{") and line.endswith("\n"))
        return next((record for record in lines if record.get("destination.port") == port), None)
    wait_for(found, f"record of port {port}")
    return found()


def ends_of(record):
    """The units that the record names: of who connected, of who answered; where one end only has an owner, it is in both
    places."""
    return [record.get(f"{end}systemd.unit", record.get("systemd.unit")) for end in ("source.", "destination.")]


def connect(container, port):
    """From a unit of its own, whose name is the answer."""
    container.run(f"systemd-run -q --wait --unit=client-{port} /usr/bin/python3 /opt/client {port}")
    return f"client-{port}.service"


def own_listener(container, port, unit):
    """A service that listens itself: its main process is named, whoever of it serves."""
    client = connect(container, port)
    record = record_to(container, port)
    expect_equal(ends_of(record), [client, unit], "units")
    expect_equal(record["destination.process.pid"], int(container.show("MainPID", unit)), "pid of the server")


def listens(container):
    own_listener(container, 6003, "plain.service")


def forks(container):
    own_listener(container, 6004, "forking.service")


def is_passed_a_listener(container):
    client = connect(container, 6001)
    server = "passed.service" if follows_accept(container) else client  # the only one then
    expect_equal(ends_of(record_to(container, 6001)), [client, server], "units")


def is_passed_a_connection(container):
    """systemd accepted it, and is nobody's owner."""
    client = connect(container, 6002)
    expect_equal(ends_of(record_to(container, 6002)), [client, client], "units, of which there is one")


def is_a_session(container):
    done = container.run("systemd-run -q --wait -p User=ann -p PAMName=login /usr/bin/python3 /opt/sender 6005; "
                         "ls /run/systemd/sessions 2>&1", check=False)
    record = record_to(container, 6005)
    if record.get("systemd.unit", "").startswith("run-"):
        raise Skipped(f"pam_systemd makes no session here: {done.strip()[-100:]}")
    expect_equal(record["process.owner"], "ann", "user")
    expect_equal(record["systemd.unit"], f"session-{record.get('systemd.session')}.scope", "unit of the session")


# Nobody answers it; the container stays until it is removed.
IN_A_CONTAINER = "nc 127.0.0.1 6006; sleep 600"
# With nothing of this machine's own containers, and within the limits that a container has.
PODMAN = "podman --storage-driver=vfs --root=/opt/podman --runroot=/run/podman"
RUN = ("--runtime=runc run --detach --pids-limit=-1 --name=owner --log-driver=none --network=host --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024 "
       "--rootfs /opt/rootfs")


def is_in_a_container(container):
    """Of podman's own making, out of a root directory with nothing but busybox."""
    if not (shutil.which("podman") and shutil.which("busybox")):
        raise Skipped("podman or busybox is not installed")
    container.run("mkdir -p /opt/rootfs/bin && cp $(command -v busybox) /opt/rootfs/bin/ && "
                  "for name in sh nc sleep; do ln -s busybox /opt/rootfs/bin/$name; done")
    container.run(f"{PODMAN} {RUN} /bin/sh -c '{IN_A_CONTAINER}'")
    number = container.run(PODMAN + " inspect --format '{{.Id}}' owner").strip()
    record = record_to(container, 6006)
    told = [record.get(name) for name in ("container.id", "container.runtime", "systemd.unit", "process.executable.name")]
    expect_equal(told, [number, "podman", f"libpod-{number}.scope", "nc"], "the container, as podman says")
    container.run(f"{PODMAN} rm --force --time=0 owner")


CASES = {"a service that listens": listens, "a service that forks": forks, "a service is passed its listener": is_passed_a_listener,
         "a service is passed its connection": is_passed_a_connection, "a user's session": is_a_session,
         "a container of podman's": is_in_a_container}


def main():
    return run_installed("owners_truth", __doc__, prepare, CASES)


if __name__ == "__main__":
    sys.exit(main())
