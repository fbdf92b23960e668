#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whose the flows are: records name the process, user, systemd unit and container that connected, accepted or sent, also
of processes that live for some milliseconds and of sockets that are older than rheod."""
import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess

from bus import Bus, answer, named, wait_for
from owner_actor import PYTHON, Actor, cgroup_root, make_cgroup
from rig import Rig, Skipped, expect, expect_equal, mount, run, wait_until

FAST = {"udp_timeout": "1s", "tcp_fin_timeout": "1s", "tcp_timeout": "2s"}
HERE, THERE = "10.9.0.1", "10.9.0.2"
# A run's own: no namespace hides cgroups from a run beside it.
SLICE, UNIT = f"rheotest{os.getpid()}.slice", f"rheo-owners-{os.getpid()}.service"
FIRST_PORT = 20000  # of those that one case sends to one after the other, below those that the kernel gives to senders
CLONE_NEWPID = 0x20000000
libc = ctypes.CDLL(None, use_errno=True)
# What of the two flows on the bus a filter finds.
FILTERS = ((f"unit {UNIT}", [5008]), (f"src unit {UNIT.removesuffix('.service')}", [5008]), (f"dst unit {UNIT}", []),
           ("user www-data", [5009]), ("src uid 33", [5009]), ("uid 0", [5008]), ("pid {pid}", [5008]),
           ("process {python}", [5008, 5009]), ("not process python", [5008, 5009]), ("container 0", []))


def hosts(rig):
    """Two namespaces, with addresses."""
    near, far = rig.pair()
    near.run(["ip", "addr", "add", f"{HERE}/24", "dev", "east"])
    far.run(["ip", "addr", "add", f"{THERE}/24", "dev", "west"])
    mac = json.loads(far.run(["ip", "-j", "link", "show", "dev", "west"]))[0]["address"]
    near.run(["ip", "neighbour", "add", THERE, "lladdr", mac, "dev", "east"])
    return near, far


def start(rig, namespace, case, *interfaces):
    return rig.rheod(namespace, case, interfaces={"include": list(interfaces)}, flow=FAST,
                     datapath={"drain_interval": "50ms"}).start()


def ports_of(record):
    """The far one is the destination's, or the source's where a sender that is bound and not connected passes for a server."""
    return record.get("source.port", 0), record.get("destination.port", 0)


def expect_owners(rheod, keys, wanted):
    """Of the flows to the ports from FIRST_PORT on."""
    found = {}
    for record in map(json.loads, rheod.records.read_text().splitlines()):
        for port in ports_of(record):
            if 0 <= port - FIRST_PORT < len(wanted):
                found[port - FIRST_PORT] = tuple(record.get(key) for key in keys)
    differ = {i: (found.get(i), one) for i, one in enumerate(wanted) if found.get(i) != one}
    expect(not differ, f"{len(differ)} of {len(wanted)} owners are not the right ones: {list(differ.items())[:3]}")


def record_of(rheod, port, number=0):
    """The first record of the flow to the port, or a later one, once it is written."""
    def found():
        text = rheod.records.read_text() if rheod.records.exists() else ""
        lines = (json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n"))
        return next(itertools.islice((record for record in lines if port in ports_of(record)), number, None), None)
    wait_for(found, f"record of port {port}")
    return found()


def expect_owner(record, actor, prefix="", **more):
    wanted = {"process.pid": actor.pid, "process.executable.name": pathlib.Path(PYTHON).name,
              "process.executable.path": os.path.realpath(PYTHON), "process.owner": "root", **more}
    expect_equal({key: record.get(prefix + key) for key in wanted}, wanted, f"the owner of ports {ports_of(record)}")


def one_end(rig, case):
    near, _ = hosts(rig)
    rheod = start(rig, near, case, "east")
    group = make_cgroup(rig, f"{SLICE}/{UNIT}")
    service, other = Actor(rig, near, group), Actor(rig, near)
    service.do(f"udp('{THERE}', 5001, True)", f"udp('{THERE}', 5002, False)")
    other.do(f"udp('{THERE}', 5003, False)", "setuid(33)", f"udp('{THERE}', 5004, False)")
    unit = {"systemd.unit": UNIT, "systemd.slice": SLICE}
    expect_owner(record_of(rheod, 5001), service, **unit)
    expect_owner(record_of(rheod, 5002), service, **unit)
    expect("systemd.unit" not in record_of(rheod, 5003) or "rheo" not in record_of(rheod, 5003)["systemd.unit"], "a unit")
    expect_owner(record_of(rheod, 5003), other)
    expect_owner(record_of(rheod, 5004), other, **{"process.owner": "www-data"})
    rheod.stop()


def both_ends(rig, case):
    near = rig.namespace("near")
    rheod = start(rig, near, case, "lo")
    server, client = Actor(rig, near), Actor(rig, near)
    server.do("listen(5005)")
    client.do("connect(5005)")
    server.do("accept()", "kept[-1].recv(1)", "kept[-1].sendall(b'y')")
    client.do("kept.pop().close()")
    record = record_of(rheod, 5005)
    expect_owner(record, client, "source.")
    expect_owner(record, server, "destination.")
    rheod.stop()


def older_sockets(rig, case):
    near, _ = hosts(rig)
    actor = Actor(rig, near)
    actor.do(f"udp('{THERE}', 5006, True)")
    rheod = start(rig, near, case, "east")
    actor.do("again()")
    expect_owner(record_of(rheod, 5006), actor)
    rheod.kill()
    actor.do(f"udp('{THERE}', 5007, True)")  # while no rheod runs
    rheod.start()
    expect_owner(record_of(rheod, 5007), actor)
    rheod.stop()


def notes_are_gone(rig, case):
    """A flow outlives the notes of owners: it is nobody's then, and not that of who came next."""
    near, _ = hosts(rig)
    rheod = start(rig, near, case, "east")
    actor = Actor(rig, near)
    actor.do(f"udp('{THERE}', 5008, True)")
    wait_until(lambda: rheod.counters()["table.active_flows"] > 0, "the flow in the table")
    rheod.kill()
    near.run([Rig.programs / "rheod", "--detach", "--config", rheod.config])
    actor.do("kept.pop().close()")
    rheod.start()
    others = [Actor(rig, near) for _ in range(8)]
    for index, other in enumerate(others):
        other.do(f"udp('{THERE}', {5010 + index}, True)")
    expect_equal(record_of(rheod, 5008).get("process.pid", actor.pid), actor.pid, "the owner of a flow without notes")
    expect_owner(record_of(rheod, 5010), others[0])
    rheod.stop()


