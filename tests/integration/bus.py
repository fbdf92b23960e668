#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rheod on a private system bus with the real bus policy and a real polkitd: every member with right, wrong and
hostile arguments, as root and as an ordinary user; a bus that goes away and comes back."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import xml.etree.ElementTree

from rig import TOP, Rig, Skipped, expect, expect_equal, mount
from rig import wait_until as wait_for

NAME, ROOT, MANAGER = "org.rheo.Rheo1", "/org/rheo/Rheo1", "org.rheo.Rheo1.Manager"
PEER = "org.rheo.test.Peer"  # a service of tests/tools/bus_peer.cpp, beside rheod
SOCKET = pathlib.Path("/run/dbus/system_bus_socket")
XML = TOP / "dbus" / "org.rheo.Rheo1.xml"
ORDINARY_UID = 65534  # nobody
ALLOWED_ACTION = "org.rheo.rheo1.manage-exporters"  # by a rule of the test
BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <allow own="{peer}"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <allow send_destination="{peer}"/>
  </policy>
  <include>{policy}</include>
  <include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
  <limit name="max_connections_per_user">4096</limit>
</busconfig>
"""


class Bus:
    """A bus daemon at the place where everything looks for the system's, and a polkitd on it."""

    def __init__(self, rig, case):
        self.folder = rig.case_folder(case)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes = []
        rig.at_end_of_case(self.end)
        policy = self.folder / "org.rheo.Rheo1.conf"
        # The service's own user exists where the package is installed.
        policy.write_text((TOP / "dbus" / "org.rheo.Rheo1.conf").read_text().replace('user="rheo"', 'user="nobody"'))
        self.config = self.folder / "bus.conf"
        self.config.write_text(BUS_CONFIG.format(socket=SOCKET, policy=policy, peer=PEER))

    def start(self):
        if not shutil.which("busctl") or not shutil.which("dbus-daemon"):
            raise Skipped("no busctl or no dbus-daemon")
        SOCKET.parent.mkdir(parents=True, exist_ok=True)
        SOCKET.unlink(missing_ok=True)
        self.daemon = self._start(["dbus-daemon", f"--config-file={self.config}", "--nofork", "--nopidfile"])
        wait_for(accepts, "a dbus-daemon that accepts connections")
        return self

    def start_polkit(self):
        polkitd = pathlib.Path("/usr/lib/polkit-1/polkitd")
        if not polkitd.exists():
            raise Skipped("no polkitd")
        actions = pathlib.Path("/usr/share/polkit-1/actions")
        kept = [(file.name, file.read_bytes()) for file in actions.glob("*.policy")]
        mount("tmpfs", actions)
        for name, content in kept:
            (actions / name).write_bytes(content)
        shutil.copy(TOP / "dbus" / "org.rheo.rheo1.policy", actions)
        mount("tmpfs", "/etc/polkit-1/rules.d")
        pathlib.Path("/etc/polkit-1/rules.d").chmod(0o755)
        pathlib.Path("/etc/polkit-1/rules.d/50-test.rules").write_text(
            "polkit.addRule(function(action, subject) { if (subject.user == 'nobody' && "
            f"action.id == '{ALLOWED_ACTION}') return polkit.Result.YES; }});")
        self._start([polkitd, "--no-debug"])
        wait_for(lambda: b"PolicyKit1" in busctl("list").stdout.encode(), "a polkitd")

    def _start(self, command):
        with open(self.folder / f"stderr.{pathlib.Path(command[0]).name}", "ab") as stderr:
            process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        self.processes.append(process)
        return process

    def stop_daemon(self):
        self.daemon.kill()
        self.daemon.wait(timeout=10)
        SOCKET.unlink(missing_ok=True)

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=10)


def accepts():
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(SOCKET)) == 0


def busctl(*arguments, uid=0, timeout=60):
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
    return subprocess.run([*user, "busctl", "--system", *map(str, arguments)], capture_output=True, text=True,
                          errors="replace", timeout=timeout, check=False)


def call(member, *arguments, uid=0):
    return busctl("call", NAME, ROOT, MANAGER, member, *arguments, uid=uid)


