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
OF_ONE_CLIENT = 50  # conversations, of many
UNITS = {"connect": "clients.scope", "accept": "servers.service"}  # as in guest_script.sh
# Of servers, see socket_pairs: with one conversation of a client, with few of them, with many.
KINDS = ("prefork", "forking", "reuseport", "systemd", "same-pid")
FEW_KINDS = ("passing", "ending", "program", "mapped", "datagrams", "connected-datagrams")
MANY_KINDS = ("many", "many-reuseport")
SERVERS = dict(enumerate(("older", *KINDS, *FEW_KINDS, *MANY_KINDS), 7001))  # by port, as in guest_script.sh
# What rheod says at its start where the kernel lacks something; the columns of the table, after the hook's.
MISSING = ("owners of flows stay unknown", "of sockets that are never connected", "of who connects another's",
           "of who sends with another's", "of who binds another's", "of who accepts", "of sockets that are there already")


def owner_of(what, client_port, pid, kind):
    """Pid, unit, name and executable. A client's name is that of its first port."""
    program = "/sbin/systemd" if kind == "systemd" else "/sbin/socket_pairs"
    if what == "connect" and kind == "program":
        return pid, f"program-{client_port}.scope", f"client-{client_port}", f"/sbin/client-{client_port}"
    first_port = client_port - client_port % OF_ONE_CLIENT if kind in MANY_KINDS else client_port
    return pid, UNITS[what], f"client-{first_port}" if what == "connect" else pathlib.Path(program).name, program


def ledger_of(folder, port, follows_accept):
    """The owners of who connected and of who accepted, by the client's port; where accept is not followed, of who listens."""
    ledger, listening, kind = {end: {} for end in UNITS}, [], SERVERS[port]
    for line in (folder / f"pairs.{port}").read_text().splitlines():
        what, *numbers = line.split()
        client_port, pid = map(int, numbers)
        if what == "listen":
            listening.append(pid)
        else:
            ledger[what][client_port] = owner_of(what, client_port, pid, kind)
    if not follows_accept and len(listening) == 1 and "datagrams" not in kind:
        for client_port, (_, _, *program) in ledger["accept"].items():  # before it is in a cgroup with a unit
            ledger["accept"][client_port] = (listening[0], None, *program)
    return ledger


def ends_told(kind, follows_accept):
    """Those that must have an owner, and those that may: systemd accepts for others, and the sockets that are older than
    rheod are found where accepting can be followed, too."""
    if kind == "systemd":
        return ("connect",), ("connect",)
    return () if kind == "older" and not follows_accept else tuple(UNITS), tuple(UNITS)


def owners_told(records, port):
    """By the client's port, the owners that records tell of each end, or of the only one that has an owner."""
    told = collections.defaultdict(set)
    for record in records:
        if record["destination.port"] != port:
            continue
        for end, name in (("connect", "source."), ("accept", "destination."), (None, "")):
            if name + "process.pid" in record:
                keys = ("process.pid", "systemd.unit", "process.executable.name", "process.executable.path")
                told[record["source.port"]].add((end, *(record.get(name + key) for key in keys)))
    return told


def count_owners(told, wanted, ends, possible):
    """How many connections have an owner at these ends, and what is wrong, at those where one is possible."""
    whole, wrong = 0, []
    for port in wanted["connect"]:
        right = {end: wanted[end][port] for end in possible}
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
        ends, possible = ends_told(kind, follows_accept)
        whole, wrong = count_owners(owners_told(records, port), ledger, ends, possible)
        expect(not wrong, f"{kind}: {len(wrong)} of {connections} connections have a wrong owner: {wrong[:3]}")
        expect(whole >= OWNERS_TOLD * connections, f"{kind}: {' and '.join(ends)} are told of {whole} of {connections} connections")
        print(f"owners of {connections} connections, {kind}: {whole} are told at {len(ends)} ends, 0 wrong", flush=True)


def row_of(kernel, said):
    """By what rheod said at its start."""
    cells = [kernel.name, kernel.hook, *("no" if missing in said else "yes" for missing in MISSING[1:])]
    expect(MISSING[0] not in said, f"no owners at all: {said[:600]}")
    return f"| {' | '.join(cells)} |"