def short_lives(rig, case):
    """Each process sends one datagram and is gone long before anybody could look for it."""
    near, _ = hosts(rig)
    rheod = start(rig, near, case, "east")
    script = ("import os, socket\n"
              "for i in range(1000):\n"
              "    pid = os.fork()\n"
              "    if pid == 0:\n"
              "        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              f"        s.sendto(bytes(10), ('{THERE}', {FIRST_PORT} + i)); os._exit(0)\n"
              "    os.waitpid(pid, 0)\n"
              "    print(pid)\n")
    pids = list(map(int, near.run([PYTHON, "-c", script]).split()))
    wait_for(lambda: rheod.records.exists() and rheod.sums().records >= 1000, "records")
    rheod.stop()
    expect_owners(rheod, ("process.pid",), [(pid,) for pid in pids])


def in_ipfix(rig, case):
    """As ipfixDump of libfixbuf reads it, which joins no options to records."""
    if not shutil.which("ipfixDump"):
        raise Skipped("ipfixDump is not installed")
    near, _ = hosts(rig)
    names = [f"rheoSource{what}" for what in ("ProcessId", "ProcessName", "Executable", "User", "Unit", "ContainerId")]
    file = rig.case_folder(case) / "owners.ipfix"
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]}, flow=FAST, datapath={"drain_interval": "50ms"},
                      **{"export.ipfix.test": {"endpoint": f"file:{file}", "elements_add": [*names, "rheoDestinationUser"]}})
    rheod.start()
    actor = Actor(rig, near, make_cgroup(rig, f"{SLICE}/{UNIT}"))
    actor.do(f"udp('{THERE}', 5010, True)")
    expect_owner(record_of(rheod, 5010), actor)
    rheod.stop()
    text = run(["ipfixDump", "--rfc5610", "-d", "-i", file], timeout=60)
    flow = next(part for part in text.split("--- data record ")[1:] if re.search(r"destinationTransportPort : 5010$", part, re.M))
    told = dict(re.findall(r"(rheo(?:Source|Destination)\w+) : (?:\(len: \d+\) )?(.*?)\0*$", flow, re.M))
    wanted = [str(actor.pid), pathlib.Path(PYTHON).name, os.path.realpath(PYTHON), "root", UNIT, "", ""]
    expect_equal([told.get(name) for name in (*names, "rheoDestinationUser")], wanted, f"the owner in IPFIX: {flow}")


