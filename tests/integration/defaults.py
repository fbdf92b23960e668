#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rheod without configuration: JSON lines on a pipe, a live table on a terminal, counters on SIGUSR1; it ends
at Ctrl-C and leaves nothing behind, with and without a bpffs."""
import contextlib
import os
import pathlib
import pty
import signal
import subprocess

from bad_input import attached, pins
from rig import Rig, expect, expect_equal, mount, sent_by, sum_records, wait_until

SEEN = "datapath.seen_packets"


def start(namespace, stdout, stderr):
    process = namespace.start([Rig.programs / "rheod"], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    return process


def wait_for(condition, what, process):
    def holds():
        ended = process.poll() is not None
        if condition():
            return True
        expect(not ended, f"rheod exited with {process.returncode} before {what}")
        return False
    wait_until(holds, what)


def expect_clean(namespace, before):
    for kind, ids in attached(namespace).items():
        if kind in ("filters", "qdiscs"):
            expect_equal(ids, before[kind], kind)
    expect(not os.path.exists("/run/rheo"), "/run/rheo is left behind")
    expect_equal(pins(pathlib.Path("/sys/fs/bpf")), [], "left pinned")


def on_a_pipe(rig, case):
    near, _ = rig.pair()
    folder = rig.case_folder(case)
    folder.mkdir()
    before = attached(near)
    with open(folder / "stderr.1", "wb") as stderr, open(folder / "records.json", "wb") as records:
        reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=records)
        process = start(near, reader.stdin, stderr)
        reader.stdin.close()
        said = (folder / "stderr.1").read_text
        wait_for(lambda: "metering " in said(), "metering", process)
        sent = sent_by(near.send("east", "--packets", 50_000, "--flows", 500, "--protocols", "udp,tcp"))
        process.send_signal(signal.SIGUSR1)
        wait_for(lambda: SEEN in sum_records.counters_of(said()), "counters on SIGUSR1", process)
        expect_equal(sum_records.counters_of(said())[SEEN], sent["packets"], "packets seen, at SIGUSR1")
        process.send_signal(signal.SIGINT)
        expect_equal(process.wait(timeout=60), 0, f"exit status after SIGINT; {said()[-500:]}")
        reader.wait(timeout=60)
    sums = sum_records.sum_files([folder / "records.json"])
    expect_equal(sums.packets, sent["packets"], "packets in records")
    expect_equal(sums.l2_bytes, sent["l2_bytes"], "octets in records")
    expect_equal(sums.flows, 500, "flows")
    expect_clean(near, before)


def on_a_terminal(rig, case):
    near, _ = rig.pair()
    folder = rig.case_folder(case)
    folder.mkdir()
    before = attached(near)
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    screen = bytearray()

    def shows(text):
        with contextlib.suppress(BlockingIOError):
            while True:  # a read gives 4 KiB at most
                screen.extend(os.read(ours, 1 << 16))
        return text in screen

    with open(folder / "stderr.1", "wb") as stderr:
        process = start(near, theirs, stderr)
    wait_for(lambda: "metering " in (folder / "stderr.1").read_text() or shows(b"metering "), "metering", process)
    source = near.start_sending("east", "--rate", 5_000, "--flows", 3)
    try:
        wait_for(lambda: shows(b"198.18.0.1"), "flow in the live table", process)
    finally:
        source.terminate()
        source.communicate()
    process.send_signal(signal.SIGINT)
    wait_until(lambda: [process.poll() is not None, shows(b"")][0], "the end after SIGINT")
    shows(b"")  # what it wrote last
    (folder / "stderr.2").write_bytes(bytes(screen))
    expect_equal(process.poll(), 0, "exit status after SIGINT")
    expect(b"\x1b" in screen, "no terminal sequence: is that a live table?")
    hidden, shown = screen.rfind(b"\x1b[?25l"), screen.rfind(b"\x1b[?25h")
    expect(hidden <= shown, "the cursor stays hidden")
    expect_clean(near, before)


def main():
    rig = Rig()
    if os.path.isdir("/etc/rheo"):
        mount("tmpfs", "/etc/rheo")
    mount("tmpfs", "/sys/fs/bpf")
    with rig.case("pipe, no bpffs") as case:
        on_a_pipe(rig, case)
        said = (rig.case_folder(case) / "stderr.1").read_text()
        expect("bpf" in said.split("metering ")[0], f"no warning about the missing bpffs: {said[:300]}")
    with rig.case("terminal, no bpffs") as case:
        on_a_terminal(rig, case)
    mount("bpf", "/sys/fs/bpf")
    with rig.case("pipe") as case:
        on_a_pipe(rig, case)
    rig.end()


if __name__ == "__main__":
    main()
