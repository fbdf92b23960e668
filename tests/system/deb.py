#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian package that packaging/build-deb --here made: what is in it, what lintian says of it, what its scripts do
where nothing runs. Whether it works where systemd does is package.py's to show.

For each case it prints one line "passed: deb: CASE", "failed: …: why" or "skipped: …: why"; it exits 1 when a case
failed. With --long it also builds the packages of both Debian releases, each twice, and those of arm64.

    tests/system/deb.py [--long]
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "integration"))
from rig import expect, expect_equal  # noqa: E402

HOST = TOP / "build" / "packages" / "host"
NEEDED = ("dpkg-deb", "lintian", "systemd-analyze", "unshare")
UNIT = r"(?:usr/)?lib/systemd/system/rheod\.service"
# Regular expressions: Debian 12 has its units in /lib.
CONTENTS = (r"usr/sbin/rheod", r"usr/bin/rheoctl", UNIT, r"etc/rheo/rheo\.toml", r"usr/lib/sysusers\.d/rheo\.conf",
            r"usr/lib/tmpfiles\.d/rheo\.conf", r"usr/share/dbus-1/system\.d/org\.rheo\.Rheo1\.conf",
            r"usr/share/dbus-1/interfaces/org\.rheo\.Rheo1\.xml", r"usr/share/polkit-1/actions/org\.rheo\.rheo1\.policy",
            r"usr/share/bash-completion/completions/rheoctl", r"usr/share/zsh/vendor-completions/_rheoctl",
            *(rf"usr/share/man/man{page.name.split('.')[-2]}/{re.escape(page.stem)}\.gz"
              for page in sorted((TOP / "man").glob("*.scd"))),
            r"usr/share/rheo/schema", r"usr/share/rheo/rheod-command-lines\.conf",
            r"usr/share/rheo/rheod-container-names\.conf", r"usr/share/rheo/rheod-netns\.conf", r"usr/share/doc/rheo/.+",
            r"usr/share/lintian/overrides/rheo")
BELONGS_TO_RHEOD = ("etc/rheo/rheo.toml.d/90-rheoctl-x.toml", "run/rheo/flows", "var/lib/rheo/spool", "var/log/rheo/flows.json",
                    "sys/fs/bpf/rheo/v1/seen")


def said(command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False,
                          stdin=subprocess.DEVNULL, **options)
    expect(done.returncode == 0, f"{command[0]}: exit {done.returncode}: {(done.stdout + done.stderr).strip()[-600:]}")
    return done.stdout + done.stderr


def package():
    found = sorted(HOST.glob("rheo_*.deb"))
    expect_equal(len(found), 1, f"packages in {HOST.relative_to(TOP)} (packaging/build-deb --here makes it)")
    return found[0]


def changelog_version():
    return re.match(r"rheo \(([^)]+)\)", (TOP / "debian" / "changelog").read_text())[1]


def contents(scratch):
    """Everything that was asked for is there, and nothing else."""
    files = {str(path.relative_to(scratch)) for path in scratch.rglob("*") if not path.is_dir()} - {"DEBIAN"}
    files = {name for name in files if not name.startswith("DEBIAN/")}
    for wanted in CONTENTS:
        found = {name for name in files if re.fullmatch(wanted, name)}
        expect(found, f"the package has no {wanted}")
        files -= found
    expect_equal(files, set(), "files in the package that nobody asked for")
    expect_equal((scratch / "DEBIAN" / "conffiles").read_text(), "/etc/rheo/rheo.toml\n", "conffiles")
    expect(len(list(HOST.glob("rheo-dbgsym_*.deb"))) == 1, "no rheo-dbgsym")


def version(scratch):
    """One place says it: debian/changelog."""
    expect_equal(said(["dpkg-deb", "-f", package(), "Version"]).strip(), changelog_version(), "the package's version")
    expect_equal(said([scratch / "usr/sbin/rheod", "--version"]).strip(), f"rheod {changelog_version()}", "rheod --version")


def hardened(scratch):
    for name in ("usr/sbin/rheod", "usr/bin/rheoctl"):
        headers = said(["readelf", "-W", "-l", "-d", scratch / name])
        for mark in ("GNU_RELRO", "BIND_NOW", "NOW PIE"):
            expect(mark in headers, f"{name}: no {mark}")


def unit(scratch):
    """Where the unit's programs are: systemd asks for them. What it says of this machine's own units is not ours."""
    for page in ("rheod.8", "rheo.toml.5", "org.rheo.Rheo1.5"):
        expect(list(scratch.glob(f"usr/share/man/man?/{page}.gz")), f"the unit names {page}")
    installed = next(path for path in scratch.rglob("rheod.service") if path.is_file())
    for program in ("usr/sbin/rheod", "usr/bin/rheoctl"):
        expect(f"=/{program}" in installed.read_text() or f"+/{program}" in installed.read_text(), f"no /{program} in the unit")
    text = said(["unshare", "-m", "--propagation", "private", "sh", "-euc",
                 'for folder in usr/sbin usr/bin; do '
                 'mount -t overlay overlay -o "lowerdir=$1/$folder:/$folder" "/$folder"; done; '
                 'systemd-analyze verify --man=no "$2"', "sh", scratch, installed])
    expect_equal([line for line in text.splitlines() if "rheo" in line], [], "systemd-analyze verify")


