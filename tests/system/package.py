#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The .deb on a booted Debian: installed by apt, enabled, metering, exporting, reloaded, restarted, killed, upgraded and
downgraded under traffic, rebooted, removed and purged; with every packet in a record and the sandbox active.

The root directory of the suite is made once, in build/cache/roots. For each case it prints one line
"passed: package SUITE: CASE", "failed: …: why" or "skipped: …: why"; it exits 1 when a case failed.

    tests/system/package.py [--build DIR] [--deb FILE] [--suite NAME] [--short | --long]
"""
import argparse
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
from rig import expect, expect_equal  # noqa: E402

import debian_roots  # noqa: E402
from booted import NEEDED, wait_for  # noqa: E402
from debian_suite import Unavailable, run  # noqa: E402
from package_host import MANAGER, RECORDS, Host, Traffic, expect_nothing_attached  # noqa: E402
from package_removal import files, is_killed, purges, purges_clsact, purges_namespaces, removes  # noqa: E402
from package_versions import Package, version_of  # noqa: E402

LATER_SUITE = "trixie"
MOST_EXPOSED = 2.0  # systemd-analyze security
EXPECTED_WARNINGS = re.compile(r"nonsense|50-test\.toml|a rheod of another schema are removed|its schema is \d+, this program's is \d+: set aside")


def installs(host, package):
    host.before = files(host)
    host.apt("install", package.path(package.file))
    expect_equal(host.run("systemctl is-enabled rheod", check=False).strip(), "disabled", "rheod.service")
    expect_equal(host.run("systemctl is-active rheod", check=False).strip(), "inactive", "rheod.service")
    expect_nothing_attached(host)
    expect_equal(host.run("dpkg -V rheo").strip(), "", "what dpkg -V says")
    expect("/etc/rheo/rheo.toml" in host.run("dpkg-query -W -f '${Conffiles}' rheo"), "rheo.toml is no conffile")
    expect_equal(host.run("stat -c '%U %G %a' /sys/fs/bpf/rheo").strip(), "rheo rheo 700", "owner of /sys/fs/bpf/rheo")
    expect_equal(host.run("systemd-analyze verify rheod.service").strip(), "", "what systemd-analyze verify says")
    expect("NAME" in host.run("man -P cat 8 rheod"), "no manual page")
    expect(f"rheod {package.version.split('-')[0]}" in host.run("rheod --version"), "rheod --version is not the package's")
    host.run("rheod --check")


def smoke(host, package):
    """What Debian's autopkgtest runs of the package."""
    host.run(f"sh {package.path(package.smoke)}")
    host.run("systemctl disable --now rheod")
    expect_nothing_attached(host)


def meters_by_default(host, _):
    host.systemctl("enable --now")
    sent = host.network.send("east", "--packets", 5000, "--flows", 50, "--rate", 20000)
    expect_equal(sent["refused"]["packets"], 0, "frames refused")
    host.container.wait_on_the_bus()
    host.run(f"busctl call {MANAGER} Drain")
    flows = json.loads(host.run("rheoctl --json flows interface east --limit 1000"))
    expect_equal((len(flows), sum(flow["packets"] for flow in flows)), (50, 5000), "flows and their packets")
    expect(re.search(r'^a\(uso\) 2 (\d+ "\w+" "/org/rheo/Rheo1/interface/\d+" ?){2}$',
                     host.run(f"busctl call {MANAGER} ListInterfaces").strip()), "ListInterfaces is not as in the manual")
    expect_equal(host.run(f"busctl get-property {MANAGER} KernelMode").strip(), 's "tcx"', "KernelMode")
    index = json.loads(host.run("ip -j link show east"))[0]["ifindex"]
    shown = host.run(f"busctl introspect org.rheo.Rheo1 /org/rheo/Rheo1/interface/{index} org.rheo.Rheo1.Interface")
    expect(re.search(r'^\.State +property +s +"metered" +emits-change$', shown, re.M), f"State: {shown}")
    expect("metering 2 interfaces" in host.run("journalctl --sync; journalctl --no-pager -u rheod RHEO_INTERFACE=east"), "no line about east")
    expect_equal(host.run("journalctl -q --no-pager -u rheod RHEO_INTERFACE=eth77").strip(), "", "lines about no interface")
    expect(not any("flow.id" in str(line["MESSAGE"]) for line in host.journal()), "records are in the journal")
    host.run("systemctl stop rheod")
    expect_nothing_attached(host)


