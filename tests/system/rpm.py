#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The RPM: made by packaging/rheo.spec, judged by rpmlint, then installed, upgraded under traffic and removed under a
booted systemd by rpm itself, whose scriptlets run there.

By default it packages what the build has already (rpmbuild --short-circuit), on this machine. With --long it is made in a
clean root by packaging/build-rpm, twice, to the same octets, and that one is installed. The container is this machine's
own root directory under an overlay that is thrown away. For each case it prints one line "passed: rpm: CASE", "failed: …:
why" or "skipped: …: why"; it exits 1 when a case failed.

    tests/system/rpm.py [--build DIR] [--short | --long]
"""
import argparse
import hashlib
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

from booted import NEEDED, Container, wait_for  # noqa: E402

BUILD_RPM = TOP / "packaging" / "build-rpm"
LINT_SETTINGS = TOP / "packaging" / "rpmlint.toml"
RPM = "rpm --force-debian --nodeps"  # Debian's rpm wants to be asked twice; its packages are not in rpm's database
BRP_COMPRESS = "__brp_compress bash %{_rpmconfigdir}/brp-compress %{_prefix}"  # not for Debian's sh
COUNTED = 300
SEND = ("/usr/bin/python3 -c 'import socket, time\n"
        "s = socket.socket(type=socket.SOCK_DGRAM)\n"
        f"for _ in range({COUNTED}): s.sendto(bytes(100), (\"10.9.0.2\", 7777)); time.sleep(0.02)'")
CONFIG = '[interfaces]\\ninclude = ["east"]\\n'


def run(*command, seconds=120, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace", timeout=seconds,
                          check=False, stdin=subprocess.DEVNULL, **options)
    expect(done.returncode == 0, f"{command[0]} {command[-1]}: exit {done.returncode}: {(done.stderr or done.stdout)[-600:]}")
    return done.stdout


class Maker:
    """Makes packages of the build's files: %prep and %install of the spec, and packing, but no %build."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        shutil.rmtree(folder, ignore_errors=True)
        run(BUILD_RPM, "--source-only", "--output", folder)

    def rpmbuild(self, *options):
        # Compression at its least: the dev build's programs are large.
        defined = (f"_topdir {self.folder}", f"rheo_built {self.build}", "_binary_payload w1.gzdio", BRP_COMPRESS)
        run("rpmbuild", "--quiet", "--nodeps", "--buildroot", self.folder / "root",
            *(word for macro in defined for word in ("--define", macro)), *options, self.folder / "SPECS" / "rheo.spec", seconds=300)

    def install(self):
        self.rpmbuild("-bp")
        self.rpmbuild("-bi", "--short-circuit")

    def pack(self, release="1", schema=None):
        if schema:
            (self.folder / "root" / "usr/share/rheo/schema").write_text(schema)
        spec = self.folder / "SPECS" / "rheo.spec"
        spec.write_text(re.sub(r"^(Release: +)\d+", rf"\g<1>{release}", spec.read_text(), flags=re.M))
        self.rpmbuild("-bb", "--short-circuit", "--noclean")
        return max((self.folder / "RPMS").glob("*/rheo-[0-9]*.rpm"), key=lambda file: file.stat().st_mtime_ns)


def query(package, form):
    return run("rpm", "-qp", "--qf", form, package)


def files_of(package):
    """(mode, owner, flags, path) of each file."""
    listed = query(package, "[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} x%{FILEFLAGS:fflags} %{FILENAMES}\n]")
    return [line.split(" ", 3) for line in listed.splitlines()]


