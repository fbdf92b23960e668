#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What rheod cannot work with: one clear sentence, a non-zero exit status, nothing left attached."""
import ctypes
import json
import os
import platform
import re
import struct
import subprocess
import time

from rig import Rig, Skipped, _check, _libc, expect, expect_equal, run

EXIT_CONFIG = 78  # sysexits.h EX_CONFIG
ERRNO = {"EPERM": 1, "ENOSYS": 38}
SYS_BPF = {"x86_64": 321, "aarch64": 280}
NOBODY = 65534


def refuse_bpf(errno_name):
    """Runs in the child: a seccomp filter that answers bpf(2) with this errno, as containers and old kernels do."""
    number = SYS_BPF.get(platform.machine())
    if number is None:
        raise Skipped(f"the number of bpf(2) on {platform.machine()} is not known to this test")
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in (
        (0x20, 0, 0, 0),                                # load the system call's number
        (0x15, 0, 1, number),                           # is it bpf?
        (0x06, 0, 0, 0x00050000 | ERRNO[errno_name]),   # SECCOMP_RET_ERRNO
        (0x06, 0, 0, 0x7FFF0000)))                      # SECCOMP_RET_ALLOW

    def enter():
        code = ctypes.create_string_buffer(program, len(program))
        header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(code)))
        _check(_libc.prctl(38, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
        _check(_libc.prctl(22, 2, header, 0, 0), "prctl(PR_SET_SECCOMP)")
    return enter


def become_nobody():
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def bpf_objects(kind):
    """Their numbers. A list fails where an object, also somebody else's, goes while it is made."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return {item["id"] for item in json.loads(run(["bpftool", "-j", kind, "list"]) or "[]")}
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def attached(namespace):
    """Everything of BPF that outlives a process, as far as it concerns the namespace."""
    objects = {kind: bpf_objects(kind) for kind in ("prog", "link")}
    objects["filters"] = {line for way in ("ingress", "egress")
                          for line in namespace.run(["tc", "filter", "show", "dev", "east", way]).splitlines()}
    objects["qdiscs"] = set(namespace.run(["tc", "qdisc", "show", "dev", "east"]).splitlines())
    return objects


def pins(bpffs):
    """What is pinned; every bpffs has two files of the kernel's own, *.debug."""
    return [str(path) for path in bpffs.rglob("*") if not path.is_dir() and path.suffix != ".debug"]


def expect_nothing_left(namespace, before, rheod):
    """The kernel frees programs a while after their last user is gone."""
    deadline = time.monotonic() + 60
    while True:
        left = {kind: ids - before[kind] for kind, ids in attached(namespace).items() if ids - before[kind]}
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    expect(not left, f"left attached: {left}")
    expect_equal(pins(rheod.folder / "bpf"), [], "left pinned")


def refuse(rig, case, sentence, before_exec=None, status=None, text=None, options=(), **sections):
    """rheod must end by itself, saying one line that matches `sentence`."""
    near, _ = rig.pair()
    rheod = rig.rheod(near, case, **{"interfaces": {"include": ["east"]}, **sections})
    (rheod.folder / "run").mkdir()
    os.chown(rheod.folder / "run", NOBODY, NOBODY)
    if text is not None:
        rheod.config.write_text(text)
    before = attached(near)
    process = near.start([Rig.programs / "rheod", "--config", rheod.config, *options], before_exec=before_exec,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, said = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError("rheod keeps running") from None
    (rheod.folder / "stderr.1").write_text(said)
    lines = said.strip().splitlines()
    expect(process.returncode > 0, f"exit status {process.returncode}: {said}")
    if status is not None:
        expect_equal(process.returncode, status, f"exit status, with {lines}")
    expect_equal(out, "", "standard output")
    errors = [line for line in lines if not re.search("warning|without", line)]
    expect(len(errors) == 1, f"not one sentence but {len(errors)}: {lines}")
    expect(re.search(sentence, errors[0]), f"the sentence {errors[0]!r} does not match {sentence!r}")
    expect_nothing_left(near, before, rheod)


def unknown_interface(rig, case):
    """It may appear later: rheod says that it is missing, once, attaches to nothing, and ends when it is told to."""
    near, _ = rig.pair()
    rheod = rig.rheod(near, case, interfaces={"include": ["nosuch0"]})
    before = attached(near)
    rheod.start()
    expect_equal(rheod.said().count("interface nosuch0: there is none now"), 1, f"times said, in {rheod.said()}")
    counters = rheod.stop()
    expect_equal(counters["links.attached"], 0, "interfaces attached")
    expect_nothing_left(near, before, rheod)


def main():
    rig = Rig()
    with rig.case("unknown interface") as case:
        unknown_interface(rig, case)
    with rig.case("unknown interface, on the command line") as case:
        refuse(rig, case, r"interface nosuch0: there is none", options=("--interface", "nosuch0"))
    with rig.case("a pattern of interfaces that is none") as case:
        refuse(rig, case, r"rheo\.toml:2\b.*interfaces\.include.*regular expression", status=EXIT_CONFIG,
               text="[interfaces]\ninclude = [\"/(/\"]\n")
    with rig.case("no privilege") as case:
        refuse(rig, case, r"(?i)CAP_BPF|privilege|root", before_exec=become_nobody)
    for errno_name in ERRNO:
        with rig.case(f"bpf() refused with {errno_name}") as case:
            refuse(rig, case, r"(?i)bpf", before_exec=refuse_bpf(errno_name))
    with rig.case("unknown key") as case:
        refuse(rig, case, r"rheo\.toml:1\b.*nonsense", status=EXIT_CONFIG, text="nonsense = 1\n")
    with rig.case("value out of range") as case:
        refuse(rig, case, r"rheo\.toml:2\b.*flow_cache_rows.*-5", status=EXIT_CONFIG,
               text="[datapath]\nflow_cache_rows = -5\n")
    with rig.case("not TOML") as case:
        refuse(rig, case, r"rheo\.toml:1\b", status=EXIT_CONFIG, text="[datapath\n")
    rig.end()


if __name__ == "__main__":
    main()