def exports(host, _):
    host.start_collectors()
    host.configure()
    host.systemctl("start")
    with Traffic(host):
        time.sleep(1)
    host.expect_conserved()
    sent = host.total_sent()

    def stored():
        return {"packets": sum(span["attributes"].get(f"flow.{way}packets.delta", 0)
                               for span in host.receiver.distinct() for way in ("", "reverse."))}
    wait_for(lambda: stored()["packets"] == sent["packets"], f"{sent['packets']} packets in spans, but {stored()}")
    wait_for(lambda: all(row["records_pending"] == 0 for row in json.loads(host.run("rheoctl --json exporters"))), "sent records")
    host.nfcapd.stop()
    sums = host.nfcapd.sums()
    expect_equal(sums, {key: sent[key] for key in sums}, "packets and octets in nfdump")


def reloads(host, _):
    process = host.show("MainPID")
    with Traffic(host):
        host.run("sed -i 's/max_batch_interval = \"100ms\"/max_batch_interval = \"200ms\"/' /etc/rheo/rheo.toml.d/50-test.toml && "
                 "systemctl reload rheod && echo nonsense >> /etc/rheo/rheo.toml.d/50-test.toml")
        expect("refused" in host.run("systemctl reload rheod || echo refused"), "systemctl reload takes a mistake")
        expect("50-test.toml:" in host.run("journalctl --sync; journalctl -u rheod"), "no file and line in the journal")
        host.run("sed -i '$d' /etc/rheo/rheo.toml.d/50-test.toml && systemctl reload rheod")
    expect_equal(host.show("MainPID"), process, "process after reloads")
    host.expect_conserved()


def restarts(host, _):
    with Traffic(host):
        for _ in range(2):
            host.systemctl("restart")
    host.expect_conserved()


def recovers(host, _):
    before = int(host.show("NRestarts"))
    with Traffic(host):
        host.run("kill -9 $(systemctl show rheod --value -p MainPID)")
        wait_for(lambda: int(host.show("NRestarts")) > before, "restart after a kill")
        host.wait_metering()
    host.expect_conserved()


def changes_version(host, file, version):
    process = host.show("MainPID")
    with Traffic(host):
        host.apt("install", "--allow-downgrades", file)
    expect_equal(host.run("dpkg-query -W -f '${Version}' rheo").strip(), version, "version")
    host.wait_metering()
    expect(host.show("MainPID") != process, "the process of the version before runs on")
    expect_equal(host.run("systemctl is-enabled rheod").strip(), "enabled", "rheod.service")
    host.expect_conserved()


def upgrades(host, package):
    """With settings that are not the packaged ones any more: dpkg leaves them alone."""
    host.run("echo '# mine' >> /etc/rheo/rheo.toml")
    changes_version(host, package.path(package.higher), version_of(package.higher))


def downgrades(host, package):
    changes_version(host, package.path(package.file), package.version)
    expect_equal(host.run("tail -n 1 /etc/rheo/rheo.toml").strip(), "# mine", "the changed conffile's last line")


def changes_schema(host, package):
    """Everything that was metered is in a record, and the journal tells from when to when nothing was."""
    process = host.show("MainPID")
    with Traffic(host):
        host.apt("install", package.path(package.other_schema))
        host.wait_metering()
    ended = {match[1]: int(match[2]) for line in host.journal(f"_PID={process}")
             if (match := re.fullmatch(r"counter (\S+) (\d+)", line["MESSAGE"]))}
    expect_equal((ended["table.active_flows"], ended["table.outbox_pending"]), (0, 0), "flows and records left at the stop")

    def recorded():
        seen = json.loads(host.run("rheoctl --json stats datapath.seen_packets"))[0]["value"]  # as of the last second
        return host.sums().packets == ended["datapath.seen_packets"] + seen and seen > 0
    wait_for(recorded, "record of every packet that was seen before and after")
    missed = host.total_sent()["packets"] - host.sums().packets
    expect(missed > 0, f"{missed} packets were sent while nothing was metered")
    host.forget(missed)
    host.expect_conserved()
    said = [line for line in host.journal() if "another schema" in line["MESSAGE"]]
    found = re.search(r"packets are not metered since (\S+), until (\S+)$", said[0]["MESSAGE"]) if len(said) == 1 else None
    refused = "status=219/CGROUP" in host.run("journalctl --no-pager -u rheod")
    expect(refused or found and found[1] < found[2], f"the journal on the time that was not metered: {said}")
    expect_equal(said[0]["PRIORITY"], "4", "its priority")
    ours, *_ = version_folders(host)
    # The way back is the same.
    host.apt("install", "--allow-downgrades", package.path(package.file))
    host.wait_metering()
    expect_equal(len([line for line in host.journal() if "another schema" in line["MESSAGE"]]), 2, "lines in the journal")
    expect_equal(version_folders(host) == [ours], not package.compiled, f"folders of pins, with {ours} before: {version_folders(host)}")