def on_the_bus(rig, case):
    """ListFlows and rheoctl tell of owners, and find flows by them."""
    Bus(rig, case).start()
    near, _ = hosts(rig)
    rheod = rig.rheod(near, f"{case} rheod", interfaces={"include": ["east"]}).start()
    wait_for(named, "rheod on the bus")
    service, user = Actor(rig, near, make_cgroup(rig, f"{SLICE}/{UNIT}")), Actor(rig, near)
    service.do(f"udp('{THERE}', 5008, True)")
    user.do("setuid(33)", f"udp('{THERE}', 5009, False)")

    def listed(port):
        answer("Drain")
        flows = answer("ListFlows", "sus", f"dst port {port}", 9, "bytes")[0]
        return {key: value["data"] for key, value in flows[0].items()} if flows else {}
    wait_for(lambda: listed(5008) and listed(5009), "both flows")
    wanted = {"ProcessPid": service.pid, "ProcessExecutableName": pathlib.Path(PYTHON).name,
              "ProcessExecutablePath": os.path.realpath(PYTHON), "ProcessOwner": "root",
              "SystemdUnit": UNIT, "SystemdSlice": SLICE}
    expect_equal({key: listed(5008).get(f"Source{key}") for key in wanted}, wanted, "owner on the bus")
    expect_equal([key for key in listed(5008) if key.startswith(("DestinationP", "DestinationS", "DestinationCo"))
                  and key != "DestinationPort"], [], "what is known of the other end")
    expect_equal(listed(5009)["SourceProcessOwner"], "www-data", "user on the bus")
    for filter_text, ports in FILTERS:
        text = filter_text.format(pid=service.pid, python=os.path.realpath(PYTHON))
        flows = answer("ListFlows", "sus", f"dst net {THERE}/32 and ({text})", 9, "bytes")[0]
        expect_equal(sorted(flow["DestinationPort"]["data"] for flow in flows), ports, f"flows of {text}")
    shown = subprocess.run([Rig.programs / "rheoctl", "flows", "dst", "port", "5008"], capture_output=True, text=True,
                           timeout=60, check=True).stdout.splitlines()
    expect("INITIATED BY" in shown[0] and "ANSWERED BY" not in shown[0], f"titles: {shown[0]}")
    expect(f" {UNIT} " in shown[1], f"the flow: {shown[1]}")
    for by, names in (("unit", {UNIT}), ("user", {"root", "www-data"}), ("process", {pathlib.Path(PYTHON).name})):
        summed = json.loads(run([Rig.programs / "rheoctl", "--json", "flows", "--by", by, "dst", "net", f"{THERE}/32"]))
        expect(names <= {group[by] for group in summed}, f"flows by {by}: {summed}")
    rheod.stop()


def calls_itself_systemd(rig, case):
    """What the service manager binds and accepts is nobody's: a name does not make one."""
    near = rig.namespace("near")
    rheod = start(rig, near, case, "lo")
    server, client = Actor(rig, near), Actor(rig, near)
    server.do("import ctypes", "ctypes.CDLL(None).prctl(15, b'systemd')", "listen(5016)")
    client.do("connect(5016)")
    server.do("accept()", "kept[-1].recv(1)", "kept[-1].sendall(b'y')")
    client.do("kept.pop().close()")
    expect_owner(record_of(rheod, 5016), server, "destination.", **{"process.executable.name": "systemd"})
    rheod.stop()