def answer(member, *arguments, uid=0):
    """What a call that must succeed returned, as busctl's JSON has it."""
    called = busctl("--json=short", "call", NAME, ROOT, MANAGER, member, *arguments, uid=uid)
    expect_equal(called.returncode, 0, f"exit status of busctl call {member}: {called.stderr.strip()}")
    return json.loads(called.stdout)["data"] if called.stdout.strip() else None


def get(path, interface, name):
    got = busctl("--json=short", "get-property", NAME, path, interface, name)
    expect_equal(got.returncode, 0, f"exit status of get-property {name}: {got.stderr.strip()}")
    return json.loads(got.stdout)["data"]


def named():
    return NAME in re.findall(r"^\S+", busctl("list", "--acquired").stdout, re.M)


def interface_members(tree):
    """{interface: {(kind, member, signature…)}} of introspection data, ours alone."""
    found = {}
    for interface in tree.iter("interface"):
        if not interface.get("name").startswith(NAME):
            continue
        members = set()
        for member in interface:
            if member.tag == "annotation":
                continue
            arguments = tuple((a.get("type"), a.get("direction", "out")) for a in member.findall("arg"))
            emits = {a.get("value") for a in member.findall("annotation")
                     if a.get("name").endswith("EmitsChangedSignal")} - {"true"}
            members.add((member.tag, member.get("name"), member.get("type"), arguments, tuple(emits)))
        found[interface.get("name")] = members
    return found


def live_members(path):
    shown = busctl("--json=short", "call", NAME, path, "org.freedesktop.DBus.Introspectable", "Introspect")
    return interface_members(xml.etree.ElementTree.fromstring(json.loads(shown.stdout)["data"][0]))


def expect_error(called, name, text=""):
    expect(called.returncode != 0, f"a call succeeded that must fail: {called.stdout[:200]}")
    expect(text in called.stderr, f"not the error with {text!r} ({name}): {called.stderr[:300]!r}")


def error_name(member, *arguments, uid=0):
    """The D-Bus name of the error, from a client that shows it."""
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
    called = subprocess.run([*user, "dbus-send", "--system", "--print-reply", f"--dest={NAME}", ROOT, f"{MANAGER}.{member}",
                             *arguments], capture_output=True, text=True, errors="replace", timeout=60, check=False)
    found = re.match(r"Error (\S+): ", called.stderr)
    expect(found, f"{member} {arguments}: no error: {called.stdout[:200]} {called.stderr[:200]}")
    return found[1]


def serve(rig, case, polkit=False, **sections):
    bus = Bus(rig, case).start()
    if polkit:
        bus.start_polkit()
    near, _ = rig.pair()
    rheod = rig.rheod(near, f"{case} rheod", interfaces={"include": ["east"]}, **sections).start()
    wait_for(named, NAME)
    return bus, near, rheod


def serve_cases(rig, cases, **options):
    """Each action by its name, as a case with a bus and a rheod of its own: action(near, rheod)."""
    for name, action in cases.items():
        with rig.case(name) as case:
            _, near, rheod = serve(rig, case, **options)
            action(near, rheod)