def version_folders(host):
    """One for each schema that has something in the kernel."""
    found = host.run("ls /sys/fs/bpf/rheo").split()
    expect_equal(len(found), 1, f"schemas in the kernel: {found}")
    return found


def changes_schema_when_killed(host, package):
    """What nobody stopped is taken off by the next that starts, of whatever schema."""
    if not package.compiled:
        return
    before = version_folders(host)
    is_killed(host)
    host.apt("install", package.path(package.other_schema))
    expect_equal(version_folders(host), before, "folders of pins when nothing was started")
    host.systemctl("start")
    expect(version_folders(host) != before, f"folders of pins: {before}")
    expect(any("of a rheod of another schema are removed" in line["MESSAGE"] for line in host.journal()), "no line about what was removed")
    with Traffic(host):
        time.sleep(0.2)
    host.expect_conserved()
    host.apt("install", "--allow-downgrades", package.path(package.file))
    host.wait_metering()
    expect_equal(version_folders(host), before, "folders of pins")


def ordinary_user(host, _):
    ann = "setpriv --reuid=ann --regid=ann --init-groups "
    expect("State: running" in (said := host.run(ann + "rheoctl status")), f"rheoctl status: {said}")
    expect("datapath.seen_packets" in host.run(ann + "rheoctl stats"), "no stats")
    expect("datapath.evicted_full" in host.run(ann + "rheoctl losses"), "no losses")
    for command, action in (("reload", "reload"), ("flows list", "read-flows"), ("drain", "manage-daemon"),
                            ("interfaces detach east", "manage-interfaces"),
                            ("exporters disable json.default", "manage-exporters")):
        said = host.run(f"{ann} rheoctl {command} || echo exit $?", check=False)
        expect(f"org.rheo.rheo1.{action} is needed, see polkit(8)" in said and "exit " in said, f"rheoctl {command}: {said}")
    said = host.run(f"{ann} cat {RECORDS} || echo exit $?", check=False)
    expect("Permission denied" in said, f"everybody may read the records: {said[:200]}")