def links_of_another_build(rig, case):
    """A program of an earlier rheod's that this one does not know is not left running."""
    near = rig.namespace("near")
    rheod = start(rig, near, case, "lo")
    (known,) = (rheod.folder / "bpf" / "rheo").rglob("owner_link_owner_created")
    rheod.kill()
    unknown = known.with_name("owner_link_owner_listens")
    known.rename(unknown)
    rheod.start()
    expect_equal((known.exists(), unknown.exists()), (True, False), "the known link and the unknown one")
    rheod.stop()


def nothing_left(rig, case):
    near, _ = hosts(rig)
    rheod = start(rig, near, case, "east")
    pins = rheod.folder / "bpf" / "rheo"
    expect(any("owner_link" in str(pin) for pin in pins.rglob("*")), f"pins: {list(pins.rglob('*'))}")
    rheod.stop()
    expect_equal(list(pins.rglob("*")) if pins.exists() else [], [], "pins after the stop")


# Processes that all have the same number, one after the other, in two units by turns, each with a name of its own.
SAME_PID = """
import os, socket, sys
prctl = __import__('ctypes').CDLL(None).prctl
def send_as(i):
    with open('/proc/sys/kernel/ns_last_pid', 'w') as last:
        last.write(str(PID - 1))
    pid = os.fork()
    if pid == 0:
        if os.getpid() != PID:  # a thread of rheod's was quicker
            os._exit(1)
        with open(GROUPS[i % 2] + '/cgroup.procs', 'w') as group:
            group.write('0')
        prctl(15, f'same-{i}'.encode())
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(bytes(10), (THERE, FIRST_PORT + i))
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0
for i in range(COUNT):
    if not any(send_as(i) for _ in range(100)):
        sys.exit(f'no process has the number {PID}')
"""


@contextlib.contextmanager
def pid_namespace():
    """Children, from now on to its end, are in one of their own; its first process waits."""
    own = os.open("/proc/self/ns/pid_for_children", os.O_RDONLY | os.O_CLOEXEC)
    if libc.unshare(CLONE_NEWPID) != 0:
        raise OSError(ctypes.get_errno(), "unshare the pid namespace")
    try:
        with subprocess.Popen(["sleep", "infinity"]) as first:
            try:
                yield
            finally:
                first.kill()  # and with it whoever is in there
    finally:
        if libc.setns(own, CLONE_NEWPID) != 0:
            raise OSError(ctypes.get_errno(), "return to the pid namespace")
        os.close(own)


def passed_on(rig, case):
    """Sockets that another process made: whose they are says rheo-flow(5)."""
    near, _ = hosts(rig)
    rheod = start(rig, near, case, "east")
    maker, sender = Actor(rig, near), Actor(rig, near)
    sender.do("open_box()")
    maker.do("make(socket.AF_INET, 5010)", "give()")
    sender.do("take()", "kept.pop().send(bytes(10))")
    maker.do("make(socket.AF_INET)", "give()")
    sender.do("take()", f"kept.pop().sendto(bytes(10), ('{THERE}', 5011))")
    expect_owner(record_of(rheod, 5010), maker)
    expect_owner(record_of(rheod, 5011), sender)
    rheod.stop()


def mapped_addresses(rig, case):
    """IPv4 through sockets of IPv6."""
    near, _ = hosts(rig)
    rheod = start(rig, near, case, "east")
    near.set_kernel("ipv6/conf/all/disable_ipv6", 0)
    actor = Actor(rig, near)
    actor.do("make(socket.AF_INET6)", f"kept[-1].sendto(bytes(10), ('::ffff:{THERE}', 5012))",
             "make(socket.AF_INET6)", f"kept[-1].connect(('::ffff:{THERE}', 5013))", "kept[-1].send(bytes(10))")
    for port in (5012, 5013):
        expect_owner(record_of(rheod, port), actor)
    rheod.stop()


