# SPDX-License-Identifier: Apache-2.0
"""Processes with sockets, and the cgroups in which they are, for tests of whose a flow is."""
import contextlib
import os
import pathlib
import subprocess

from rig import Skipped, expect_equal, wait_until

PYTHON = "/usr/bin/python3"

# A program with a socket: prints its pid when it is ready, then does what its standard input says, line by line.
ACTOR = """
import os, socket, sys
kept = []
def udp(address, port, connected):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if connected:
        s.connect((address, port)); s.send(bytes(10))
    else:
        s.sendto(bytes(10), (address, port))
    kept.append(s)
def again():
    try:
        kept[-1].send(bytes(10))
    except ConnectionRefusedError:
        kept[-1].send(bytes(10))  # the last one was refused
def listen(port):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port)); s.listen(16); kept.append(s)
def accept():
    kept.append(kept[0].accept()[0])
def connect(port):
    s = socket.create_connection(("127.0.0.1", port)); s.sendall(b"x"); kept.append(s)
def setuid(uid):
    os.setuid(uid)
def make(family, port=None):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if port:
        s.connect(("10.9.0.2", port))
    kept.append(s)
def open_box():
    s = socket.socket(socket.AF_UNIX); s.bind(BOX); s.listen(1); kept.append(s)
def give():
    s = socket.socket(socket.AF_UNIX); s.connect(BOX); socket.send_fds(s, [b"x"], [kept[-1].fileno()])
def take():
    (fd,) = socket.recv_fds(kept[-1].accept()[0], 1, 1)[1]; kept.append(socket.socket(fileno=fd))
BOX = "\\0rheo-owners"  # of the network namespace
print(os.getpid(), flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Actor:
    """A process in a network namespace, and in a cgroup where one is given."""

    def __init__(self, rig, namespace, cgroup=None):
        enter = (lambda: (cgroup / "cgroup.procs").write_text(str(os.getpid()))) if cgroup else None
        self.process = namespace.start([PYTHON, "-c", ACTOR], before_exec=enter, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        rig.at_end_of_case(self.end)
        self.pid = int(self.process.stdout.readline())

    def do(self, *lines):
        for line in lines:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            expect_equal(self.process.stdout.readline(), "done\n", f"answer to {line}")

    def end(self):
        self.process.kill()
        self.process.wait()


def cgroup_root():
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(folder)
    return None


def make_cgroup(rig, path):
    """Below the root; removed with the case."""
    root = cgroup_root()
    if not root:
        raise Skipped("no cgroup2 file system is mounted")
    folder = root / path
    made = [part for part in (folder, *folder.parents) if part != root and root in part.parents and not part.exists()]
    folder.mkdir(parents=True, exist_ok=True)

    def gone(part):
        with contextlib.suppress(OSError):  # a process that has just ended is still in it
            part.rmdir()
        return not part.exists()

    def remove():
        for part in made:
            wait_until(lambda part=part: gone(part), f"{part} is removed")
    rig.at_end_of_case(remove)
    return folder