def sandbox(host, _):
    report = host.run("systemd-analyze security rheod --no-pager", check=False)
    exposure = re.search(r"Overall exposure level for rheod.service: ([\d.]+)", report)
    expect(exposure, f"systemd-analyze says nothing: {report[-200:]}")
    expect(float(exposure[1]) <= MOST_EXPOSED, f"exposure {exposure[1]}, the most is {MOST_EXPOSED}")
    pid = host.show("MainPID")
    status = dict(line.split(":\t", 1) for line in host.run(f"cat /proc/{pid}/status").splitlines() if ":\t" in line)
    expect_equal((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"), "Seccomp and NoNewPrivs")
    expect_equal(int(status["CapEff"], 16), 1 << 12 | 1 << 38 | 1 << 39, "capabilities (NET_ADMIN, PERFMON, BPF)")
    whole = host.run("journalctl --no-pager -b")
    found = re.findall(r"^.*(?:SECCOMP|status=31/SYS|apparmor=.DENIED|avc: +denied).*$", whole, re.M)
    expect_equal(found, [], "refusals in the journal")
    # What went wrong is the reload's mistakes and what a killed rheod left to one of another schema.
    wrong = [line["MESSAGE"] for line in host.journal("-p warning", "_COMM=rheod") if not EXPECTED_WARNINGS.search(line["MESSAGE"])]
    expect_equal(wrong, [], "warnings of rheod's")


def reboots(host, _):
    with Traffic(host):
        time.sleep(0.5)
    sent = host.total_sent()
    host.reboot()
    host.wait_metering()
    sums = host.sums()
    expect_equal(sums.packets, sent["packets"], "packets in records of the boot before, whose flows had not ended")
    with Traffic(host):
        wait_for(lambda: ("east" in {name for name, *_ in host.attached()}), "programs on an interface that came later")
    host.run("rheoctl drain")


def owners(host, _):
    """Whose a flow is, as the service sees it from within its sandbox."""
    host.run("ip addr add 10.9.3.1/24 dev east && ip neigh add 10.9.3.2 lladdr 02:00:00:00:00:02 dev east && "
             "systemd-run -q --wait --unit=asker --uid=ann bash -c 'echo hello > /dev/udp/10.9.3.2/4444'")

    def record():
        found = host.run(f"grep '\"destination.port\":4444,.*}}$' {RECORDS} 2>/dev/null", check=False).splitlines()
        return json.loads(found[0]) if found else {}
    wait_for(record, "record of what a service has sent")
    wanted = {"process.executable.name": "bash", "process.owner": "ann", "systemd.unit": "asker.service"}
    expect_equal({key: record().get(key) for key in wanted}, wanted, "owner of the flow")


CASES = {"installs": installs, "smoke": smoke, "meters by default": meters_by_default, "exports": exports, "reloads": reloads,
         "restarts": restarts, "recovers": recovers, "upgrades": upgrades, "downgrades": downgrades,
         "changes schema": changes_schema, "changes schema when killed": changes_schema_when_killed,
         "ordinary user": ordinary_user, "sandbox": sandbox, "reboots": reboots, "owners": owners, "removes": removes,
         "purges": purges, "purges clsact": purges_clsact, "purges namespaces": purges_namespaces}


def newest(folder):
    """The .deb of this tree, built for this machine's suite."""
    found = sorted(folder.glob("rheo_*.deb"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise Unavailable(f"no rheo_*.deb in {folder.relative_to(TOP)}: packaging/build-deb makes it")
    return found[-1]


def this_suite():
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', pathlib.Path("/etc/os-release").read_text(), re.M))
    return release.get("VERSION_CODENAME", "bookworm")


def run_cases(host, package, suite):
    failed = 0
    for name, case in CASES.items():
        started = time.monotonic()
        try:
            case(host, package)
        except (AssertionError, OSError, ValueError, KeyError, RuntimeError, Unavailable,
                subprocess.SubprocessError) as error:
            failed += 1
            print(f"failed: package {suite}: {name}: {' '.join(str(error).split())}", flush=True)
            print(host.run("journalctl -u rheod --no-pager -n 25", check=False), file=sys.stderr)
        else:
            print(f"passed: package {suite}: {name} ({time.monotonic() - started:.1f} s)", flush=True)
    return failed


def package_of(suite):
    """In the long run, of another suite than this machine's: packaging/build-deb makes it, once."""
    folder = TOP / "build" / "packages" / suite
    if not list(folder.glob("rheo_*.deb")):
        run(["nice", "-n", "19", TOP / "packaging" / "build-deb", "--suite", suite], 5400)
    return newest(folder)


def test_suite(suite, build, find):
    """How many cases failed; `find` tells the package, or raises Unavailable."""
    folder = build / "system" / f"package-{suite}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        missing = [name for name in (*NEEDED, "nfcapd", "nfdump") if not shutil.which(name)]
        if os.geteuid() != 0 or missing:
            raise Unavailable("not root" if os.geteuid() else "no " + ", ".join(missing))
        file = find()
        root = debian_roots.fetch(suite, file, TOP / "build" / "cache" / "roots")
    except Unavailable as reason:
        print(f"skipped: package {suite}: all: {reason}", flush=True)
        return 0
    try:
        package = Package(file, folder / "packages", compiled=suite == this_suite())
    except (Unavailable, OSError, ValueError, StopIteration) as error:
        print(f"failed: package {suite}: packages of other versions: {' '.join(str(error).split())}", flush=True)
        return 1
    host = Host(folder, root, build / "bin", package.folder)
    try:
        host.boot()
        return run_cases(host, package, suite)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        print(f"failed: package {suite}: boot: {' '.join(str(error).split())}", flush=True)
        return 1
    finally:
        host.container.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build" / "dev", metavar="DIR")
    parser.add_argument("--deb", type=pathlib.Path, metavar="FILE", help="default: the newest in build/packages/host")
    parser.add_argument("--suite", default=this_suite(), help="of the root directory; default: this machine's")
    parser.add_argument("--short", action="store_true", help="the default: it takes a minute")
    parser.add_argument("--long", action="store_true", help=f"on {LATER_SUITE}, too, with the package made for it")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    failed = test_suite(arguments.suite, build, lambda: arguments.deb or newest(TOP / "build" / "packages" / "host"))
    if arguments.long:
        failed += test_suite(LATER_SUITE, build, lambda: package_of(LATER_SUITE))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
