# SPDX-License-Identifier: Apache-2.0
"""A booted systemd in a container of systemd-nspawn, and the commands that run in it or in another booted machine."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
from rig import expect  # noqa: E402
from rig import wait_until as wait_for  # noqa: E402

NEEDED = ("systemd-nspawn", "script", "nsenter", "unshare", "pgrep")
_REBOOTED = 133  # systemd-nspawn's exit status with --keep-unit


class Machine:
    """Commands in whatever has a systemd of its own; _run() of it answers as subprocess.run()."""

    def run(self, script, check=True, seconds=120):
        done = self._run(script, seconds)
        failed = done.returncode != 0
        if "Job for rheod.service failed" in done.stderr and self._was_refused_its_cgroup():
            wait_for(lambda: self._run("systemctl is-active rheod", seconds).stdout.strip() == "active", "rheod that systemd starts again")
            failed = False
        expect(not check or not failed, f"{script}: exit {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}")
        return done.stdout + done.stderr

    def _was_refused_its_cgroup(self):
        """On a busy machine a container's kernel now and then does not let systemd move a new process to its unit's cgroup,
        which is gone again: it never comes to run rheod, and systemd tries once more (Restart=on-failure)."""
        said = self._run("journalctl -u rheod --no-pager -o cat -n 20", 60).stdout
        return "code=exited, status=219/CGROUP" in said and not re.search(r"code=exited, status=(?!219/)[1-9]", said)

    def show(self, name, unit="rheod"):
        """A property of a unit."""
        return self.run(f"systemctl show {unit} --value -p {name}").strip()

    def wait_on_the_bus(self):
        """A rheod that has started meters; it is on the bus when that has answered it."""
        wait_for(lambda: '"running"' in self.run("rheoctl --json status", check=False), "rheod on the bus")


class Container(Machine):
    """run() runs a command in it. `prepare` is shell text that mounts its root at `folder`/root, in a mount namespace that
    ends with it."""

    def __init__(self, folder, prepare, *options):
        self.root = folder / "root"
        self.log = folder / "boot.log"
        self.leader = None
        self.root.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1"}
        boot = (f"systemd-nspawn -D {self.root} --boot --register=no --keep-unit --private-network "
                f"--machine=rheo-{folder.name} --capability=all --system-call-filter='bpf perf_event_open @keyring' "
                + " ".join(options))
        # With a pipe for a terminal nothing is printed.
        command = f"""{prepare}
            while script -a -qefc "{boot}" {self.log}; [ $? = {_REBOOTED} ]; do :; done"""
        self.process = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-ec", command],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env=environment, start_new_session=True)

    def wait_booted(self, seconds=180):
        deadline = time.monotonic() + seconds
        while self.leader is None:
            expect(self.process.poll() is None, f"the container ended: {self.said()}")
            expect(time.monotonic() < deadline, f"no systemd in the container: {self.said()}")
            self.leader = self._find_leader(self.process.pid)
            time.sleep(0.05)
        while not re.search("running|degraded", self.run("systemctl is-system-running", check=False)):
            expect(time.monotonic() < deadline, f"the container does not come up: {self.said()}")
            time.sleep(0.1)

    def reboot(self, seconds=180):
        """By its own systemd; what is mounted at its root stays."""
        before = self.leader
        self.run("systemctl reboot", check=False)
        wait_for(lambda: not pathlib.Path(f"/proc/{before}").exists(), "end of the container's systemd", seconds)
        self.leader = None
        self.wait_booted(seconds)

    def _find_leader(self, pid):
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
        for child in children:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
            if found := self._find_leader(child):
                return found
        return None

    def said(self):
        return self.log.read_text(errors="replace")[-500:] if self.log.exists() else "nothing"

    def path(self, path):
        """A path of the container's, seen from outside."""
        return pathlib.Path(f"/proc/{self.leader}/root{path}")

    def _run(self, script, seconds):
        return subprocess.run(["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "--", "sh", "-c", script],
                              capture_output=True, text=True, errors="replace", timeout=seconds, check=False,
                              stdin=subprocess.DEVNULL)

    def end(self):
        self.leader = self.leader or self._find_leader(self.process.pid)  # also of a boot that failed half way
        if self.leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)