def members_as_root(near, rheod):
    interfaces = answer("ListInterfaces")[0]
    expect_equal([row[1] for row in interfaces], ["east"], "interfaces")
    expect_equal(get(interfaces[0][2], f"{NAME}.Interface", "Name"), "east", "Name of the interface's object")
    exporters = answer("ListExporters")[0]
    expect_equal([row[:2] for row in exporters], [["json.test", "running"]], "exporters")
    expect_equal(get(exporters[0][2], f"{NAME}.Exporter", "State"), "running", "State of the exporter's object")

    sent = near.send("east", "--packets", 3_000, "--flows", 30, "--protocols", "udp")
    answer("Drain")
    wait_for(lambda: answer("GetStatistics")[0]["table.active_flows"] == 30, "30 flows in the statistics")
    expect_equal(answer("GetStatistics")[0]["datapath.seen_packets"], sent["packets"], "packets seen")
    wait_for(lambda: get(ROOT, MANAGER, "ActiveFlows") == 30, "ActiveFlows of 30")

    flows = answer("ListFlows", "sus", "udp and interface east and src class internal", 1000, "packets")[0]
    expect_equal([flow["SourceClass"]["data"] for flow in flows], ["internal"] * 30, "classes of the flows listed")
    expect_equal(sum(flow["Packets"]["data"] for flow in flows), sent["packets"], "packets of the flows listed")
    expect_equal(len(answer("ListFlows", "sus", "", 7, "bytes")[0]), 7, "flows listed with limit 7")
    expect_equal(answer("ListFlows", "sus", "tcp or class docker or not src net 0.0.0.0/0", 7, "end")[0], [], "flows of a filter")

    losses = {row[0]: row[1:] for row in answer("GetLosses")[0]}
    expect_equal(losses["datapath.evicted_full"], [0, 0, False], "loss evicted_full")
    expect("lane.json.test.lost" in losses, f"the lane's loss is missing: {losses}")
    answer("ListListeningPorts")
    expect_equal((answer("ListOrphans")[0], answer("CleanOrphans")[0]), ([], []), "orphans")
    expect_equal(answer("SetLogLevel", "s", "debug"), None, "answer of SetLogLevel")
    expect_equal(get(ROOT, MANAGER, "LogLevel"), "debug", "LogLevel")
    answer("FlushExporter", "s", "json.test")
    expect_equal(get(ROOT, MANAGER, "State"), "running", "State")
    expect_equal(get(ROOT, MANAGER, "ConfigPath"), str(rheod.config), "ConfigPath")
    expect(abs(get(ROOT, MANAGER, "StartedAt") / 1e9 - time.time()) < 600, "StartedAt is not now")
    expect(get(ROOT, MANAGER, "KernelMode") in ("tcx", "clsact"), "KernelMode")
    managed = busctl("--json=short", "call", NAME, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    expect({interfaces[0][2], exporters[0][2]} <= set(json.loads(managed.stdout)["data"][0]), "GetManagedObjects")
    expect(call("GetFlowTable").stdout.startswith("h "), "GetFlowTable gives no descriptor")


def live_is_as_documented():
    documented = interface_members(xml.etree.ElementTree.parse(XML).getroot())
    live = {}
    for path in (ROOT, answer("ListInterfaces")[0][0][2], answer("ListExporters")[0][0][2]):
        live.update(live_members(path))
    for interface, members in documented.items():
        expect_equal(sorted(map(str, live[interface] ^ members)), [], f"{interface}: members live or documented alone")


HOSTILE = (
    ("SetLogLevel", ["string:"], "InvalidArgument"),
    ("SetLogLevel", ["string:" + "a" * 100_000], "InvalidArgument"),
    ("FlushExporter", ["string:"], "NotFound"),
    ("FlushExporter", ["string:json.none"], "NotFound"),
    ("AttachInterface", ["string:", "boolean:false"], "NotFound"),
    ("AttachInterface", ["string:nosuch", "boolean:true"], "NotFound"),
    ("AttachInterface", ["string:" + "e" * 100_000, "boolean:false"], "NotFound"),
    ("AttachInterface", ["string:east", "boolean:false"], "AlreadyAttached"),
    ("DetachInterface", ["string:../east", "boolean:false"], "NotFound"),
    ("DetachInterface", ["string:lo", "boolean:false"], "NotAttached"),
    ("EnableExporter", ["string:", "boolean:false"], "NotFound"),
    ("DisableExporter", ["string:json.none", "boolean:true"], "NotFound"),
    ("DisableExporter", ["string:" + "../" * 30_000, "boolean:true"], "NotFound"),
    ("ListFlows", ["string:tcp and", "uint32:1", "string:bytes"], "InvalidArgument"),
    ("ListFlows", ["string:" + "(" * 4_000, "uint32:1", "string:bytes"], "InvalidArgument"),
    ("ListFlows", ["string:" + "not " * 1_000 + "tcp", "uint32:1", "string:bytes"], "InvalidArgument"),
    ("ListFlows", ["string:" + "tcp " * 25_000, "uint32:1", "string:bytes"], "InvalidArgument"),
    ("ListFlows", ["string:net 10.0.0.0/33", "uint32:1", "string:bytes"], "InvalidArgument"),
    ("ListFlows", ["string:interface nosuch", "uint32:1", "string:bytes"], "InvalidArgument"),
    *(("ListFlows", ["string:", f"uint32:{limit}", "string:bytes"], "InvalidArgument") for limit in (0, 4294967295)),
    ("ListFlows", ["string:", "uint32:1", "string:size"], "InvalidArgument"),
    *(("ListOwners", [f"string:{numbers}"], "InvalidArgument") for numbers in ("2 " * 251, "2,3", " 2", "-1", "4294967296")),
)


def hostile_arguments(rheod):
    for member, arguments, wanted in HOSTILE:
        expect_equal(error_name(member, *arguments), f"{NAME}.Error.{wanted}", f"error of {member} {arguments[0][:40]}")
    for member, arguments in (("SetLogLevel", ["uint32:1"]), ("ListFlows", []), ("Drain", ["string:x"])):
        error_name(member, *arguments)  # wrong types, a name of the bus library's
    expect_equal(error_name("NoSuchMember"), "org.freedesktop.DBus.Error.UnknownMethod", "error of an unknown member")
    megabyte = hostile_messages()
    expect(megabyte, "a string of 1 MiB and bytes that are not UTF-8 had no answer")
    expect(rheod.process.poll() is None, "rheod has died")
    answer("GetLosses")


def hostile_messages():
    """What busctl cannot send: it refuses such arguments, or the command line is too long."""
    script = ("import dbus, sys\n"
              "bus = dbus.SystemBus()\n"
              f"manager = dbus.Interface(bus.get_object({NAME!r}, {ROOT!r}, introspect=False), {MANAGER!r})\n"
              "for text in ('a' * (1 << 20), '(' * (1 << 20)):\n"
              "    for called in (lambda: manager.ListFlows(text, dbus.UInt32(5), 'bytes'), lambda: manager.SetLogLevel(text),\n"
              "                   lambda: manager.FlushExporter(text)):\n"
              "        try:\n            called()\n            sys.exit('accepted')\n"
              "        except dbus.DBusException as error:\n"
              "            assert error.get_dbus_name().startswith('org.rheo.Rheo1.Error.'), error.get_dbus_name()\n")
    ran = subprocess.run(["/usr/bin/python3", "-c", script], capture_output=True, text=True, timeout=120, check=False, cwd="/")
    if "ModuleNotFoundError" in ran.stderr:
        raise Skipped("no python3-dbus")
    expect_equal(ran.returncode, 0, f"exit status of the hostile client: {ran.stderr[-300:]}")
    return True


def reload(rheod):
    def configure(level, **sections):
        rheod.configure(interfaces={"include": ["east"]}, daemon={"log_level": level}, **sections)

    configure("debug")
    answer("Reload")
    expect_equal(get(ROOT, MANAGER, "LogLevel"), "debug", "LogLevel after Reload")
    configure("error", flow={"max_flows": 1000})
    refused = call("Reload").stderr
    expect("flow.max_flows: changed, and takes a restart" in refused, f"Reload with another max_flows: {refused}")
    expect_equal(error_name("Reload"), f"{NAME}.Error.NeedsRestart", "error of Reload")
    rheod.config.write_text(rheod.config.read_text() + "nonsense = 1\n[flow]\nx = 2\n")
    expect_equal(error_name("Reload"), f"{NAME}.Error.BadConfig", "error of Reload with mistakes")
    expect(f"{rheod.config}:" in call("Reload").stderr, "no file and line in the error of Reload")
    expect_equal(get(ROOT, MANAGER, "LogLevel"), "debug", "LogLevel after Reloads that failed")
    configure("warning")
    rheod.process.send_signal(signal.SIGHUP)
    wait_for(lambda: get(ROOT, MANAGER, "LogLevel") == "warning", "LogLevel warning after SIGHUP")


OPEN = ("ListInterfaces", "ListExporters", "GetStatistics", "GetLosses")
GUARDED = {"ListListeningPorts": [], "ListFlows": ["string:", "uint32:1", "string:bytes"], "GetFlowTable": [], "Reload": [],
           "ListOwners": ["string:2 3"], "SetLogLevel": ["string:debug"], "FlushExporter": ["string:json.test"],
           "AttachInterface": ["string:lo", "boolean:false"], "DetachInterface": ["string:east", "boolean:false"],
           "EnableExporter": ["string:json.test", "boolean:false"], "DisableExporter": ["string:json.none", "boolean:true"],
           "ListOrphans": [], "CleanOrphans": [], "Drain": []}
OF_ALLOWED_ACTION = ("FlushExporter", "EnableExporter", "DisableExporter")


def ordinary_user(allowed, why):
    for member in OPEN:
        answer(member, uid=ORDINARY_UID)
    if allowed:
        answer(allowed, "s", "json.test", uid=ORDINARY_UID)
    for member, arguments in GUARDED.items():
        if allowed and member in OF_ALLOWED_ACTION:
            continue
        expect_equal(error_name(member, *arguments, uid=ORDINARY_UID), f"{NAME}.Error.AccessDenied",
                     f"error of {member} for an ordinary user")
    refused = call("Drain", uid=ORDINARY_UID).stderr
    expect(why in refused, f"Drain is not refused because {why!r}: {refused}")
    expect_equal(get(ROOT, MANAGER, "LogLevel"), "info", "LogLevel after an ordinary user's SetLogLevel")
    methods = {m.get("name") for m in xml.etree.ElementTree.parse(XML).getroot().iter("method")}
    expect_equal(methods, {*OPEN, *GUARDED}, "methods that this test calls")


def bus_goes_away(bus, near, rheod):
    bus.stop_daemon()
    sent = near.send("east", "--packets", 5_000, "--flows", 50, "--protocols", "udp")
    wait_for(lambda: "the system bus is gone" in rheod.said(), "word that the bus is gone")
    bus.start()
    wait_for(named, f"{NAME} on the new bus")
    answer("Drain")
    wait_for(lambda: answer("GetStatistics")[0]["datapath.seen_packets"] == sent["packets"], "packets sent meanwhile")
    counters = rheod.stop()
    expect_equal(counters["datapath.seen_packets"], sent["packets"], "packets seen")
    expect_equal(rheod.sums().packets, sent["packets"], "packets in records")


def signals(near, rheod, monitor_file):
    with open(monitor_file, "wb") as shown:
        monitor = subprocess.Popen(["busctl", "--system", "monitor", NAME], stdout=shown, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: "Monitoring bus" in monitor_file.read_text(), "a monitor")
        pathlib.Path(rheod.records).unlink(missing_ok=True)
        pathlib.Path(rheod.records).mkdir()
        rheod.process.send_signal(signal.SIGHUP)
        rheod.wait_served()  # the file is to be opened anew before there are records
        near.send("east", "--packets", 100, "--flows", 10, "--protocols", "udp")
        wait_for(lambda: "ExporterStateChanged" in monitor_file.read_text(), "ExporterStateChanged")
        expect_equal(answer("ListExporters")[0][0][1], "failing", "state of the exporter")
        pathlib.Path(rheod.records).rmdir()
        answer("FlushExporter", "s", "json.test")
        wait_for(lambda: answer("ListExporters")[0][0][1] == "running", "a running exporter after FlushExporter")
    finally:
        monitor.terminate()
        monitor.wait(timeout=10)


def main():
    rig = Rig()
    for name, run in (
            ("members as root", lambda near, rheod: members_as_root(near, rheod)),
            ("the live interfaces are the documented ones", lambda near, rheod: live_is_as_documented()),
            ("hostile arguments", lambda near, rheod: hostile_arguments(rheod)),
            ("reload", lambda near, rheod: reload(rheod)),
            ("an ordinary user without polkit", lambda near, rheod: ordinary_user(None, "polkit does not decide")),
            ("an ordinary user with polkit", lambda near, rheod: ordinary_user("FlushExporter", "is needed, see polkit(8)")),
            ("signals", lambda near, rheod: signals(near, rheod, bus.folder / "stderr.monitor")),
            ("the bus goes away", lambda near, rheod: bus_goes_away(bus, near, rheod))):
        with rig.case(name) as case:
            timeouts = {"udp_timeout": "1s"} if name == "signals" else {}
            bus, near, rheod = serve(rig, case, polkit=name.endswith("with polkit"), flow=timeouts)
            run(near, rheod)
    rig.end()


if __name__ == "__main__":
    main()
