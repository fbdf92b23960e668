# SPDX-License-Identifier: Apache-2.0
"""Whose connections were on a kernel, as socket_pairs tells it and as rheod's records do; and the line of docs/kernels.md
for that kernel."""
import collections
import json
import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "integration"))
from rig import expect  # noqa: E402

KERNEL_TABLE = TOP / "docs" / "kernels.md"
OWNERS_TOLD = 0.999  # of connections
SERVER_NAME = "socket_pairs"
UNITS = {"connect": "clients.scope", "accept": "servers.service"}  # as in guest_script.sh
SERVERS = {7001: "prefork", 7002: "forking", 7003: "reuseport", 7004: "systemd", 7005: "same-pid"}
# What rheod says at its start where the kernel lacks something; the columns of the table, after the hook's.
MISSING = ("owners of flows stay unknown", "of sockets that are never connected", "of who connects another's",
           "of who sends with another's", "of who binds another's", "of who accepts", "of sockets that are there already")


def ledger_of(folder, port, follows_accept):
    """Pid, unit and name of who connected and of who accepted, by the client's port; where accept is not followed, of who listens."""
    ledger, listening = {end: {} for end in UNITS}, []
    for line in (folder / f"pairs.{port}").read_text().splitlines():
        what, client_port, pid = line.split()
        if what == "listen":
            listening.append(int(pid))
        else:
            name = f"client-{client_port}" if what == "connect" else SERVER_NAME
            ledger[what][int(client_port)] = (int(pid), UNITS[what], name)
    if not follows_accept and len(listening) == 1:  # before it is in a cgroup with a unit
        ledger["accept"] = dict.fromkeys(ledger["accept"], (listening[0], None, SERVER_NAME))
    return ledger


def owners_told(records, port):
    """By the client's port, the pids, units and names that records tell of each end, or of the only one that has an owner."""
    told = collections.defaultdict(set)
    for record in records:
        if record["destination.port"] != port:
            continue
        for end, name in (("connect", "source."), ("accept", "destination."), (None, "")):
            if name + "process.pid" in record:
                keys = ("process.pid", "systemd.unit", "process.executable.name")
                told[record["source.port"]].add((end, *(record.get(name + key) for key in keys)))
    return told


def count_owners(told, wanted, ends):
    """How many connections have an owner at these ends, and what is wrong."""
    whole, wrong = 0, []
    for port in wanted["connect"]:
        right = {end: wanted[end][port] for end in ends}
        for end, *owner in told[port]:
            if tuple(owner) not in ([right.get(end)] if end else right.values()):
                wrong.append(f"port {port}: {end or 'one end'} is told of {owner}, right are {right}")
        whole += len(told[port]) >= len(ends)
    return whole, wrong


def expect_owners(folder, follows_accept):
    """Zero wrong ones; of nearly all connections both, but those that systemd accepts have one."""
    records = list(map(json.loads, (folder / "records.json").read_text().splitlines()))
    for port, kind in SERVERS.items():
        ledger = ledger_of(folder, port, follows_accept)
        connections = len(ledger["connect"])
        expect(connections > 0 and ledger["connect"].keys() == ledger["accept"].keys(), f"{kind}: not all were accepted")
        ends = ("connect",) if kind == "systemd" else tuple(UNITS)
        whole, wrong = count_owners(owners_told(records, port), ledger, ends)
        expect(not wrong, f"{kind}: {len(wrong)} of {connections} connections have a wrong owner: {wrong[:3]}")
        expect(whole >= OWNERS_TOLD * connections, f"{kind}: {' and '.join(ends)} are told of {whole} of {connections} connections")


def row_of(kernel, said):
    """By what rheod said at its start."""
    cells = [kernel.name, kernel.hook, *("no" if missing in said else "yes" for missing in MISSING[1:])]
    expect(MISSING[0] not in said, f"no owners at all: {said[:600]}")
    return f"| {' | '.join(cells)} |"