def containers(rig, case):
    """By the cgroups that runtimes make."""
    near, _ = hosts(rig)
    rheod = start(rig, near, case, "east")
    ports = {"docker": 5014, "podman": 5015}
    paths = {"docker": SLICE + "/docker-{}.scope", "podman": SLICE + "/libpod-{}.scope/container"}
    for runtime, port in ports.items():
        number = os.urandom(32).hex()
        actor = Actor(rig, near, make_cgroup(rig, paths[runtime].format(number)))
        actor.do(f"udp('{THERE}', {port}, True)")
        expect_owner(record_of(rheod, port), actor, **{"container.id": number, "container.runtime": runtime})
    rheod.stop()


def same_pid(rig, case):
    """Processes by the hundred have one and the same pid: each is told by its own name and unit."""
    if not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK):
        raise Skipped("the kernel has no ns_last_pid (CONFIG_CHECKPOINT_RESTORE)")
    near, _ = hosts(rig)
    units = ("rheo-even.service", "rheo-odd.service")
    groups = [str(make_cgroup(rig, f"{SLICE}/{unit}")) for unit in units]
    count, pid = 400, 300
    with pid_namespace():
        rheod = start(rig, near, case, "east")
        script = f"COUNT, PID, GROUPS, THERE, FIRST_PORT = {count}, {pid}, {groups}, '{THERE}', {FIRST_PORT}\n{SAME_PID}"
        near.run([PYTHON, "-c", script])
        wait_for(lambda: rheod.records.exists() and rheod.sums().records >= count, "records")
        rheod.stop()
    expect_owners(rheod, ("process.pid", "process.executable.name", "systemd.unit"),
                  [(pid, f"same-{i}", units[i % 2]) for i in range(count)])


def expect_no_owners(rig, near, case, why):
    """All else works, and one sentence says what is missing."""
    rheod = start(rig, near, case, "east")
    actor = Actor(rig, near)
    actor.do(f"udp('{THERE}', 5008, True)", f"udp('{THERE}', 5009, False)")
    for port in (5008, 5009):
        record = record_of(rheod, port)
        expect_equal((record["flow.packets.delta"], record.get("process.pid")), (1, None), "packets and owner")
    rheod.stop()
    expect_equal([line for line in rheod.said().splitlines() if "owners of flows" in line],
                 [f"rheod: the owners of flows stay unknown: {why}"], "what rheod says of owners")


def without_cgroup2(rig, case):
    near, _ = hosts(rig)
    if not cgroup_root():
        raise Skipped("no cgroup2 file system is mounted")
    while folder := cgroup_root():  # of this test's own mount namespace
        run(["umount", "-l", folder])
        rig.at_end_of_case(lambda folder=folder: mount("cgroup2", folder))
    expect_no_owners(rig, near, case, "no cgroup2 file system is mounted")


def without_btf(rig, case):
    near, _ = hosts(rig)
    mount("tmpfs", "/sys/kernel/btf")
    rig.at_end_of_case(lambda: run(["umount", "/sys/kernel/btf"]))
    expect_no_owners(rig, near, case, "the kernel shows no type information (it needs CONFIG_DEBUG_INFO_BTF=y): "
                                      "/sys/kernel/btf/vmlinux: No such file or directory")


def main():
    rig = Rig(choose=True)
    rig.run_cases({"one end": one_end, "both ends": both_ends, "older sockets": older_sockets,
                   "notes are gone": notes_are_gone, "short lives": short_lives, "same pid": same_pid,
                   "passed on": passed_on, "mapped addresses": mapped_addresses, "containers": containers,
                   "without cgroup2": without_cgroup2, "without BTF": without_btf, "on the bus": on_the_bus,
                   "in IPFIX": in_ipfix, "calls itself systemd": calls_itself_systemd,
                   "links of another build": links_of_another_build, "nothing left": nothing_left})
    rig.end()


if __name__ == "__main__":
    main()