def lintian(_):
    """In Debian's own words; every override has its reason beside it."""
    changes = next(HOST.glob("rheo_*.changes"))
    # Whether an override is needed depends on the groff of the release.
    text = said(["lintian", "--fail-on", "error,warning", "--suppress-tags", "mismatched-override", "--pedantic",
                 "--display-info", "--allow-root", changes])
    found = [line for line in text.splitlines() if re.match(r"[EW]: ", line)]
    expect_equal(found, [], "lintian")


def check(scratch):
    said([scratch / "usr/sbin/rheod", "--check", "--config", scratch / "etc/rheo/rheo.toml"])


def purge(scratch):
    """The script alone, as dpkg runs it when the programs are gone; twice, as dpkg may."""
    root = scratch / "purged"
    for name in BELONGS_TO_RHEOD:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    script = scratch / "DEBIAN" / "postrm"
    for _ in range(2):
        said(["sh", "-e", script, "purge"], env={**os.environ, "DPKG_ROOT": str(root)})
    left = [str(path.relative_to(root)) for path in root.rglob("*") if "rheo" in path.name]
    expect_equal(left, [], "left by a purge")
    (root / "var/log/rheo").mkdir()
    said(["sh", "-e", script, "remove"], env={**os.environ, "DPKG_ROOT": str(root)})
    expect((root / "var/log/rheo").exists(), "a removal removes what only a purge may")


def not_started(scratch):
    """An installation enables and starts nothing; an upgrade restarts what runs; a removal stops and detaches."""
    scripts = {name: (scratch / "DEBIAN" / name).read_text() for name in ("postinst", "prerm", "postrm")}
    after = scripts["postinst"]
    expect("deb-systemd-invoke try-restart 'rheod.service'" in after, "an upgrade does not restart rheod")
    expect(not re.search(r"deb-systemd-invoke (?:start|restart) ", after), "an installation starts rheod")
    expect(after.index("systemd-sysusers") < after.index("systemd-tmpfiles"), "tmpfiles comes before the user it needs")
    before = scripts["prerm"]
    expect(0 < before.index("deb-systemd-invoke stop rheod.service") < before.index("$(detach)"), "a removal does not stop, then detach")


CASES = {"contents": contents, "version": version, "hardened": hardened, "unit": unit, "lintian": lintian,
         "default configuration": check, "purge": purge, "not started": not_started}


def build_deb(*options):
    started = time.monotonic()
    done = subprocess.run(["nice", "-n", "19", TOP / "packaging" / "build-deb", *options], capture_output=True, text=True,
                          timeout=7200, check=False, stdin=subprocess.DEVNULL)
    expect(done.returncode == 0, f"build-deb {' '.join(options)}: {done.stderr.strip()[-800:]}")
    print(f"{done.stdout}build-deb {' '.join(options)}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return dict(reversed(line.split()) for line in done.stdout.splitlines() if re.match(r"[0-9a-f]{64} ", line))


def suite_builds(suite):
    def case(_):
        build_deb("--suite", suite, "--twice", "--lint")
    return case


def arm64(_):
    """Cross-compiled, with the same programs for the kernel."""
    def objects(sums):
        return {name.split(".", 1)[1]: sum for name, sum in sums.items() if name.endswith(".bpf.o")}
    cross, native = objects(build_deb("--arch", "arm64")), objects(build_deb())
    expect("flow.bpf.o" in cross, f"BPF objects: {sorted(cross)}")
    expect_equal(cross, native, "sums of the BPF objects of arm64 and of this machine")


LONG_CASES = {"bookworm, twice": suite_builds("bookworm"), "trixie, twice": suite_builds("trixie"), "arm64": arm64}


def attempt(name, case, scratch):
    started = time.monotonic()
    try:
        case(scratch)
    except (AssertionError, OSError, ValueError, KeyError, StopIteration, subprocess.SubprocessError) as error:
        print(f"failed: deb: {name}: {' '.join(str(error).split())}", flush=True)
        return False
    print(f"passed: deb: {name} ({time.monotonic() - started:.1f} s)", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="build the packages of other releases and of arm64, too")
    arguments = parser.parse_args()
    missing = [name for name in NEEDED if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        print(f"skipped: deb: all: {'not root' if os.geteuid() else 'no ' + ', '.join(missing)}", flush=True)
        return 0
    with tempfile.TemporaryDirectory(prefix="rheo-deb-") as folder:
        scratch = pathlib.Path(folder)
        try:
            said(["dpkg-deb", "-R", package(), scratch])
        except AssertionError as error:
            print(f"failed: deb: package: {' '.join(str(error).split())}", flush=True)
            return 1
        cases = {**CASES, **(LONG_CASES if arguments.long else {})}
        return 0 if all([attempt(name, case, scratch) for name, case in cases.items()]) else 1


if __name__ == "__main__":
    sys.exit(main())
