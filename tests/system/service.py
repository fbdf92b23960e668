#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rheod as a service: what the build installs, under a booted systemd, as its own user and in its sandbox.

The container is this machine's own root directory under an overlay that is thrown away. For each case it prints one
line "passed: service: CASE", "failed: …: why" or "skipped: …: why"; it exits 1 when a case failed.

    tests/system/service.py [--build DIR] [--short]
"""
import argparse
import errno
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "integration"))
from rig import Skipped, expect, expect_equal  # noqa: E402

from booted import NEEDED, Container, wait_for  # noqa: E402

INSTALLED = ("daemon/app", "dbus", "packaging")
CONFIG = """[interfaces]
include = ["east"]
[flow]
udp_timeout = "10m"
[export.json.default]
path = "/var/log/rheo/flows.json"
"""
SEND_7 = ("/usr/bin/python3 -c 'import socket; s = socket.socket(type=socket.SOCK_DGRAM); "
          "[s.sendto(bytes(100), (\"10.9.0.2\", 9)) for _ in range(7)]'")
STAY = """import socket, time
s = socket.socket(type=socket.SOCK_DGRAM)
s.sendto(bytes(100), ("10.9.0.2", 7778))
time.sleep(600)
"""
MOST_EXPOSED = 2.0  # systemd-analyze security


def install(build, folder):
    """What `cmake --install` puts into a package."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in INSTALLED:
        subprocess.run(["cmake", "--install", str(build / part), "--prefix", "/usr"], check=True, capture_output=True,
                       env={**os.environ, "DESTDIR": str(folder)})


def set_up(container):
    # The container's own is not what the service sees, whose /proc is mounted anew: a table would be of another boot.
    container.run("umount /proc/sys/kernel/random/boot_id", check=False)
    container.run("mkdir -p /sys/fs/bpf; mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf")
    container.run("for f in bin sbin lib share; do cp -a /installed/usr/$f/. /usr/$f/; done; mkdir -p /etc/rheo")
    container.run(f"cat > /etc/rheo/rheo.toml <<'END'\n{CONFIG}END")
    container.run("systemd-sysusers && systemd-tmpfiles --create rheo.conf && systemctl daemon-reload")
    container.run("busctl call org.freedesktop.DBus / org.freedesktop.DBus ReloadConfig")
    container.run("ip link add east type veth peer name west && ip link set west up && ip link set east up")
    container.run("ip addr add 10.9.0.1/24 dev east && ip link set west arp off && "
                  "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev east")


def end_flows_after(container, timeout):
    container.run(f"""sed -i 's/^udp_timeout = .*/udp_timeout = "{timeout}"/' /etc/rheo/rheo.toml && systemctl reload rheod""")


def starts_and_meters(container):
    container.run("systemctl start rheod")  # Type=notify: returns when it meters
    expect_equal(container.show("ActiveState"), "active", "state of the unit")
    expect_equal(container.run("ps -o user= -p $(systemctl show rheod --value -p MainPID)").strip(), "rheo", "user of rheod")
    wait_for(lambda: re.fullmatch(r"metering 1 interface, \d+ flows?, 1 exporter", container.show("StatusText")),
             "status line with its numbers")
    container.wait_on_the_bus()
    container.run(f"{SEND_7}; rheoctl drain")
    flows = json.loads(container.run("rheoctl --json flows udp and host 10.9.0.2"))
    expect_equal([flow["packets"] for flow in flows], [7], "packets of the flow")
    expect("metering 1 interface (tcx): east" in container.run("journalctl -u rheod"), "no line in the journal")
    end_flows_after(container, "1s")
    wait_for(lambda: "10.9.0.2" in container.run("cat /var/log/rheo/flows.json", check=False), "record in /var/log/rheo")
    expect(re.match(r"v\d+\n", container.run("ls /sys/fs/bpf/rheo")), "nothing is pinned")


def sandbox(container):
    report = container.run("systemd-analyze security rheod --no-pager", check=False)
    exposure = re.search(r"Overall exposure level for rheod.service: ([\d.]+)", report)
    expect(exposure, f"systemd-analyze says nothing: {report[-200:]}")
    expect(float(exposure[1]) <= MOST_EXPOSED, f"exposure {exposure[1]}, the most is {MOST_EXPOSED}")
    capabilities = int(container.run("awk '/CapEff/{print $2}' /proc/$(systemctl show rheod --value -p MainPID)/status"), 16)
    expect_equal(capabilities, 1 << 12 | 1 << 38 | 1 << 39, "capabilities (NET_ADMIN, PERFMON, BPF)")


