#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rheod is killed, and its next start fails: one sentence, exit status 1, and what was counted is still there for
the start after that. Also: a second rheod is refused, a full tmpfs leaves no half made table behind, standard
output may be closed, or a terminal that nobody reads."""
import json
import os
import pty
import subprocess
import time

from bad_input import refuse_bpf
from rig import Rig, expect, expect_conserved, expect_equal, mount, sent_by, wait_until

SEND = ("--packets", 20_000, "--flows", 300, "--protocols", "udp,tcp", "--families", "4,6")


def end(rheod, status):
    """Waits until it ends by itself; its lines but warnings and notices."""
    try:
        code = rheod.process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"rheod keeps running: {rheod.said()[-300:]}") from None
    expect_equal(code, status, f"exit status, with {rheod.said()[-500:]}")
    return rheod.said().strip().splitlines()


def fail_between(rig, case, sentence, before_exec, pinned=True):
    """Counts, is killed, fails to start as `before_exec` makes it, starts again, ends."""
    near, _ = rig.pair()
    plain = {"interfaces": {"include": ["east"]}, "datapath": {"hook": "tcx", "drain_interval": "100ms"}}
    if not pinned:
        plain["daemon"] = {"pin_directory": str(rig.folder / "no-bpffs")}
    rheod = rig.rheod(near, case, **plain).start()
    first = near.send("east", *SEND)
    if not pinned:
        rheod.wait_drained()  # all of it is in the table
    rheod.kill()
    second = near.send("east", *SEND) if pinned else {**first, **{key: 0 for key in first if key != "refused"},
                                                      "refused": {}}

    rheod.starts += 1
    with open(rheod.log, "wb") as stderr:
        rheod.process = near.start([Rig.programs / "rheod", "--config", rheod.config], before_exec=before_exec,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
    lines = end(rheod, 1)
    expect(sentence in lines[-1], f"the last line {lines[-1]!r} does not say {sentence!r}")
    expect(not any("counter " in line for line in lines), f"counters of a rheod that never ran: {lines[:3]}")
    rheod.start()
    counters = rheod.stop()
    expect_conserved(sent_by(first, second), rheod.sums(), counters)


def second_rheod(rig, case):
    near, _ = rig.pair()
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]}).start()
    other = near.start([Rig.programs / "rheod", "--config", rheod.config], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _, said = other.communicate(timeout=60)
    expect_equal(other.returncode, 1, "exit status of the second")
    expect(f"process {rheod.process.pid}" in said, f"it does not say who is running: {said!r}")
    sent = near.send("east", *SEND)
    counters = rheod.stop()
    expect_conserved(sent_by(sent), rheod.sums(), counters)


def full_tmpfs(rig, case):
    """No room for the table: a sentence, and no file of half a table."""
    near, _ = rig.pair()
    rheod = rig.rheod(near, case, interfaces={"include": ["east"]})
    small = rheod.folder / "run"
    mount("tmpfs", small)
    subprocess.run(["mount", "-o", "remount,size=64k", str(small)], check=True)
    rheod.start(wait=False)
    lines = end(rheod, 1)
    expect("No space left" in lines[-1], f"{lines}")
    expect_equal(os.listdir(small), [], "left in the run directory")


def without_exporters(rig, case):
    """A namespace, and settings without an exporter."""
    near, _ = rig.pair()
    folder = rig.case_folder(case)
    folder.mkdir()
    mount("bpf", folder / "bpf")
    (folder / "rheo.toml").write_text(f"[daemon]\nrun_directory = {json.dumps(str(folder / 'run'))}\n"
                                      f"pin_directory = {json.dumps(str(folder / 'bpf' / 'rheo'))}\n"
                                      "[interfaces]\ninclude = [\"east\"]\n[datapath]\ndrain_interval = \"100ms\"\n"
                                      "[flow]\nudp_timeout = \"1s\"\n")
    return near, folder


def wait_metering(folder):
    wait_until(lambda: "metering " in (folder / "stderr.1").read_text(), "metering")


def closed_output(rig, case):
    """Records must not go into whatever file happens to become descriptor 1."""
    near, folder = without_exporters(rig, case)
    with open(folder / "stderr.1", "wb") as stderr:
        process = near.start(["sh", "-c", f"exec '{Rig.programs}/rheod' --config '{folder}/rheo.toml' 0<&- 1>&-"],
                             stderr=stderr)
    wait_metering(folder)
    near.send("east", "--packets", 1_000, "--flows", 10)
    time.sleep(3)
    try:
        link = os.readlink(f"/proc/{process.pid}/fd/1")
    except OSError:
        link = "none"
    lock = (folder / "run" / "lock").read_text()
    process.terminate()
    process.wait(timeout=60)
    expect_equal(link, "/dev/null", "descriptor 1")
    expect("flow" not in lock, f"records in the lock file: {lock[:80]!r}")


def stopped_terminal(rig, case):
    """Nobody reads the terminal of the live table (Ctrl-S): rheod ends at SIGINT all the same."""
    near, folder = without_exporters(rig, case)
    ours, theirs = pty.openpty()
    os.set_blocking(theirs, False)
    try:
        while True:
            os.write(theirs, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(theirs, True)
    with open(folder / "stderr.1", "wb") as stderr:
        process = near.start([Rig.programs / "rheod", "--config", folder / "rheo.toml"], stdin=subprocess.DEVNULL,
                             stdout=theirs, stderr=stderr)
    try:
        wait_metering(folder)
        time.sleep(3)  # it has something to show
        process.terminate()
        expect_equal(process.wait(timeout=60), 0, "exit status")
    except subprocess.TimeoutExpired:
        raise AssertionError("rheod does not end") from None
    finally:
        process.kill()
        os.close(ours)
        os.close(theirs)


def main():
    rig = Rig()
    with rig.case("killed, then bpf() refused") as case:
        fail_between(rig, case, "Operation not permitted", before_exec=refuse_bpf("EPERM"))
    with rig.case("killed without pins, then bpf() refused") as case:
        fail_between(rig, case, "Operation not permitted", before_exec=refuse_bpf("EPERM"), pinned=False)
    with rig.case("second rheod") as case:
        second_rheod(rig, case)
    with rig.case("full tmpfs") as case:
        full_tmpfs(rig, case)
    with rig.case("closed standard output") as case:
        closed_output(rig, case)
    with rig.case("stopped terminal") as case:
        stopped_terminal(rig, case)
    rig.end()


if __name__ == "__main__":
    main()