def unpacked(package, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run("sh", "-c", f"rpm2cpio {package} | cpio -idm --quiet", cwd=folder)
    return folder


def names_and_words(package):
    version = re.match(r"rheo \(([\d.]+)\)", (TOP / "debian" / "changelog").read_text())[1]
    expect_equal(query(package, "%{NAME} %{VERSION} %{LICENSE}"),
                 f"rheo {version} Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)", "name, version and licence")
    expect(query(package, "%{CHANGELOGTEXT}").startswith("- "), "no log of changes")
    expect(f"- {version}-1" in query(package, "%{CHANGELOGNAME}"), "the log of changes is not of this version")
    summary = query(package, "%{SUMMARY}")
    expect(len(summary) < 80 and not summary.endswith("."), f"summary: {summary}")
    long_lines = [line for line in query(package, "%{DESCRIPTION}").splitlines() if len(line) > 80]
    expect_equal(long_lines, [], "lines of the description that are too long")
    expect_equal(query(package, "%{BUILDHOST}"), "reproducible", "build host")


def modes_and_places(package):
    for mode, owner, flags, path in files_of(package):
        expect_equal(owner, "root:root", f"owner of {path}")
        if mode[0] == "l":
            continue
        expect(mode[8] != "w" and "s" not in mode.lower()[1:], f"{path}: mode {mode}")
        expect(not re.match(r"/(usr/local|home|root|tmp|var|run|opt|build)\b", path), f"{path}: not a package's place")
        executable = mode[0] == "-" and "x" in mode
        expect_equal(executable, bool(re.match(r"/usr/s?bin/", path)), f"{path} is executable ({mode})")
        if path.startswith("/etc/") and mode[0] == "-":
            expect_equal(flags, "xcn", f"flags of {path}: config(noreplace)")
        if "/man/man" in path:
            expect(path.endswith(".gz"), f"{path}: not compressed")
    paths = {path for _, _, _, path in files_of(package)}
    pages = {f"/usr/share/man/man{page.stem[-1]}/{page.stem}.gz" for page in (TOP / "man").glob("*.scd")}
    expect_equal(sorted(pages - paths), [], "manual pages that are missing")
    expect(any(flags == "xl" for _, _, flags, _ in files_of(package)), "no licence among the files")


def programs(package, folder):
    """ELF files are programs, in their place, without a search path of their own; nothing names the build's folders."""
    root = unpacked(package, folder)
    for file in filter(pathlib.Path.is_file, root.rglob("*")):
        if file.is_symlink():
            continue
        content = file.read_bytes()
        path = f"/{file.relative_to(root)}"
        expect_equal(content[:4] == b"\x7fELF", bool(re.match(r"/usr/s?bin/", path)), f"{path} is a program")
        if content[:4] == b"\x7fELF":
            expect(not re.search("RPATH|RUNPATH", run("readelf", "-d", file)), f"{path}: has a search path of its own")
        else:
            expect(str(TOP).encode() not in content, f"{path}: names the build's folder")
    said = run(root / "usr/sbin/rheod", "--version")
    expect(query(package, "%{VERSION}") in said, f"rheod --version: {said}")
    expect("libbpf" in run("rpm", "-qp", "--requires", package), "no requirement of libbpf")


def scriptlets(package):
    """Each is a shell's, and says nothing of Debian's."""
    for name in ("PREIN", "POSTIN", "PREUN", "POSTUN"):
        script = query(package, f"%{{{name}}}")
        run("sh", "-n", "-c", script)
        expect(not re.search(r"%\{|%[a-z_]{2}", script), f"{name}: a macro that is not known here: {script}")


def linted(package, spec):
    """By rpmlint itself; packaging/rpmlint.toml says what is as it is on purpose."""
    said = run("rpmlint", "-c", LINT_SETTINGS, package, spec)
    expect("1 packages and 1 specfiles checked" in said, f"rpmlint did not get to its end: {said[-300:]}")
    # Of the dev build, whose programs keep their symbols.
    found = [line for line in said.splitlines() if re.search(": [EW]: ", line) and "unstripped-binary-or-object" not in line]
    expect_equal(found, [], "what rpmlint finds")


def show(container, name):
    return container.run(f"systemctl show rheod --value -p {name}").strip()


def rpm(container, arguments):
    """rpm says nothing when all is well: a scriptlet that fails is a warning and exit status 0."""
    expect_equal(complaints(container.run(f"{RPM} {arguments}", seconds=120)), [], f"what rpm {arguments} says")


def complaints(said):
    """But for Debian's warning, and for systemd-sysusers, which tells of the user that it makes."""
    return [line for line in said.splitlines() if not re.search("--force-debian|^Creating (user|group) 'rheo'", line)]


def start_refused(container):
    """In a container now and then a process cannot be moved to its unit's cgroup: systemd tries again, and says so."""
    return "status=219/CGROUP" in container.run("journalctl -u rheod --no-pager", check=False)


def installed(container, package):
    container.run("umount /proc/sys/kernel/random/boot_id", check=False)  # the container's own, which the sandbox has not
    container.run("mkdir -p /sys/fs/bpf; mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf")
    container.run("ip link add east type veth peer name west && ip link set west up && ip link set east up && "
                  "ip addr add 10.9.0.1/24 dev east && ip link set west arp off && "
                  "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev east")
    container.run("mkdir -p /etc/rheo/rheo.toml.d")
    rpm(container, f"-i /packages/{package.name}")
    expect_equal((show(container, "UnitFileState"), show(container, "ActiveState")), ("disabled", "inactive"), "the unit")
    container.run("getent passwd rheo")
    expect_equal(container.run("stat -c '%U %a' /sys/fs/bpf/rheo /etc/rheo/rheo.toml.d").split("\n")[:2],
                 ["rheo 700", "root 1775"], "owners and modes of what tmpfiles makes")


def meters(container):
    container.run(f"printf '{CONFIG}' > /etc/rheo/rheo.toml.d/test.toml")
    said = container.run("systemctl enable --now rheod", check=False)
    expect("Job for rheod.service failed" not in said or start_refused(container), f"systemctl enable --now says {said}")
    wait_for(lambda: show(container, "ActiveState") == "active", "unit that is active")
    wait_for(lambda: "east" in container.run("rheoctl interfaces", check=False), "east, metered")
    expect(container.run("man -w rheod 2>/dev/null; ls /usr/share/zsh/site-functions/_rheoctl").strip(), "no manual page")


def upgraded(container, package):
    """The scriptlets have systemd restart it: nothing is detached meanwhile, so every packet is in its flow."""
    before = show(container, "MainPID")
    container.run(f"{SEND} & sleep 1; {RPM} -U /packages/{package.name} 2>/tmp/said; wait", seconds=180)
    said = complaints(container.run("cat /tmp/said"))
    expect(not said or start_refused(container), f"rpm -U says {said}")
    wait_for(lambda: show(container, "ActiveState") == "active", "unit that is active")
    expect(show(container, "MainPID") != before, "rheod was not started again")
    wait_for(lambda: "east" in container.run("rheoctl interfaces", check=False), "rheod on the bus")
    container.run("rheoctl drain")
    flows = json.loads(container.run("rheoctl --json flows udp and port 7777"))
    expect_equal([flow["packets"] + flow["reverse_packets"] for flow in flows], [COUNTED], "packets of the flow of an upgrade")


def upgraded_to_another_schema(container, package):
    """The running one is stopped: it has written all records, and the journal says what was not metered."""
    container.run("/usr/bin/python3 -c 'import socket; "
                  "socket.socket(type=socket.SOCK_DGRAM).sendto(b\"x\", (\"10.9.0.2\", 7778))'; rheoctl drain")
    expect_equal(len(json.loads(container.run("rheoctl --json flows udp and port 7778"))), 1, "flows to be written")
    container.run(f"{RPM} -U /packages/{package.name} 2>/tmp/said", seconds=180)
    said = complaints(container.run("cat /tmp/said"))
    expect(not said or start_refused(container), f"rpm -U says {said}")
    wait_for(lambda: "packets are not metered since" in container.run("journalctl -u rheod --no-pager"),
             "word of what was not metered")
    wait_for(lambda: "east" in container.run("rheoctl interfaces", check=False), "rheod on the bus")
    expect_equal(json.loads(container.run("rheoctl --json flows udp and port 7778")), [], "flows that were kept")


def removed(container):
    """A rheod that was killed left its programs, and its settings are broken; removal leaves those, and the user alone."""
    container.run("mkdir -p /run/systemd/system/rheod.service.d && printf '[Service]\\nRestart=no\\n' > "
                  "/run/systemd/system/rheod.service.d/once.conf && systemctl daemon-reload; echo broken >> /etc/rheo/rheo.toml")
    container.run("kill -9 $(systemctl show rheod --value -p MainPID)")
    wait_for(lambda: show(container, "ActiveState") == "failed", "rheod that is gone")
    expect("link_" in container.run("ls /sys/fs/bpf/rheo/v*"), "nothing is left to detach")
    said = container.run(f"{RPM} -e rheo", seconds=120)
    expect("rheo.toml.rpmsave" in said and "scriptlet" not in said, f"what rpm -e says: {said}")
    left = container.run("ls -d /sys/fs/bpf/rheo /run/rheo /usr/sbin/rheod /usr/lib/systemd/system/rheod.service "
                         "/etc/systemd/system/*/rheod.service 2>/dev/null", check=False)
    expect_equal(left.strip(), "", "left behind")
    expect_equal(container.run("tc qdisc show dev east | grep clsact; bpftool net show dev east 2>/dev/null | grep rheo || true").strip(),
                 "", "attached to east")


class Report:
    def __init__(self):
        self.failed = 0

    def case(self, name, action, *arguments):
        started = time.monotonic()
        try:
            result = action(*arguments)
        except (AssertionError, OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError) as error:
            self.failed += 1
            print(f"failed: rpm: {name}: {' '.join(str(error).split())}", flush=True)
            return None
        print(f"passed: rpm: {name} ({time.monotonic() - started:.1f} s)", flush=True)
        return result


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def packed_twice(maker):
    maker.install()
    package = maker.pack()
    kept = shutil.copy(package, maker.folder / package.name)
    expect_equal(digest(maker.pack()), digest(pathlib.Path(kept)), "sum of the package when it is packed again")
    return pathlib.Path(kept)


def built_twice(folder):
    """In a clean root, from what is committed; with rpmlint's verdict on all packages and without an exception."""
    shutil.rmtree(folder, ignore_errors=True)
    run("nice", "-n", "19", BUILD_RPM, "--twice", "--lint", "--output", folder, seconds=7200)
    made = {file.name.rsplit("-", 2)[0] for file in folder.glob("*.rpm")}
    expect({"rheo", "rheo-debuginfo"} <= made, f"packages: {sorted(made)}")
    return next(folder.glob("rheo-[0-9]*.x86_64.rpm"))


def in_container(report, folder, package, higher, other):
    packages = folder / "packages"
    shutil.rmtree(packages, ignore_errors=True)
    packages.mkdir(parents=True)
    for file in (package, higher, other):
        shutil.copy(file, packages)
    container = Container(folder, f"mount --bind / {folder / 'root'}", "--volatile=overlay", f"--bind-ro={packages}:/packages")
    try:
        container.wait_booted()
        for name, action, *argument in (("installed, neither enabled nor started", installed, package), ("meters", meters),
                                        ("upgraded under traffic", upgraded, higher),
                                        ("upgraded to another schema", upgraded_to_another_schema, other), ("removed", removed)):
            failed = report.failed
            report.case(name, action, container, *argument)
            if report.failed > failed:
                print(container.run("journalctl -u rheod --no-pager -n 40", check=False), file=sys.stderr)
    finally:
        container.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build" / "dev", metavar="DIR")
    parser.add_argument("--short", action="store_true", help="the default")
    parser.add_argument("--long", action="store_true", help="the whole build in a clean root, twice")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    missing = [name for name in (*NEEDED, "rpmbuild", "rpmlint", "rpm2cpio", "cpio", "git") if not shutil.which(name)]
    if os.geteuid() != 0 or missing or not (TOP / ".git").exists():
        why = "not root" if os.geteuid() else f"no {', '.join(missing)}" if missing else "not a git repository"
        print(f"skipped: rpm: all: {why}", flush=True)
        return 0
    folder = build / "system" / "rpm"
    folder.mkdir(parents=True, exist_ok=True)
    report = Report()
    maker = Maker(build, folder / "made")
    package = report.case("packed, twice to the same octets", packed_twice, maker)
    if package:
        report.case("rpmlint", linted, package, maker.folder / "SPECS" / "rheo.spec")
    if arguments.long:
        package = report.case("built in a clean root, twice to the same octets", built_twice, folder / "built")
    if package is None:
        return 1
    for name, check in (("names and words", names_and_words), ("modes and places", modes_and_places), ("scriptlets", scriptlets)):
        report.case(name, check, package)
    report.case("programs", programs, package, folder / "unpacked")
    higher = report.case("packed with a higher release", maker.pack, "2")
    other = report.case("packed with another schema", maker.pack, "3", "maps 0, table 0\n")
    if higher and other:
        try:
            in_container(report, folder, package, higher, other)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            report.failed += 1
            print(f"failed: rpm: boot: {' '.join(str(error).split())}", flush=True)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