def guarded(container):
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups "
    expect("datapath.evicted_full" in container.run(nobody + "rheoctl losses"), "losses are not open to everybody")
    refused = container.run(nobody + "rheoctl flows", check=False)
    expect("org.rheo.rheo1.read-flows is needed, see polkit(8)" in refused, f"nobody may look at flows, or polkit did not decide: {refused}")
    owner = container.run(nobody + "busctl call org.freedesktop.DBus / org.freedesktop.DBus RequestName su org.rheo.Rheo1.X 0 || "
                          + nobody + "busctl call org.freedesktop.DBus / org.freedesktop.DBus RequestName su org.rheo.Rheo1 0",
                          check=False)
    expect_equal(owner.count("Access denied"), 2, f"refusals of the name: {owner}")


def reloads(container):
    container.run("systemctl reload rheod")
    container.run("echo nonsense >> /etc/rheo/rheo.toml")
    expect("refused" in container.run("systemctl reload rheod || echo refused"), "systemctl reload takes a mistake")
    expect_equal(container.show("ActiveState"), "active", "state of the unit after a reload that failed")
    expect("/etc/rheo/rheo.toml:" in container.run("journalctl -u rheod"), "no file and line in the journal")
    container.run("sed -i '$d' /etc/rheo/rheo.toml && systemctl reload rheod")


def event(name):
    return re.search(rf'Event {name}{{"(\w+)"}}', (TOP / "daemon" / "base" / "events.h").read_text())[1]


def journal(container):
    def lines(*matches):
        shown = container.run("journalctl --no-pager -o json -u rheod " + " ".join(matches))
        return [json.loads(line) for line in shown.splitlines() if line.startswith("{")]

    metering = lines("RHEO_INTERFACE=east", f"MESSAGE_ID={event('kMetering')}")
    expect(metering and all("metering 1 interface" in line["MESSAGE"] for line in metering), f"kMetering: {metering}")
    expect_equal(lines("RHEO_INTERFACE=eth77"), [], "lines about an interface that there is not")
    expect("east" in container.run("journalctl --no-pager -u rheod RHEO_INTERFACE=east"), "no line for people")

    container.run("mv /var/log/rheo/flows.json /var/log/rheo/kept && mkdir /var/log/rheo/flows.json && systemctl reload rheod")
    container.run(SEND_7)
    failing = [f"MESSAGE_ID={event('kExporterFailed')}"]
    wait_for(lambda: lines(*failing), "line of an exporter that fails")
    failed = lines(*failing)[0]
    expect_equal((failed["RHEO_EXPORTER"].partition(".")[0], failed["ERRNO"]), ("json", str(errno.EISDIR)), "its fields")
    expect_equal(failed["PRIORITY"], "3", "its priority")
    container.run("rmdir /var/log/rheo/flows.json && mv /var/log/rheo/kept /var/log/rheo/flows.json && systemctl reload rheod")
    wait_for(lambda: lines(f"MESSAGE_ID={event('kExporterWorks')}"), "line of an exporter that works again")


def lasting(container):
    """--persist from within the sandbox; what is an administrator's stays out of reach."""
    drop_in = "/etc/rheo/rheo.toml.d/90-rheoctl-exporter-json.default.toml"
    container.run("echo '[flow]' > /etc/rheo/rheo.toml.d/50-administrator.toml")
    container.run("rheoctl exporters disable json.default --persist")
    expect_equal(container.run(f"stat -c '%U %a' {drop_in}").strip(), "rheo 644", "owner and mode of the drop-in")
    container.run("systemctl restart rheod")
    wait_for(lambda: '"disabled"' in container.run("rheoctl --json exporters", check=False), "exporter that is still disabled")
    wait_for(lambda: "0 exporters" in container.show("StatusText"), "status without exporters")
    container.run("rheoctl exporters enable json.default --persist")
    for path in ("rheo.toml", "rheo.toml.d/50-administrator.toml"):
        refused = container.run(f"setpriv --reuid=rheo --regid=rheo --clear-groups rm -f /etc/rheo/{path}", check=False)
        expect("not permitted" in refused or "denied" in refused, f"rheod's user may remove {path}: {refused}")
    container.run(f"rm {drop_in} /etc/rheo/rheo.toml.d/50-administrator.toml && chmod 755 /etc/rheo/rheo.toml.d")
    refused = container.run("rheoctl exporters disable json.default --persist", check=False)
    expect(f"{drop_in}: make a file: Permission denied" in refused and "systemd-tmpfiles" in refused,
           f"no help in the refusal: {refused}")
    container.run("systemd-tmpfiles --create rheo.conf && rheoctl exporters disable json.default --persist && "
                  f"rheoctl exporters enable json.default && rm {drop_in} && systemctl reload rheod")


