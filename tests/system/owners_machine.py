#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whose flows are, under a systemd that a Debian kernel has booted, where who accepts can be followed: the cases of
owners_truth.py, among them the service that systemd passes its listener.

QEMU emulates the machine, of this machine's suite, whose root directory is made once, in build/cache/machines. For each
case it prints one line "passed: owners_machine: CASE", "failed: …: why" or "skipped: …: why"; it exits 1 when a case failed.

    tests/system/owners_machine.py [--build DIR]
"""
import argparse
import os
import pathlib
import platform
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "integration"))
from rig import expect  # noqa: E402

import debian_kernels  # noqa: E402
import debian_roots  # noqa: E402
from debian_suite import Unavailable  # noqa: E402
from owners_truth import CASES, follows_accept, is_in_a_container, prepare  # noqa: E402
from service import install, try_case  # noqa: E402
from virtual_machine import VirtualMachine  # noqa: E402

SCRIPT = "owners_machine"
KERNEL = "6.12"
PACKAGES = ("python3-minimal", "libpam-systemd")
NEEDED = ("qemu-system-x86_64", "busybox", "depmod", "dpkg", "mke2fs", "ldd")


def fetch():
    """A kernel and a root directory; raises Unavailable."""
    if platform.machine() != "x86_64":
        raise Unavailable("the kernels are amd64's, this machine is not")
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        raise Unavailable(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        raise Unavailable("not root")
    cache = TOP / "build" / "cache"
    kernel = next(kernel for kernel in debian_kernels.KERNELS if kernel.name == KERNEL)
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "none")
    return debian_kernels.fetch(kernel, cache / "kernels"), debian_roots.fetch_with(suite, PACKAGES, cache / "machines")


def run_cases(machine):
    """True when one failed."""
    try:
        machine.wait_booted()
        prepare(machine)
        expect(follows_accept(machine), "who accepts is not followed")
    except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"failed: {SCRIPT}: boot: {' '.join(str(error).split())}", flush=True)
        return True
    wanted = {name: case for name, case in CASES.items() if case != is_in_a_container}  # the root has no podman
    return any([try_case(machine, SCRIPT, name, case) for name, case in wanted.items()])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build" / "dev", metavar="DIR")
    build = parser.parse_args().build.resolve()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    folder = build / "system" / "owners-machine"
    try:
        kernel, root = fetch()
        install(build, folder / "installed")
        machine = VirtualMachine(kernel, root, folder / "installed", folder)
    except Unavailable as reason:
        print(f"skipped: {SCRIPT}: all: {reason}", flush=True)
        return 0
    try:
        return 1 if run_cases(machine) else 0
    finally:
        machine.end()


if __name__ == "__main__":
    sys.exit(main())