def restarts(container):
    """A restart detaches nothing: every packet is in its flow, which goes on."""
    end_flows_after(container, "10m")
    container.run("/usr/bin/python3 -c 'import socket, time\n"
                  "s = socket.socket(type=socket.SOCK_DGRAM)\n"
                  "for _ in range(300): s.sendto(bytes(100), (\"10.9.0.2\", 7777)); time.sleep(0.01)' & "
                  "sleep 1; systemctl restart rheod; wait")
    container.wait_on_the_bus()
    flows = json.loads(container.run("rheoctl drain; rheoctl --json flows udp and port 7777"))
    expect_equal([flow["packets"] + flow["reverse_packets"] for flow in flows], [300], "packets of the flow that a restart fell into")
    expect("restarting: the interfaces stay attached" in container.run("journalctl -u rheod"), "rheod did not notice the restart")
    end_flows_after(container, "1s")


def killed(container):
    before = container.run("rheoctl --json stats datapath.seen_packets")
    container.run("kill -9 $(systemctl show rheod --value -p MainPID)")
    wait_for(lambda: container.show("NRestarts") == "1" and container.show("ActiveState") == "active", "restart after a kill")
    container.wait_on_the_bus()
    after = container.run("rheoctl --json stats datapath.seen_packets")
    seen = [json.loads(text)[0]["value"] for text in (before, after)]
    expect(seen[1] >= seen[0] > 0, f"packets seen before and after the kill: {seen}")


def watchdog(container):
    container.run("mkdir -p /run/systemd/system/rheod.service.d && "
                  "printf '[Service]\\nWatchdogSec=8s\\n' > /run/systemd/system/rheod.service.d/test.conf && "
                  "systemctl daemon-reload && systemctl restart rheod")
    restarts = int(container.show("NRestarts"))
    time.sleep(10)
    expect_equal(int(container.show("NRestarts")), restarts, "restarts while both threads live")
    container.run("kill -STOP $(systemctl show rheod --value -p MainPID)")
    wait_for(lambda: int(container.show("NRestarts")) == restarts + 1 and container.show("ActiveState") == "active",
             "restart of a rheod that hangs")
    expect("atchdog timeout" in container.run("journalctl -u rheod"), "no watchdog timeout in the journal")


def detached_by_hand(container):
    """Of a rheod that was killed and that nobody starts again; root's hand, the service's own files."""
    running = container.run("rheod --detach; echo exit $?")
    expect(f"another rheod has it (process {container.show('MainPID')})" in running and "exit 1" in running, running)
    container.run("mkdir -p /run/systemd/system/rheod.service.d && "
                  "printf '[Service]\\nRestart=no\\n' > /run/systemd/system/rheod.service.d/once.conf && systemctl daemon-reload")
    container.run("kill -9 $(systemctl show rheod --value -p MainPID)")
    wait_for(lambda: container.show("ActiveState") == "failed", "rheod that is gone")
    expect("link_" in container.run("ls /sys/fs/bpf/rheo/v*"), "nothing is left to detach")
    said = container.run("rheod --detach")
    links = re.findall(r"^removed link \S+/link_", said, re.MULTILINE)
    expect_equal(len(links), 2, f"links of interfaces removed: {said}")
    expect_equal(container.run("ls /sys/fs/bpf/rheo").strip(), "", "pins left")
    owners = set(container.run("find /run/rheo -mindepth 1 -printf '%u\\n'").split())
    expect(owners <= {"rheo"}, f"owners of what is kept in /run/rheo: {owners}")
    container.run("rm /run/systemd/system/rheod.service.d/once.conf && systemctl daemon-reload && "
                  "systemctl reset-failed rheod && systemctl start rheod")
    expect_equal(container.show("ActiveState"), "active", "state of the unit")


def names(container):
    """Of containers and command lines: with the drop-ins; without them the service says what it cannot tell."""
    number, drop_ins = "5e" * 32, "/run/systemd/system/rheod.service.d"
    folder = f"/var/lib/docker/containers/{number}"
    container.run(f"install -d -m 700 /var/lib/docker/containers {folder} && cat > {folder}/config.v2.json <<'END'\n"
                  '{"Name": "/web", "Config": {"Image": "nginx:1.27"}}\nEND\n' f"chmod 600 {folder}/config.v2.json")
    container.run(f"cat > /opt/stay <<'END'\n{STAY}END")
    end_flows_after(container, "10m")
    container.run("printf '[datapath]\\ncommand_lines = true\\ncontainer_names = true\\n' > /etc/rheo/rheo.toml.d/60-names.toml")
    container.run("systemctl restart rheod; journalctl --sync")
    said = container.run("journalctl -u rheod --no-pager -o cat")
    for sentence in ("rheod-command-lines.conf lets", "/var/lib/docker/containers: Permission denied; containers there have no"):
        expect(said.count(sentence) == 1, f"{sentence} is not there once: {said[-600:]}")
    refusals = said.count("/usr/share/rheo/rheod-co")  # of other runtimes' folders, too, where the machine has them
    container.run(f"mkdir -p {drop_ins} && cp /usr/share/rheo/rheod-co*.conf {drop_ins}/ && systemctl daemon-reload && "
                  "systemctl restart rheod; journalctl --sync")
    said = container.run("journalctl -u rheod --no-pager -o cat")
    expect_equal(said.count("/usr/share/rheo/rheod-co"), refusals, "sentences about drop-ins, before they were there and after")
    container.wait_on_the_bus()
    container.run(f"systemd-run -q --scope --unit=docker-{number} /usr/bin/python3 /opt/stay 'a word' >/dev/null 2>&1 </dev/null &")

    def found():
        container.run("rheoctl drain")
        return json.loads(container.run("busctl --json=short call org.rheo.Rheo1 /org/rheo/Rheo1 org.rheo.Rheo1.Manager "
                                        "ListFlows sus 'container web and port 7778' 1 bytes"))["data"][0]
    wait_for(found, "flow of a container by its name")
    flow = {key: value["data"] for key, value in found()[0].items()}
    expect_equal((flow["SourceContainerImageName"], flow["SourceProcessCommandLine"]),
                 ("nginx:1.27", "/usr/bin/python3 /opt/stay a word"), "image and command line")
    container.run(f"systemctl stop docker-{number}.scope; rm -r {drop_ins} /etc/rheo/rheo.toml.d/60-names.toml && "
                  "systemctl daemon-reload && systemctl restart rheod")


def stops(container):
    container.run("systemctl stop rheod")
    expect_equal(container.show("Result"), "success", "result of the unit")
    expect_equal(container.run("ls /sys/fs/bpf/rheo /run/rheo").split(), ["/run/rheo:", "/sys/fs/bpf/rheo:"], "left behind")


CASES = {"starts and meters": starts_and_meters, "sandbox": sandbox, "polkit and the bus's policy": guarded,
         "reloads": reloads, "lasting": lasting, "restarts": restarts, "journal": journal, "killed": killed,
         "watchdog": watchdog, "detached by hand": detached_by_hand, "names": names, "stops": stops}


def try_case(container, script, name, case):
    """True when it failed."""
    started = time.monotonic()
    try:
        case(container)
    except Skipped as reason:
        print(f"skipped: {script}: {name}: {reason}", flush=True)
    except (AssertionError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        print(f"failed: {script}: {name}: {' '.join(str(error).split())}", flush=True)
        print(container.run("journalctl -u rheod --no-pager -n 20", check=False), file=sys.stderr)
        return True
    else:
        print(f"passed: {script}: {name} ({time.monotonic() - started:.1f} s)", flush=True)
    return False


def run_installed(script, description, prepare, cases, needed=()):
    """The cases of a script, in a container into which the build is installed; the script's exit status."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build" / "dev", metavar="DIR")
    parser.add_argument("--short", action="store_true", help="the same: it takes half a minute")
    build = parser.parse_args().build.resolve()
    missing = [name for name in (*NEEDED, "busctl", *needed) if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        print(f"skipped: {script}: all: {'not root' if os.geteuid() else 'no ' + ', '.join(missing)}", flush=True)
        return 0
    folder = build / "system" / script.replace("_", "-")  # the container's name too, which has no "_"
    install(build, folder / "installed")
    container = Container(folder, f"mount --bind / {folder}/root", "--volatile=overlay",
                          f"--bind-ro={folder}/installed:/installed")
    failed = False
    try:
        container.wait_booted()
        prepare(container)
        for name, case in cases.items():
            failed |= try_case(container, script, name, case)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        failed = True
        print(f"failed: {script}: boot: {' '.join(str(error).split())}", flush=True)
    finally:
        container.end()
    return 1 if failed else 0


def main():
    return run_installed("service", __doc__, set_up, CASES, needed=["setpriv"])


if __name__ == "__main__":
    sys.exit(main())
